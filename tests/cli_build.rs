//! `ampoule build` and `ampoule inspect` through the command itself. Needs a kit:
//! `ampoule kit build`.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

#[path = "common/elf.rs"]
#[allow(dead_code)]
mod elf;

use elf::Sample;

/// Runs the command in `dir` through a shell that sets `umask`, and gives what it
/// printed.
fn ampoule(dir: &Path, umask: &str, args: &[&str]) -> String {
    let shell = format!("umask {umask} && exec \"$0\" \"$@\"");
    let output = Command::new("sh")
        .args(["-c", &shell, env!("CARGO_BIN_EXE_ampoule")])
        .args(args)
        .current_dir(dir)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?} said: {said}");
    String::from_utf8(output.stdout).unwrap()
}

fn json(dir: &Path, args: &[&str]) -> Value {
    serde_json::from_str(&ampoule(dir, "022", args)).unwrap()
}

/// An app, a site with a link, and a file that describes them.
fn workshop(dir: &Path) {
    fs::write(dir.join("server"), Sample::default().bytes()).unwrap();
    fs::create_dir_all(dir.join("site/bin")).unwrap();
    fs::write(dir.join("site/index.html"), "hello").unwrap();
    fs::write(dir.join("site/bin/tool"), "#").unwrap();
    let executable = fs::Permissions::from_mode(0o700);
    fs::set_permissions(dir.join("site/bin/tool"), executable).unwrap();
    symlink("../outside", dir.join("site/link")).unwrap();
    fs::write(
        dir.join("ampoule.toml"),
        "app = 'server'\nname = 'edge'\nargs = ['--from', 'file']\nports = [80, 443]\n\
         user = '7:8'\nworkdir = '/srv'\ndns = ['192.0.2.53']\non-exit = 'reboot'\n\
         [env]\nA = 'file'\nB = 'file'\n[files]\n'/srv' = 'site'\n\
         [network]\naddress = '192.0.2.10/24'\ngateway = '192.0.2.1'\n[stop]\ngrace = '3s'\n",
    )
    .unwrap();
}

#[test]
fn the_same_input_gives_the_same_bytes_anywhere() {
    let [one, two] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let images =
        [(one.path(), "022", "a.img"), (two.path(), "077", "b.img")].map(|(dir, umask, image)| {
            workshop(dir);
            ampoule(dir, umask, &["build", "-o", image]);
            let path = dir.join(image);
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            (fs::read(path).unwrap(), mode & 0o777)
        });
    let [(first, first_mode), (second, second_mode)] = images;
    assert!(first == second, "two builds differ");
    assert_eq!((first_mode, second_mode), (0o644, 0o600));
    assert_eq!(first.len() % (1 << 20), 0, "not a whole number of MiB");
}

#[test]
fn what_was_asked_for_is_in_the_image() {
    let dir = tempfile::tempdir().unwrap();
    workshop(dir.path());
    let built = json(
        dir.path(),
        &[
            "build", "--json", "--env", "B=flag", "--env", "C=x=y", "--port", "8080", "--",
            "--from", "flags",
        ],
    );
    assert_eq!(built["image"], "edge.img");
    let image = json(dir.path(), &["inspect", "--json", "edge.img"]);
    assert_eq!(image["sha256"], built["sha256"]);
    assert_eq!(image["memory_mib"], built["memory_mib"]);
    assert_eq!(image["arch"], "x86_64");
    let version = image["kernel"]["version"].as_str().unwrap();
    assert!(version.starts_with("6.12."), "{version}");

    let config = &image["config"];
    for (key, value) in [
        ("app", Value::from("/app/server")),
        ("args", Value::from(vec!["server", "--from", "flags"])),
        ("workdir", Value::from("/srv")),
        ("uid", Value::from(7)),
        ("gid", Value::from(8)),
        ("hostname", Value::from("edge")),
        ("network", Value::from("static 192.0.2.10/24 192.0.2.1")),
        ("dns", Value::from(vec!["192.0.2.53"])),
        ("ports", Value::from(vec![8080])),
        ("on_exit", Value::from("reboot")),
        ("grace_seconds", Value::from(3)),
    ] {
        assert_eq!(config[key], value, "{key}");
    }
    assert_eq!(config["env"]["A"], "file");
    assert_eq!(config["env"]["B"], "flag");
    assert_eq!(config["env"]["C"], "x=y");

    let files = image["files"].as_array().unwrap();
    let file = |path: &str| files.iter().find(|file| file["path"] == path).unwrap();
    assert_eq!(file("/srv/index.html")["size"], 5);
    assert_eq!(
        file("/srv/index.html")["sha256"],
        // sha256sum of "hello"
        "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    );
    for (path, mode) in [
        ("/srv/index.html", 0o644),
        ("/srv/bin/tool", 0o755),
        ("/srv/bin", 0o755),
        ("/app/server", 0o755),
    ] {
        assert_eq!(file(path)["mode"], mode, "{path}");
    }
    assert_eq!(file("/srv/link")["target"], "../outside");

    let sections = image["uki"]["sections"].as_array().unwrap();
    let names: Vec<&str> = sections.iter().filter_map(|s| s["name"].as_str()).collect();
    for name in [".linux", ".initrd", ".cmdline", ".osrel", ".uname", ".sbat"] {
        assert!(names.contains(&name), "{name}");
    }
    assert_eq!(image["partitions"].as_array().unwrap().len(), 2);
}

#[test]
fn an_app_named_on_the_command_line_reads_no_file() {
    let dir = tempfile::tempdir().unwrap();
    workshop(dir.path());
    ampoule(dir.path(), "022", &["build", "server"]);
    let image = json(dir.path(), &["inspect", "--json", "server.img"]);
    assert_eq!(image["config"]["ports"], Value::from(Vec::<u16>::new()));
    assert_eq!(image["config"]["uid"], 65532);
}

#[test]
fn the_tables_show_what_the_json_holds_and_no_colours() {
    let dir = tempfile::tempdir().unwrap();
    workshop(dir.path());
    let summary = ampoule(dir.path(), "022", &["build"]);
    let table = ampoule(dir.path(), "022", &["inspect", "edge.img"]);
    for told in [
        "/srv/link -> ../outside",
        "EFI system",
        ".linux",
        "192.0.2.10/24",
        "A=file",
    ] {
        assert!(table.contains(told), "{told} is not in\n{table}");
    }
    assert!(summary.contains("edge.img"), "{summary}");
    assert!(!format!("{summary}{table}").contains('\x1b'));
}

#[test]
fn a_shell_goes_in_by_leave_and_is_marked() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("bash"), Sample::default().bytes()).unwrap();
    ampoule(dir.path(), "022", &["build", "bash", "--allow-shell"]);
    let image = json(dir.path(), &["inspect", "--json", "bash.img"]);
    assert_eq!(image["shell"], true);

    // one that comes along counts as well, and a mere file of such a name does not
    fs::write(dir.path().join("server"), Sample::default().bytes()).unwrap();
    fs::write(dir.path().join("note"), "no program").unwrap();
    for (file, shell) in [("bash:/bin/tool", true), ("note:/bin/sh", false)] {
        let mut args = vec!["build", "server", "--file", file];
        args.extend(shell.then_some("--allow-shell"));
        ampoule(dir.path(), "022", &args);
        let image = json(dir.path(), &["inspect", "--json", "server.img"]);
        assert_eq!(image["shell"], shell, "{file}");
    }
}

#[test]
fn manual_pages_are_written_for_every_command() {
    let dir = tempfile::tempdir().unwrap();
    ampoule(dir.path(), "022", &["man", "--dir", "."]);
    for page in [
        "ampoule.1",
        "ampoule-build.1",
        "ampoule-test.1",
        "ampoule-kit.1",
    ] {
        let text = fs::read_to_string(dir.path().join(page)).unwrap();
        assert!(text.contains(".SH SYNOPSIS"), "{page}");
    }
}

/// A program whose code ends at once, and that carries `text` behind it.
fn carrying(code: &[u8], text: &str) -> Vec<u8> {
    // decoding begins at the headers and is in step again behind these (nop)
    let mut content = vec![0x90; 16];
    content.extend(code);
    content.extend(Sample::default().content);
    content.push(0);
    content.extend(text.as_bytes());
    content.push(0);
    Sample {
        content,
        ..Sample::default()
    }
    .bytes()
}

const BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";

#[test]
fn what_the_app_needs_is_added_with_its_reason_and_the_same_each_time() {
    let [one, two] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let mut images = Vec::new();
    for dir in [one.path(), two.path()] {
        fs::write(dir.join("app"), carrying(&[], BUNDLE)).unwrap();
        let built = json(dir, &["build", "app", "--json"]);
        assert_eq!(built["payload"][0]["path"], BUNDLE);
        assert_eq!(built["payload"][0]["evidence"][0]["what"], BUNDLE);
        images.push(fs::read(dir.join("app.img")).unwrap());
    }
    assert!(images[0] == images[1], "two builds differ");

    let image = json(one.path(), &["inspect", "--json", "app.img"]);
    let given = &image["payload"][0];
    assert_eq!(given["path"], BUNDLE);
    assert!(
        given["source"]
            .as_str()
            .unwrap()
            .starts_with("webpki-root-certs ")
    );
    assert!(
        given["why"][0].as_str().unwrap().contains(BUNDLE),
        "{given}"
    );
    let files = image["files"].as_array().unwrap();
    let bundle = files.iter().find(|file| file["path"] == BUNDLE).unwrap();
    assert_eq!(bundle["size"], given["size"]);
    let table = ampoule(one.path(), "022", &["inspect", "app.img"]);
    assert!(table.contains("added"), "{table}");
}

#[test]
fn who_brings_certificates_of_his_own_gets_no_others() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("app"), carrying(&[], BUNDLE)).unwrap();
    fs::write(dir.path().join("own.pem"), "own").unwrap();
    for args in [
        ["--file", "own.pem:/etc/ssl/certs/own.pem"],
        ["--env", "SSL_CERT_FILE=/own.pem"],
    ] {
        let built = json(
            dir.path(),
            &[&["build", "app", "--json"], &args[..]].concat(),
        );
        assert_eq!(
            built["payload"],
            Value::from(Vec::<Value>::new()),
            "{args:?}"
        );
    }
}

#[test]
fn a_kernel_without_what_the_app_calls_refuses_it_and_what_was_accepted_is_marked() {
    let option = "CONFIG_CROSS_MEMORY_ATTACH";
    let dir = tempfile::tempdir().unwrap();
    // mov eax, 310 (process_vm_readv on x86_64); syscall
    let code = [0xb8, 0x36, 0x01, 0, 0, 0x0f, 0x05];
    fs::write(dir.path().join("app"), carrying(&code, "")).unwrap();
    let refused = Command::new(env!("CARGO_BIN_EXE_ampoule"))
        .args(["build", "app"])
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(3));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(said.lines().count(), 1, "{said}");
    for part in ["app: needs", "process_vm_readv", option, "--accept"] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    assert!(!dir.path().join("app.img").exists());

    fs::write(
        dir.path().join("ampoule.toml"),
        format!("app = 'app'\naccept = ['{option}', 'git']\n"),
    )
    .unwrap();
    let built = json(dir.path(), &["build", "--json"]);
    assert_eq!(built["accepted"], Value::from(vec![option]));
    assert_eq!(built["accepted_in_vain"], Value::from(vec!["git"]));
    let image = json(dir.path(), &["inspect", "--json", "app.img"]);
    assert_eq!(image["accepted"], Value::from(vec![option]));
    let bare = json(dir.path(), &["build", "app", "--accept", option, "--json"]);
    assert_eq!(bare["sha256"], built["sha256"]);
}

#[test]
fn the_filter_is_told_and_read_back_from_the_image() {
    let dir = tempfile::tempdir().unwrap();
    workshop(dir.path());
    let policy = |args: &[&str]| {
        let built = json(dir.path(), &[&["build", "--json"], args].concat());
        let seen = json(dir.path(), &["inspect", "edge.img", "--json"]);
        let seccomp = seen["config"]["seccomp"].clone();
        assert_eq!(built["seccomp"]["policy"], seccomp["policy"]);
        let count = seccomp["calls"].as_array().map(Vec::len);
        assert_eq!(built["seccomp"]["calls"].as_u64(), count.map(|n| n as u64));
        let file = seen["files"].as_array().unwrap().iter();
        let has_file = file.clone().any(|file| file["path"] == "/ampoule/seccomp");
        assert_eq!(has_file, count.is_some());
        (built, seccomp)
    };
    let has = |seccomp: &Value, call: &str| {
        let calls = seccomp["calls"].as_array().unwrap();
        calls.iter().any(|one| one == call)
    };
    let (_, default) = policy(&[]);
    assert_eq!(default["policy"], "default");
    assert!(has(&default, "execve") && has(&default, "socket"));
    assert!(!has(&default, "mount") && !has(&default, "ptrace"));

    let (_, off) = policy(&["--seccomp", "off"]);
    assert_eq!(off, serde_json::json!({ "policy": "off", "calls": null }));

    // the sample ends by exit(2), and calls nothing else
    let (built, derived) = policy(&["--seccomp", "derived"]);
    assert_eq!(derived["policy"], "derived");
    assert!(has(&derived, "exit") && !has(&derived, "openat"));
    assert!(built["seccomp"]["unresolved"].is_null(), "{built:#}");

    // rdtsc; syscall: nobody can tell which call that is
    let by_the_clock = Sample {
        content: vec![0x0f, 0x31, 0x0f, 0x05],
        ..Sample::default()
    };
    fs::write(dir.path().join("server"), by_the_clock.bytes()).unwrap();
    let (built, fallen) = policy(&["--seccomp", "derived"]);
    assert_eq!(fallen, default);
    assert!(built["seccomp"]["unresolved"].is_u64(), "{built:#}");
    let told = ampoule(dir.path(), "022", &["build", "--seccomp", "derived"]);
    assert!(told.contains("seccomp  default: "), "{told}");

    let config = fs::read_to_string(dir.path().join("ampoule.toml")).unwrap();
    let listed = format!("{config}[seccomp]\ncalls = ['read', 'execve']\n");
    fs::write(dir.path().join("ampoule.toml"), listed).unwrap();
    let (_, learned) = policy(&[]);
    assert_eq!(learned["policy"], "learned");
    assert!(has(&learned, "read") && has(&learned, "execve") && has(&learned, "exit_group"));
    assert!(!has(&learned, "openat"));
    let told = ampoule(dir.path(), "022", &["inspect", "edge.img"]);
    assert!(told.contains("seccomp"), "{told}");
}
