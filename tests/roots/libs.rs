//! `--libs`: dynamic programs that nobody here made, with the libraries of this machine.

use super::{Workshop, corpus, elf, entry, strings};

/// A program of this system with libraries of its own.
const OPENSSL: &str = "/usr/bin/openssl";

#[test]
fn a_program_of_this_system_runs_with_its_libraries() {
    let shop = Workshop::new();
    let built = shop.build(&[OPENSSL, "--libs", "/", "--", "version"]);
    let names = strings(&built["libraries"], "name");
    assert!(names[0].starts_with("/lib64/ld-linux"), "{names:?}");
    for library in ["libcrypto.so.3", "libc.so.6"] {
        assert!(names.iter().any(|name| name == library), "{names:?}");
    }
    let run = shop.ampoule(&["run", "image.img", "--firmware", "direct"]);
    assert_eq!(run.code, Some(0), "{}{}", run.out, run.err);
    assert!(run.out.contains("OpenSSL 3."), "{}", run.out);
}

#[test]
fn a_dynamic_server_answers() {
    let shop = Workshop::new();
    let exporter = corpus("dyn-go-node-exporter-debian");
    let exporter = exporter.to_str().unwrap();
    let said = shop.refusal(3, &[exporter]);
    assert!(said.contains("/lib64/ld-linux-x86-64.so.2"), "{said}");
    assert!(said.contains("--libs DIR"), "{said}");
    shop.build(&[exporter, "--libs", "/", "--port", "9100"]);
    shop.test(&[
        "--http",
        "9100/metrics=200",
        "--http-body",
        "node_exporter_build_info",
    ]);
}

#[test]
fn what_the_root_lacks_is_told_in_one_line() {
    let shop = Workshop::new();
    shop.write("empty/etc/x", "");
    let exporter = corpus("dyn-go-node-exporter-debian");
    let said = shop.refusal(3, &[exporter.to_str().unwrap(), "--libs", "empty"]);
    let told = "needs /lib64/ld-linux-x86-64.so.2, libc.so.6; not found in empty";
    assert!(said.contains(told), "{said}");
    let said = shop.refusal(2, &[exporter.to_str().unwrap(), "--libs", "none"]);
    assert!(said.contains("cannot take libraries from none"), "{said}");
}

#[test]
fn files_go_before_the_root_and_static_apps_take_nothing() {
    let shop = Workshop::new();
    let (linker, library) = ("root/lib64/ld-linux-x86-64.so.2", "libx.so");
    let made = |soname, needed: &[&'static str]| elf::Sample {
        dynamic: Some(elf::Dynamic {
            soname: Some(soname),
            needed: needed.to_vec(),
            ..elf::Dynamic::default()
        }),
        ..elf::Sample::static_pie()
    };
    shop.write(linker, made("ld-linux-x86-64.so.2", &[]).bytes());
    shop.write(library, made("libx.so", &[]).bytes());
    let mut app = elf::Sample::dynamic();
    app.dynamic.as_mut().unwrap().needed = vec!["libx.so"];
    shop.write("app", app.bytes());
    assert!(
        shop.refusal(3, &["app", "--libs", "root"])
            .contains("libx.so")
    );
    let built = shop.build(&[
        "app",
        "--libs",
        "root",
        "--file",
        "libx.so:/usr/lib/libx.so",
    ]);
    assert_eq!(
        strings(&built["libraries"], "path"),
        ["/lib64/ld-linux-x86-64.so.2", "/usr/lib/libx.so"]
    );
    let image = shop.inspect();
    // the kernel executes it, whatever its mode was
    let mode = &entry(&image, "/lib64/ld-linux-x86-64.so.2").unwrap()["mode"];
    assert_eq!(*mode, 0o755);

    shop.write("static", elf::Sample::default().bytes());
    let built = shop.build(&["static", "--libs", "root"]);
    assert_eq!(built["libraries"].as_array().unwrap().len(), 0);
    assert!(built["notes"][0].as_str().unwrap().contains("is static"));
}
