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
    // who speaks TLS asks for certificates, wherever its library was built to look
    let image = shop.inspect();
    let link = entry(&image, "/usr/lib/ssl/cert.pem").expect("Debian's OpenSSL looks there");
    assert_eq!(link["target"], "/etc/ssl/certs/ca-certificates.crt");
    assert!(entry(&image, "/etc/ssl/certs/ca-certificates.crt").is_some());
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

/// Calls two libraries, and what glibc loads libraries for: cancels a thread, asks for
/// names.
const PROGRAM: &str = r#"
#include <netdb.h>
#include <pthread.h>
#include <pwd.h>
#include <stdio.h>
#include <unistd.h>
int own(void);
int configured(void);
static void *sleeper(void *nothing) { for (;;) pause(); return nothing; }
int main(void) {
    pthread_t thread;
    struct addrinfo *found;
    struct passwd *user = getpwuid(getuid());
    pthread_create(&thread, NULL, sleeper, NULL);
    pthread_cancel(thread);
    pthread_join(thread, NULL);
    printf("own %d configured %d localhost %d user %s\n", own(), configured(),
           getaddrinfo("localhost", "80", NULL, &found), user ? user->pw_name : "unknown");
    return 0;
}
"#;

/// A root with that program, one library beside it and one in a directory that only
/// ld.so.conf names, and no cache.
fn root_with_libraries(shop: &Workshop) {
    for (path, name) in [
        ("/lib64/ld-linux-x86-64.so.2", "ld-linux-x86-64.so.2"),
        ("/lib/x86_64-linux-gnu/libc.so.6", "libc.so.6"),
        ("/lib/x86_64-linux-gnu/libgcc_s.so.1", "libgcc_s.so.1"),
    ] {
        let to = format!("root/usr/lib/x86_64-linux-gnu/{name}");
        shop.copy(path.as_ref(), &to);
    }
    shop.link("usr/lib", "root/lib");
    shop.link(
        "../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
        "root/usr/lib64/ld-linux-x86-64.so.2",
    );
    shop.link("usr/lib64", "root/lib64");
    shop.write("root/etc/ld.so.conf", "include ld.so.conf.d/*.conf\n");
    shop.write("root/etc/ld.so.conf.d/other.conf", "/opt/other/lib\n");
    std::fs::create_dir_all(shop.path("root/opt/app/bin")).unwrap();
    std::fs::create_dir_all(shop.path("root/opt/app/lib")).unwrap();
    std::fs::create_dir_all(shop.path("root/opt/other/lib")).unwrap();
    shop.write("own.c", "int own(void) { return 1; }");
    shop.write("configured.c", "int configured(void) { return 2; }");
    shop.write("app.c", PROGRAM);
    let (own, other) = ("root/opt/app/lib", "root/opt/other/lib");
    let at = |folder: &str, name: &str| format!("{folder}/lib{name}.so");
    shop.tool("gcc", &["-shared", "-fPIC", "own.c", "-o", &at(own, "own")]);
    let configured = at(other, "configured");
    shop.tool(
        "gcc",
        &["-shared", "-fPIC", "configured.c", "-o", &configured],
    );
    let (in_own, in_other) = (format!("-L{own}"), format!("-L{other}"));
    let linked = ["-lown", "-lconfigured", "-Wl,-rpath,$ORIGIN/../lib"];
    let places = ["app.c", "-o", "root/opt/app/bin/app", &in_own, &in_other];
    shop.tool("gcc", &[&places[..], &linked[..]].concat());
}

#[test]
fn libraries_are_found_in_the_machine_where_they_were_found_here() {
    let shop = Workshop::new();
    root_with_libraries(&shop);
    let app = "root/opt/app/bin/app";
    for build in [
        &[app, "--libs", "root"][..],
        &["--rootfs", "root", "/opt/app/bin/app"],
    ] {
        let built = shop.build(build);
        let names = strings(&built["libraries"], "name");
        assert_eq!(
            names[1..],
            [
                "libown.so",
                "libconfigured.so",
                "libc.so.6",
                "libgcc_s.so.1"
            ]
        );
        let run = shop.ampoule(&["run", "image.img", "--firmware", "direct"]);
        let told = "own 1 configured 2 localhost 0 user app";
        assert!(run.out.contains(told), "{build:?}: {}{}", run.out, run.err);
        assert_eq!(run.code, Some(0));
    }
}
