//! `--rootfs` with a directory.

use super::{Workshop, corpus, elf, entry, strings};

/// A root with an app, a script, a shell with links to it, and what else is left out.
fn root(shop: &Workshop) {
    shop.program("root/usr/bin/server", elf::Sample::default().bytes());
    shop.program("root/usr/bin/start.sh", "#!/bin/sh -e\nexec server\n");
    shop.program("root/usr/bin/app.py", "#!/usr/bin/python3\n");
    shop.copy(&corpus("busybox"), "root/usr/bin/tools");
    shop.program("root/usr/bin/apt-get", "x");
    shop.program("root/usr/sbin/sshd", "x");
    shop.write("root/srv/page", "hello");
    shop.write("root/etc/passwd", "root:x:0:0:root:/root:/bin/sh");
    shop.write("root/etc/hosts", "");
    shop.write("root/run/old", "");
    shop.write("root/var/lib/dpkg/status", "x");
    shop.link("usr/bin", "root/bin");
    shop.link("tools", "root/usr/bin/sh");
    shop.link("/bin/sh", "root/usr/bin/vi");
    shop.link("server", "root/usr/bin/alias");
}

#[test]
fn everything_goes_in_but_what_a_sealed_machine_has_no_use_for() {
    let shop = Workshop::new();
    root(&shop);
    let built = shop.build(&["--rootfs", "root", "/bin/alias"]);
    let left = [
        "/run/old",
        "/usr/bin/apt-get",
        "/usr/bin/sh",
        "/usr/bin/tools",
        "/usr/bin/vi",
        "/usr/sbin/sshd",
        "/var/lib/dpkg",
    ];
    assert_eq!(strings(&built["root"]["left_out"], "path"), left);
    let image = shop.inspect();
    assert_eq!(strings(&image["left_out"], "path"), left);
    assert_eq!(image["config"]["app"], "/usr/bin/server");
    assert_eq!(image["config"]["args"][0], "alias");
    assert_eq!(image["name"], "server");
    assert_eq!(image["shell"], false);
    for path in left {
        assert!(entry(&image, path).is_none(), "{path}");
    }
    for (path, what, value) in [
        ("/srv/page", "size", 5.into()),
        ("/usr/bin/server", "mode", 0o755.into()),
        ("/usr/bin/start.sh", "mode", 0o755.into()),
        ("/bin", "target", "usr/bin".into()),
        (
            "/usr/bin/alias",
            "target",
            serde_json::Value::from("server"),
        ),
    ] {
        assert_eq!(entry(&image, path).unwrap()[what], value, "{path}");
    }
    // the app's user is added to theirs, and an empty hosts(5) gives way to ours
    let size = |path: &str| entry(&image, path).unwrap()["size"].as_u64().unwrap();
    let passwd = "root:x:0:0:root:/root:/bin/sh\napp:x:65532:65532:app:/tmp:/nonexistent\n";
    assert_eq!(size("/etc/passwd"), passwd.len() as u64);
    assert!(size("/etc/hosts") > 0);
    let table = shop.ampoule(&["inspect", "image.img"]).out;
    assert!(table.contains("7 paths of the root"), "{table}");
}

#[test]
fn shells_stay_by_leave() {
    let shop = Workshop::new();
    root(&shop);
    shop.build(&["--rootfs", "root", "/usr/bin/server", "--allow-shell"]);
    let image = shop.inspect();
    assert_eq!(image["shell"], true);
    assert!(entry(&image, "/usr/bin/vi").is_some());
    assert!(entry(&image, "/usr/sbin/sshd").is_none());
}

#[test]
fn an_app_of_this_machine_goes_in_beside_the_root() {
    let shop = Workshop::new();
    root(&shop);
    shop.write("own", elf::Sample::default().bytes());
    shop.write("page", "another");
    let file = ["--file", "page:/srv/page"];
    shop.build(&[&["--rootfs", "root", "./own"], &file[..]].concat());
    let image = shop.inspect();
    assert_eq!(image["config"]["app"], "/app/own");
    assert_eq!(entry(&image, "/srv/page").unwrap()["size"], 7);
    assert!(entry(&image, "/usr/bin/server").is_some());
}

#[test]
fn what_cannot_be_the_app_is_told_with_what_can() {
    let shop = Workshop::new();
    root(&shop);
    for (code, app, told) in [
        (
            3,
            "/bin/sh",
            "the app /usr/bin/tools has no place in a sealed machine: it is a shell",
        ),
        (3, "/usr/bin/start.sh", "--rootfs root /PATH/IN/IT -- ARGS"),
        (
            3,
            "app.py",
            "--rootfs root /usr/bin/python3 -- /usr/bin/app.py",
        ),
        (3, "/srv/page", "/srv/page: is text"),
        (
            2,
            "/usr/bin/none",
            "there is no program /usr/bin/none in root",
        ),
        (2, "none", "there is no program none in root"),
    ] {
        let said = shop.refusal(code, &["--rootfs", "root", app]);
        assert!(said.contains(told), "{app}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    let said = shop.refusal(2, &["--rootfs", "root"]);
    assert!(said.contains("does not say what to run"), "{said}");
    let said = shop.refusal(2, &["--rootfs", "none"]);
    assert!(said.contains("cannot read none"), "{said}");
    let folder = std::fs::read_dir(shop.dir.path()).unwrap();
    let names: Vec<_> = folder.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["root"], "something was left behind");
}
