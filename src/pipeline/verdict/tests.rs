use super::*;
use crate::app::Facts;
use crate::app::code::Calls;
use crate::app::make::{Libc, Make};
use crate::app::needs::Listen;
use crate::app::{Elf, ElfKind, Kind, Linkage, Machine, Shape, Shell};
use crate::units::Bytes;

fn place(what: &str) -> Evidence {
    Evidence {
        section: None,
        offset: 16,
        what: what.to_owned(),
    }
}

fn need(kind: NeedKind, confidence: Confidence) -> Need {
    Need {
        kind,
        confidence,
        evidence: vec![place("sign")],
    }
}

fn program(name: &str, confidence: Confidence) -> Need {
    need(NeedKind::Program(name.to_owned()), confidence)
}

fn finding(level: Level) -> Finding {
    Finding {
        option: "CONFIG_X".to_owned(),
        level,
        what: "the feature".to_owned(),
        wanted: vec!["call".to_owned()],
        evidence: vec![place("call")],
    }
}

/// A static program for x86_64 with these needs.
fn analysis(needs: Vec<Need>, listens: Vec<Listen>) -> Analysis {
    let elf = Elf {
        machine: Machine {
            code: 62,
            bits: 64,
            little: true,
        },
        foreign_os: None,
        kind: ElfKind::Program(Linkage::Static),
        packed: None,
        shell: None,
    };
    Analysis {
        shape: Shape {
            size: Bytes(1),
            kind: Kind::Elf(Box::new(elf)),
        },
        facts: Facts::default(),
        make: Make::default(),
        needs,
        listens,
        calls: Calls::default(),
    }
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn verdict(analysis: &Analysis, fit: &[Finding], accept: &[&str], files: &[&str]) -> Verdict {
    let leave = Leave {
        allow: Allow::default(),
        accept: &names(accept),
    };
    judge(analysis, "app", fit, &leave, &|path| files.contains(&path))
}

#[test]
fn a_program_that_is_not_there_refuses_by_name_evidence_and_remedy() {
    let analysis = analysis(vec![program("/bin/sh", Confidence::Likely)], vec![]);
    let told = verdict(&analysis, &[], &[], &[]);
    assert_eq!(told.reasons.len(), 1);
    let reason = &told.reasons[0];
    assert_eq!(reason.accept.as_deref(), Some("/bin/sh"));
    for part in ["starts /bin/sh", "\"sign\" at 0x10", "--accept /bin/sh"] {
        assert!(reason.what.contains(part), "{}", reason.what);
    }
}

#[test]
fn what_is_accepted_or_brought_or_only_possible_does_not_refuse() {
    let likely = || analysis(vec![program("/bin/sh", Confidence::Certain)], vec![]);
    let told = verdict(&likely(), &[], &["/bin/sh", "git"], &[]);
    assert_eq!(told.reasons, []);
    assert_eq!(told.accepted, ["/bin/sh"]);
    assert_eq!(told.idle, ["git"]);
    let told = verdict(&likely(), &[], &[], &["/bin/sh"]);
    assert_eq!((told.reasons.len(), told.accepted.len()), (0, 0));
    let possible = analysis(vec![program("/bin/sh", Confidence::Possible)], vec![]);
    assert_eq!(verdict(&possible, &[], &[], &[]), Verdict::default());
}

#[test]
fn a_bare_name_is_looked_for_where_path_leads() {
    let analysis = analysis(vec![program("git", Confidence::Likely)], vec![]);
    let reasons = |files: &[&str]| {
        let told = verdict(&analysis, &[], &[], files);
        told.reasons.len()
    };
    assert_eq!(reasons(&["/usr/bin/git"]), 0);
    assert_eq!(reasons(&["/srv/git"]), 1);
}

#[test]
fn the_kernel_refuses_warns_or_is_silent_by_level() {
    let nothing = analysis(vec![], vec![]);
    let told = |level, accept: &[&str]| {
        let told = verdict(&nothing, &[finding(level)], accept, &[]);
        (told.reasons.len(), told.warnings.len(), told.accepted.len())
    };
    assert_eq!(told(Level::Error, &[]), (1, 0, 0));
    assert_eq!(told(Level::Error, &["CONFIG_X"]), (0, 0, 1));
    assert_eq!(told(Level::Warning, &[]), (0, 1, 0));
    assert_eq!(told(Level::Note, &[]), (0, 0, 0));
}

#[test]
fn a_server_for_itself_alone_is_warned_of_and_one_that_also_listens_outside_is_not() {
    let listen = |port, loopback| Listen {
        port,
        loopback,
        confidence: Confidence::Likely,
        evidence: place("bind"),
    };
    let warnings = |listens| {
        let told = verdict(&analysis(vec![], listens), &[], &[], &[]);
        told.warnings
    };
    let alone = warnings(vec![listen(1414, true)]);
    assert!(alone[0].what.contains("1414"), "{}", alone[0].what);
    assert_eq!(warnings(vec![listen(1414, true), listen(80, false)]), []);
    assert_eq!(warnings(vec![]), []);
}

#[test]
fn writing_to_the_root_is_warned_of_and_to_tmp_is_not() {
    let writes = |path: &str| need(NeedKind::Writable(path.to_owned()), Confidence::Likely);
    let needs = vec![
        writes("/var/lib/app"),
        writes("/tmp/x"),
        writes("/dev/shm/y"),
    ];
    let told = verdict(&analysis(needs, vec![]), &[], &[], &[]);
    assert_eq!(told.warnings.len(), 1);
    assert!(told.warnings[0].what.contains("/var/lib/app"));
}

#[test]
fn a_library_is_refused_for_what_it_is_alone() {
    let mut analysis = analysis(vec![program("/bin/sh", Confidence::Certain)], vec![]);
    if let Kind::Elf(elf) = &mut analysis.shape.kind {
        elf.kind = ElfKind::Library("it has a SONAME".to_owned());
    }
    let told = verdict(&analysis, &[finding(Level::Error)], &[], &[]);
    assert_eq!((told.reasons.len(), told.warnings.len()), (1, 0));
    assert!(told.reasons[0].what.contains("shared library"));
}

#[test]
fn a_glibc_that_may_load_its_name_service_is_warned_of() {
    let warnings = |version: Option<&str>| {
        let need = need(NeedKind::NameServiceModules, Confidence::Likely);
        let mut analysis = analysis(vec![need], vec![]);
        analysis.make.libc = Some(Libc {
            name: "glibc".to_owned(),
            version: version.map(str::to_owned),
        });
        verdict(&analysis, &[], &[], &[]).warnings.len()
    };
    let versions = [Some("2.31"), Some("2.34"), Some("2.41"), None];
    assert_eq!(versions.map(warnings), [1, 0, 0, 1]);
}

#[test]
fn programs_of_a_shell_are_chosen_at_run_time_and_do_not_refuse() {
    let mut analysis = analysis(vec![program("/bin/login", Confidence::Certain)], vec![]);
    if let Kind::Elf(elf) = &mut analysis.shape.kind {
        elf.shell = Some(Shell {
            name: "busybox",
            sign: None,
        });
    }
    let refused = verdict(&analysis, &[], &[], &[]);
    assert_eq!(refused.reasons.len(), 1);
    let leave = Leave {
        allow: Allow {
            shell: true,
            ..Allow::default()
        },
        accept: &BTreeSet::new(),
    };
    let told = judge(&analysis, "app", &[finding(Level::Error)], &leave, &|_| {
        false
    });
    assert_eq!(told.reasons, []);
    assert_eq!(told.warnings.len(), 2);
}
