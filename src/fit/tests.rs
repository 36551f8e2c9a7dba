use super::*;

fn place(what: &str) -> Evidence {
    Evidence {
        section: Some(".text".to_owned()),
        offset: 0x1234,
        what: what.to_owned(),
    }
}

fn calls(names: &[&str]) -> BTreeMap<u32, Evidence> {
    let number = |name: &&str| sysno::number(Arch::X86_64, name).unwrap();
    let found = names.iter().map(|name| (number(name), place(name)));
    found.collect()
}

fn need(kind: NeedKind, confidence: Confidence) -> Need {
    Need {
        kind,
        confidence,
        evidence: vec![place("x")],
    }
}

fn told(found: &[Finding]) -> Vec<(&str, Level)> {
    let pairs = found.iter().map(|one| (one.option.as_str(), one.level));
    pairs.collect()
}

#[test]
fn options_are_on_by_any_value_but_n() {
    let config = Config::parse(
        "# comment\nCONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=n\nCONFIG_D=\"\"\nCONFIG_E=16\nA=y\n",
    );
    let on = ["A", "B", "C", "D", "E", "F"].map(|option| config.has(option));
    assert_eq!(on, [true, false, false, true, true, false]);
}

#[test]
fn a_call_that_is_not_built_in_names_option_call_and_place() {
    let calls = calls(&["read", "process_vm_readv", "process_vm_writev"]);
    let found = judge(&Config::default(), Arch::X86_64, &calls, &[]);
    assert_eq!(told(&found), [("CONFIG_CROSS_MEMORY_ATTACH", Level::Error)]);
    assert_eq!(found[0].wanted, ["process_vm_readv", "process_vm_writev"]);
    assert_eq!(found[0].evidence.len(), 2);
    let config = Config::parse("CONFIG_CROSS_MEMORY_ATTACH=y");
    assert_eq!(judge(&config, Arch::X86_64, &calls, &[]), []);
}

#[test]
fn numbers_are_those_of_the_architecture() {
    // 270 is process_vm_readv on aarch64 and pselect6 on x86_64
    let calls = BTreeMap::from([(270, place("svc"))]);
    let on = |arch| judge(&Config::default(), arch, &calls, &[]).len();
    assert_eq!((on(Arch::Aarch64), on(Arch::X86_64)), (1, 0));
}

#[test]
fn what_is_tried_on_the_way_is_a_note_and_comes_last() {
    let calls = calls(&["kcmp", "bpf", "swapon"]);
    let found = judge(&Config::default(), Arch::X86_64, &calls, &[]);
    assert_eq!(
        told(&found),
        [
            ("CONFIG_SWAP", Level::Error),
            ("CONFIG_BPF_SYSCALL", Level::Warning),
            ("CONFIG_KCMP", Level::Note),
        ]
    );
}

#[test]
fn a_need_weighs_no_more_than_its_evidence() {
    let fuse = || NeedKind::Device("/dev/fuse".to_owned());
    for (confidence, level) in [
        (Confidence::Certain, Level::Error),
        (Confidence::Likely, Level::Warning),
        (Confidence::Possible, Level::Note),
    ] {
        let needs = [need(fuse(), confidence)];
        let found = judge(&Config::default(), Arch::X86_64, &BTreeMap::new(), &needs);
        assert_eq!(told(&found), [("CONFIG_FUSE_FS", level)]);
    }
}

#[test]
fn features_go_by_their_option_and_unknown_ones_too() {
    let needs = [
        need(NeedKind::Kernel("MPTCP".to_owned()), Confidence::Certain),
        need(NeedKind::Kernel("VSOCKETS".to_owned()), Confidence::Certain),
        need(
            NeedKind::Kernel("CONFIG_RARE".to_owned()),
            Confidence::Certain,
        ),
        need(NeedKind::Kernel("IPV6".to_owned()), Confidence::Certain),
    ];
    let config = Config::parse("CONFIG_IPV6=y");
    let found = judge(&config, Arch::X86_64, &BTreeMap::new(), &needs);
    assert_eq!(
        told(&found),
        [
            ("CONFIG_RARE", Level::Error),
            ("CONFIG_VSOCKETS", Level::Error),
            ("CONFIG_MPTCP", Level::Note),
        ]
    );
}

#[test]
fn a_feature_that_has_calls_weighs_as_they_do() {
    let needs = [need(
        NeedKind::Kernel("BPF_SYSCALL".to_owned()),
        Confidence::Certain,
    )];
    let found = judge(&Config::default(), Arch::X86_64, &BTreeMap::new(), &needs);
    assert_eq!(told(&found), [("CONFIG_BPF_SYSCALL", Level::Warning)]);
    assert_eq!(found[0].what, "programs in the kernel");
}

#[test]
fn paths_match_whole_names_and_numbered_devices() {
    for (path, root, under) in [
        ("/dev/fuse", "/dev/fuse", true),
        ("/dev/fuses", "/dev/fuse", false),
        ("/dev/video0", "/dev/video", true),
        ("/dev/mapper/control", "/dev/mapper/control", true),
        ("/sys/fs/bpf/x", "/sys/fs/bpf", true),
        ("/dev/loop-control", "/dev/loop", false),
    ] {
        assert_eq!(is_under(path, root), under, "{path} and {root}");
    }
}

#[test]
fn the_same_option_is_told_once_by_its_gravest() {
    let needs = [need(
        NeedKind::Proc("/proc/swaps".to_owned()),
        Confidence::Possible,
    )];
    let found = judge(
        &Config::default(),
        Arch::X86_64,
        &calls(&["swapon"]),
        &needs,
    );
    assert_eq!(told(&found), [("CONFIG_SWAP", Level::Error)]);
    assert_eq!(found[0].what, "swap space");
    assert_eq!(found[0].wanted, ["swapon", "/proc/swaps"]);
}

#[test]
fn evidence_is_bounded() {
    let mut many = need(NeedKind::Device("/dev/fuse".to_owned()), Confidence::Likely);
    many.evidence = vec![place("x"); 100];
    let found = judge(&Config::default(), Arch::X86_64, &BTreeMap::new(), &[many]);
    assert_eq!(found[0].evidence.len(), EVIDENCE_MAX);
}

#[test]
fn every_call_of_the_table_exists_and_stands_in_one_row() {
    let mut seen = BTreeSet::new();
    for row in CALLS {
        for call in row.calls {
            let known = [Arch::X86_64, Arch::Aarch64]
                .into_iter()
                .any(|arch| sysno::number(arch, call).is_some());
            assert!(known, "{call} is no system call");
            assert!(seen.insert(call), "{call} stands in two rows");
        }
    }
}
