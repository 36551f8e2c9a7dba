//! `--rootfs` with images that other people's tools made.

use std::fs;
use std::path::Path;

use super::{Workshop, corpus, elf, entry, strings};

/// The files that a dynamic program of glibc needs, where Debian has them.
const LINKER: &str = "/lib64/ld-linux-x86-64.so.2";
const LIBC: &str = "/lib/x86_64-linux-gnu/libc.so.6";

/// An image by umoci: a layer with a server and its libraries, one with another page and
/// without the old one, and how it is run.
fn image(shop: &Workshop, server: &Path) {
    shop.copy(server, "one/usr/bin/server");
    shop.copy(Path::new(LINKER), &format!("one{LINKER}"));
    shop.copy(Path::new(LIBC), &format!("one{LIBC}"));
    shop.copy(&corpus("busybox"), "one/bin/busybox");
    shop.link("busybox", "one/bin/sh");
    shop.write("one/etc/passwd", "root:x:0:0::/:\nweb:x:101:102::/:\n");
    shop.write("one/srv/old", "old");
    shop.write("two/page", "two");
    let image = "layout:web";
    shop.tool("umoci", &["init", "--layout", "layout"]);
    shop.tool("umoci", &["new", "--image", image]);
    shop.tool(
        "umoci",
        &["insert", "--rootless", "--image", image, "one", "/"],
    );
    shop.tool(
        "umoci",
        &["insert", "--rootless", "--image", image, "two", "/srv"],
    );
    shop.tool(
        "umoci",
        &["insert", "--image", image, "--whiteout", "/srv/old"],
    );
    configure(shop, &["--config.entrypoint", "server"]);
    configure(
        shop,
        &[
            "--config.user",
            "web",
            "--config.env",
            "PATH=/usr/bin",
            "--config.env",
            "PAGE=/srv/page",
            "--config.workingdir",
            "/srv/made",
            "--config.volume",
            "/data",
        ],
    );
}

fn configure(shop: &Workshop, settings: &[&str]) {
    shop.tool(
        "umoci",
        &[&["config", "--image", "layout:web"], settings].concat(),
    );
}

#[test]
fn an_image_by_umoci_boots_and_answers() {
    let shop = Workshop::new();
    image(&shop, &corpus("dyn-go-node-exporter-debian"));
    let built = shop.build(&["--rootfs", "layout", "--port", "9100", "--env", "MORE=1"]);
    assert_eq!(
        strings(&built["root"]["left_out"], "path"),
        ["/bin/busybox", "/bin/sh"]
    );
    let notes = built["notes"].to_string();
    assert!(notes.contains("the volume /data"), "{notes}");
    let image = shop.inspect();
    let config = &image["config"];
    for (key, value) in [
        ("app", "/usr/bin/server".into()),
        ("args", serde_json::json!(["server"])),
        ("uid", 101.into()),
        ("gid", 102.into()),
        ("workdir", "/srv/made".into()),
        (
            "env",
            serde_json::json!({"PATH": "/usr/bin", "PAGE": "/srv/page", "MORE": "1"}),
        ),
    ] {
        assert_eq!(config[key], value, "{key}");
    }
    assert!(entry(&image, "/srv/page").is_some());
    assert!(entry(&image, "/srv/made").is_some());
    assert!(entry(&image, "/srv/old").is_none());
    shop.test(&[
        "--http",
        "9100/metrics=200",
        "--http-body",
        "node_exporter_build_info",
    ]);
}

#[test]
fn other_compressions_give_the_same_image() {
    let shop = Workshop::new();
    image(&shop, &corpus("dyn-go-node-exporter-debian"));
    let first = shop.build(&["--rootfs", "layout"]);
    for (how, to) in [
        (&["--dest-compress-format", "zstd"][..], "zstd"),
        (&["--dest-decompress"][..], "plain"),
    ] {
        let from = ["copy", "-q", "--insecure-policy"];
        let places = ["oci:layout:web", &format!("oci:{to}:web")];
        shop.tool("skopeo", &[&from, how, &places].concat());
        let built = shop.build(&["--rootfs", to]);
        assert_eq!(built["sha256"], first["sha256"], "{to}");
    }
}

#[test]
fn arguments_replace_the_command_and_keep_the_entrypoint() {
    let shop = Workshop::new();
    shop.write("app", elf::Sample::default().bytes());
    image(&shop, &shop.path("app"));
    configure(
        &shop,
        &[
            "--config.entrypoint",
            "/usr/bin/server",
            "--config.entrypoint",
            "--first",
            "--config.cmd",
            "command",
        ],
    );
    for (given, args) in [
        (
            &["--rootfs", "layout"][..],
            &["server", "--first", "command"][..],
        ),
        (
            &["--rootfs", "layout", "--", "own"],
            &["server", "--first", "own"],
        ),
        (&["--rootfs", "layout", "/usr/bin/server"], &["server"]),
    ] {
        shop.build(given);
        assert_eq!(shop.inspect()["config"]["args"], serde_json::json!(args));
    }
    let said = {
        configure(
            &shop,
            &[
                "--config.entrypoint",
                "/bin/sh",
                "--config.entrypoint",
                "-c",
            ],
        );
        fs::remove_file(shop.path("image.img")).unwrap();
        shop.refusal(3, &["--rootfs", "layout"])
    };
    assert!(said.contains("it is a shell"), "{said}");
    let said = shop.refusal(3, &["--rootfs", "layout", "--user", "7", "/etc/passwd"]);
    assert!(said.contains("/etc/passwd: is text"), "{said}");
}

#[test]
fn a_damaged_image_is_refused_and_leaves_nothing() {
    let shop = Workshop::new();
    shop.write("app", elf::Sample::default().bytes());
    image(&shop, &shop.path("app"));
    let blobs = fs::read_dir(shop.path("layout/blobs/sha256")).unwrap();
    let largest = blobs
        .map(|blob| blob.unwrap().path())
        .max_by_key(|blob| fs::metadata(blob).unwrap().len())
        .unwrap();
    let mut bytes = fs::read(&largest).unwrap();
    let end = bytes.len() - 4;
    bytes[end] ^= 1;
    fs::remove_file(&largest).unwrap();
    fs::write(&largest, bytes).unwrap();
    shop.refusal(3, &["--rootfs", "layout"]);
    let folder = fs::read_dir(shop.dir.path()).unwrap();
    let names = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(!names.into_iter().any(|name| name.starts_with(".ampoule")));
}
