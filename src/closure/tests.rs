use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::*;
use crate::sample::{Dynamic, Sample};

const LINKER: &str = "/lib64/ld-linux-x86-64.so.2";
const TRIPLE: &str = "/usr/lib/x86_64-linux-gnu";

/// A small system with a merged /usr, as Debian has it.
struct System {
    dir: TempDir,
}

impl System {
    fn new() -> System {
        let system = System {
            dir: tempfile::tempdir().unwrap(),
        };
        let root = system.dir.path();
        fs::create_dir_all(root.join("usr/lib/x86_64-linux-gnu")).unwrap();
        fs::create_dir_all(root.join("usr/lib64")).unwrap();
        symlink("usr/lib", root.join("lib")).unwrap();
        symlink("usr/lib64", root.join("lib64")).unwrap();
        symlink(
            "/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
            root.join("usr/lib64/ld-linux-x86-64.so.2"),
        )
        .unwrap();
        let mut linker = library("ld-linux-x86-64.so.2", &[]);
        linker
            .content
            .extend(b"\0/lib/x86_64-linux-gnu/\0/usr/lib/x86_64-linux-gnu/\0/lib/\0/usr/lib/\0\0");
        system.put(&format!("{TRIPLE}/ld-linux-x86-64.so.2"), &linker);
        system.put(&format!("{TRIPLE}/libc.so.6"), &{
            let mut libc = library("libc.so.6", &["ld-linux-x86-64.so.2"]);
            libc.dynamic.as_mut().unwrap().has = vec!["GLIBC_2.2.5", "GLIBC_2.34"];
            libc
        });
        system
    }

    fn put(&self, path: &str, sample: &Sample) -> PathBuf {
        let host = self.dir.path().join(path.trim_start_matches('/'));
        fs::create_dir_all(host.parent().unwrap()).unwrap();
        fs::write(&host, sample.bytes()).unwrap();
        host
    }

    fn text(&self, path: &str, text: &str) {
        let host = self.dir.path().join(path.trim_start_matches('/'));
        fs::create_dir_all(host.parent().unwrap()).unwrap();
        fs::write(host, text).unwrap();
    }

    fn closure(&self, app: &Sample) -> Closure {
        self.closure_with(app, None)
    }

    fn closure_with(&self, app: &Sample, library_path: Option<&str>) -> Closure {
        let outside = tempfile::tempdir().unwrap();
        let host = outside.path().join("app");
        fs::write(&host, app.bytes()).unwrap();
        let root = HostRoot::open(self.dir.path()).unwrap();
        let program = Program {
            host: &host,
            guest: "/app/app",
            inside: None,
            library_path,
        };
        closure(&root, &program).unwrap()
    }
}

fn library(soname: &'static str, needed: &[&'static str]) -> Sample {
    Sample {
        dynamic: Some(Dynamic {
            soname: Some(soname),
            needed: needed.to_vec(),
            ..Dynamic::default()
        }),
        ..Sample::static_pie()
    }
}

fn app(needed: &[&'static str]) -> Sample {
    let mut app = Sample::dynamic();
    app.dynamic.as_mut().unwrap().needed = needed.to_vec();
    app
}

/// The sample with a change to its dynamic section.
fn with(mut sample: Sample, change: impl FnOnce(&mut Dynamic)) -> Sample {
    change(sample.dynamic.as_mut().unwrap());
    sample
}

fn paths(closure: &Closure) -> Vec<&str> {
    let all = closure.libraries.iter();
    all.map(|library| library.path.as_str()).collect()
}

#[test]
fn a_merged_usr_comes_with_its_links() {
    let system = System::new();
    let closure = system.closure(&app(&["libc.so.6"]));
    assert!(closure.is_complete(), "{}", closure.lacks());
    let told: Vec<String> = closure
        .items
        .iter()
        .map(|item| match &item.node {
            Node::Dir => format!("{}/", item.path),
            Node::Link { target } => format!("{} -> {target}", item.path),
            Node::File { executable, .. } => format!("{} {executable}", item.path),
        })
        .collect();
    assert_eq!(
        told,
        [
            "/lib64 -> usr/lib64",
            "/usr/",
            "/usr/lib64/",
            "/usr/lib64/ld-linux-x86-64.so.2 -> /lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
            "/lib -> usr/lib",
            "/usr/lib/",
            "/usr/lib/x86_64-linux-gnu/",
            // the host's file could not be executed: the kernel executes it
            "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 true",
            "/usr/lib/x86_64-linux-gnu/libc.so.6 false",
        ]
    );
}

#[test]
fn needs_are_followed_and_each_has_its_reason() {
    let system = System::new();
    system.put(
        &format!("{TRIPLE}/libssl.so.3"),
        &library("libssl.so.3", &["libcrypto.so.3", "libc.so.6"]),
    );
    system.put("/usr/lib/libcrypto.so.3", &library("libcrypto.so.3", &[]));
    let closure = system.closure(&app(&["libssl.so.3", "libc.so.6"]));
    let told: Vec<(&str, &str)> = closure
        .libraries
        .iter()
        .map(|library| (library.name.as_str(), library.reason.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (LINKER, "the app's interpreter"),
            ("libssl.so.3", "the app needs it"),
            ("libc.so.6", "the app needs it"),
            ("libcrypto.so.3", "libssl.so.3 needs it"),
        ]
    );
}

#[test]
fn what_is_missing_is_told_with_who_needs_it() {
    let system = System::new();
    system.put(
        &format!("{TRIPLE}/liba.so"),
        &library("liba.so", &["libgone.so.2"]),
    );
    let closure = system.closure(&app(&["liba.so", "libnone.so.1", "libc.so.6"]));
    assert!(!closure.is_complete());
    assert_eq!(closure.lacks(), "libnone.so.1, libgone.so.2 (for liba.so)");
    fs::remove_file(system.dir.path().join("usr/lib64/ld-linux-x86-64.so.2")).unwrap();
    let closure = system.closure(&app(&["liba.so"]));
    assert!(closure.lacks().contains(LINKER), "{}", closure.lacks());
}

#[test]
fn libraries_for_other_processors_are_passed_over() {
    let system = System::new();
    let other = Sample {
        machine: ::object::elf::EM_AARCH64,
        ..library("liba.so", &[])
    };
    system.put(&format!("{TRIPLE}/liba.so"), &other);
    system.text("/usr/lib/liba.so", "INPUT ( -la )");
    let app = app(&["liba.so"]);
    assert_eq!(system.closure(&app).lacks(), "liba.so");
    system.put("/usr/lib/liba.so", &library("liba.so", &[]));
    assert_eq!(paths(&system.closure(&app))[1], "/usr/lib/liba.so");
}

#[test]
fn rpath_is_inherited_and_runpath_is_not() {
    let system = System::new();
    system.put("/opt/x/liba.so", &library("liba.so", &["libb.so"]));
    system.put("/opt/x/libb.so", &library("libb.so", &[]));
    let app = app(&["liba.so"]);
    let rpath = with(app.clone(), |dynamic| dynamic.rpath = Some("/opt/x"));
    let closure = system.closure(&rpath);
    assert_eq!(paths(&closure)[1..], ["/opt/x/liba.so", "/opt/x/libb.so"]);
    let runpath = with(app.clone(), |dynamic| dynamic.runpath = Some("/opt/x"));
    assert_eq!(system.closure(&runpath).lacks(), "libb.so (for liba.so)");
    // a RUNPATH silences the RPATH of the same file
    let both = with(app.clone(), |dynamic| {
        dynamic.rpath = Some("/opt/x");
        dynamic.runpath = Some("/opt/y");
    });
    assert_eq!(system.closure(&both).lacks(), "liba.so");
    // and the environment reaches all
    let closure = system.closure_with(&app, Some("/opt/y:/opt/x"));
    assert_eq!(paths(&closure)[1..], ["/opt/x/liba.so", "/opt/x/libb.so"]);
}

#[test]
fn a_librarys_origin_is_where_it_was_found() {
    let system = System::new();
    let first = with(library("liba.so", &["libb.so"]), |dynamic| {
        dynamic.runpath = Some("$ORIGIN/private");
    });
    system.put(&format!("{TRIPLE}/liba.so"), &first);
    system.put(
        &format!("{TRIPLE}/private/libb.so"),
        &library("libb.so", &[]),
    );
    let closure = system.closure(&app(&["liba.so"]));
    let private = format!("{TRIPLE}/private/libb.so");
    assert_eq!(paths(&closure)[2], private);
}

#[test]
fn an_apps_own_libraries_follow_it_to_its_new_place() {
    let system = System::new();
    system.put("/opt/x/lib/liba.so", &library("liba.so", &[]));
    let app = with(app(&["liba.so"]), |dynamic| {
        dynamic.runpath = Some("${ORIGIN}/../lib");
    });
    let host = system.put("/opt/x/bin/app", &app);
    let root = HostRoot::open(system.dir.path()).unwrap();
    let inside = root.inside(&host);
    let program = Program {
        host: &host,
        guest: "/app/app",
        inside: inside.as_deref(),
        library_path: None,
    };
    let closure = closure(&root, &program).unwrap();
    assert_eq!(paths(&closure)[1..], ["/lib/liba.so"]);
    let item = closure.items.last().unwrap();
    assert!(matches!(
        &item.node,
        Node::File { host: Some(host), .. } if host.ends_with("opt/x/lib/liba.so")
    ));
}

#[test]
fn configured_directories_need_a_link_unless_a_cache_knows_them() {
    let system = System::new();
    system.text(
        "/etc/ld.so.conf",
        "include /etc/ld.so.conf.d/*.conf # all\n",
    );
    system.text("/etc/ld.so.conf.d/x.conf", "# x\n/opt/x/lib/\n/usr/lib\n");
    system.text("/etc/ld.so.conf.d/x.conf.off", "/opt/off\n");
    system.put("/opt/x/lib/liba.so", &library("liba.so", &[]));
    system.put("/opt/off/libb.so", &library("libb.so", &[]));
    let closure = system.closure(&app(&["liba.so"]));
    assert_eq!(paths(&closure)[1..], ["/opt/x/lib/liba.so"]);
    let link = Item {
        path: format!("{TRIPLE}/liba.so"),
        node: Node::Link {
            target: "/opt/x/lib/liba.so".to_owned(),
        },
    };
    assert!(closure.items.contains(&link), "{:?}", closure.items);
    assert_eq!(system.closure(&app(&["libb.so"])).lacks(), "libb.so");
    system.text("/etc/ld.so.cache", "\0/opt/x/lib/liba.so\0");
    let closure = system.closure(&app(&["liba.so"]));
    assert!(!closure.items.contains(&link));
}

#[test]
fn versions_are_held_against_each_other() {
    let system = System::new();
    let app = with(app(&["libc.so.6"]), |dynamic| {
        dynamic.wants = vec![("libc.so.6", "GLIBC_2.34"), ("libc.so.6", "GLIBC_2.38")];
    });
    assert_eq!(system.closure(&app).lacks(), "GLIBC_2.38 of libc.so.6");
}

#[test]
fn what_the_c_library_loads_by_itself_comes_along() {
    let system = System::new();
    let app = |names: &[&'static str]| {
        with(app(&["libc.so.6"]), |dynamic| {
            dynamic.names = names.to_vec()
        })
    };
    let unwinds = app(&["pthread_cancel"]);
    let closure = system.closure(&unwinds);
    assert!(closure.absent[0].contains("libgcc_s.so.1"), "{closure:?}");
    system.put(
        &format!("{TRIPLE}/libgcc_s.so.1"),
        &library("libgcc_s.so.1", &["libc.so.6"]),
    );
    let closure = system.closure(&unwinds);
    let last = closure.libraries.last().unwrap();
    assert_eq!(last.name, "libgcc_s.so.1");
    assert_eq!(last.reason, "pthread_cancel, which the app calls, loads it");

    let resolves = app(&["getaddrinfo"]);
    let closure = system.closure(&resolves);
    let caller = Some(("getaddrinfo", "the app".to_owned()));
    assert_eq!(closure.name_service, caller);
    assert_eq!(closure.libraries.len(), 2, "2.34 has the modules within");
    system.put(&format!("{TRIPLE}/libc.so.6"), &library("libc.so.6", &[]));
    system.put(
        &format!("{TRIPLE}/libnss_dns.so.2"),
        &library("libnss_dns.so.2", &["libresolv.so.2"]),
    );
    system.put(
        &format!("{TRIPLE}/libresolv.so.2"),
        &library("libresolv.so.2", &[]),
    );
    let closure = system.closure(&resolves);
    let names: Vec<&str> = closure.libraries.iter().map(|l| l.name.as_str()).collect();
    assert_eq!(names[2..], ["libnss_dns.so.2", "libresolv.so.2"]);
    assert!(
        closure.absent[0].contains("libnss_files.so.2"),
        "{closure:?}"
    );

    let closure = system.closure(&app(&["dlopen"]));
    assert!(closure.unknown[0].starts_with("the app calls dlopen"));
}

#[test]
fn musl_is_its_own_c_library_and_looks_where_its_file_says() {
    let system = System::new();
    let linker = "/lib/ld-musl-x86_64.so.1";
    system.put("/usr/lib/ld-musl-x86_64.so.1", &library("libc.so", &[]));
    system.put("/usr/lib/libz.so.1", &library("libz.so.1", &[]));
    system.put("/opt/m/libz.so.1", &library("libz.so.1", &[]));
    let app = Sample {
        interpreter: Some(linker),
        ..app(&["libz.so.1", "libc.musl-x86_64.so.1", "libpthread.so"])
    };
    let closure = system.closure(&app);
    assert!(closure.is_complete(), "{}", closure.lacks());
    assert_eq!(
        paths(&closure),
        ["/usr/lib/ld-musl-x86_64.so.1", "/usr/lib/libz.so.1"]
    );
    system.text("/etc/ld-musl-x86_64.path", "/opt/m\n/usr/lib\n");
    let closure = system.closure(&app);
    assert_eq!(paths(&closure)[1], "/opt/m/libz.so.1");
    let brought = |path: &str| closure.items.iter().any(|item| item.path == path);
    assert!(brought("/etc/ld-musl-x86_64.path"));
}

#[test]
fn hostile_files_are_errors() {
    let whole = app(&["libc.so.6"]).bytes();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x");
    for place in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[place] ^= 0xff;
        fs::write(&file, &bytes).unwrap();
        let _ = object::Object::read(&file, &[]);
        fs::write(&file, &whole[..place]).unwrap();
        let _ = object::Object::read(&file, &[]);
    }
    fs::write(&file, "#!/bin/sh\n").unwrap();
    let error = object::Object::read(&file, &[]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    let missing = HostRoot::open(Path::new("/does/not/exist"));
    assert!(missing.is_err());
}
