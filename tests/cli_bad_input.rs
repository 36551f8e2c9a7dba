//! Bad input through the command itself: one line that names the remedy, the exit
//! code of its class, nothing half-written, no panic.
//!
//! Cases that go as far as the kit need one: `ampoule kit build`.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use object::elf as raw;
use tempfile::TempDir;

#[path = "common/elf.rs"]
#[allow(dead_code)]
mod elf;

use elf::Sample;

const USAGE: i32 = 2;
const UNSUITABLE_APP: i32 = 3;
const KIT: i32 = 4;
const IMAGE: i32 = 5;
const ENVIRONMENT: i32 = 6;
const INTERRUPTED: i32 = 130;
const BROKEN_PIPE: i32 = 141;

/// A directory to run the command in.
struct Place(TempDir);

impl Place {
    fn new() -> Place {
        let place = Place(tempfile::tempdir().unwrap());
        place.file("app", &Sample::default().bytes());
        place
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// The names in the directory, sorted.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path()).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ampoule"));
        command.args(args).current_dir(self.path());
        command
    }

    /// Runs the command and holds it to the manners of a failure.
    fn fails(&self, args: &[&str], code: i32, told: &str) {
        self.refused(self.command(args), code, told);
    }

    fn refused(&self, mut command: Command, code: i32, told: &str) {
        let before = self.names();
        let output = command.stdin(Stdio::null()).output().unwrap();
        let said = one_line(&output);
        assert!(said.contains(told), "{command:?} said: {said}");
        assert_eq!(output.status.code(), Some(code), "{command:?} said: {said}");
        assert_eq!(self.names(), before, "{command:?} left something behind");
    }
}

/// The one line that a failure prints.
fn one_line(output: &Output) -> String {
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(output.stdout.is_empty(), "a failure has no result");
    assert!(said.starts_with("ampoule: error: "), "said: {said}");
    assert_eq!(said.matches('\n').count(), 1, "said: {said}");
    assert!(!said.contains("panicked"), "said: {said}");
    said
}

#[test]
fn an_unsuitable_app_is_refused() {
    let place = Place::new();
    let whole = Sample::static_pie().bytes();
    let mut lying = Sample::default().bytes();
    lying[32..40].fill(0xff); // e_phoff
    let riscv = Sample {
        machine: raw::EM_RISCV,
        ..Sample::default()
    };
    let freebsd = Sample {
        os: raw::ELFOSABI_FREEBSD,
        ..Sample::default()
    };
    let object = Sample {
        kind: raw::ET_REL,
        ..Sample::default()
    };
    for (name, bytes, told) in [
        ("dynamic", Sample::dynamic().bytes(), "relink with -static"),
        (
            "script",
            b"#!/bin/sh\nexit\n".to_vec(),
            "is a script for `/bin/sh`",
        ),
        ("windows.exe", b"MZ\x90\0".to_vec(), "build it for Linux"),
        (
            "archive.gz",
            b"\x1f\x8b\x08\0".to_vec(),
            "is a gzip file; unpack it",
        ),
        ("riscv", riscv.bytes(), "is for riscv64"),
        ("freebsd", freebsd.bytes(), "is for FreeBSD"),
        ("object.o", object.bytes(), "is an object file; link it"),
        ("cut", whole[..whole.len() - 1].to_vec(), "is cut short"),
        ("stub", whole[..20].to_vec(), "is cut short"),
        ("lying", lying, "is a damaged ELF file"),
        ("empty", Vec::new(), "is empty"),
        ("busybox", Sample::default().bytes(), "--allow-shell"),
    ] {
        place.file(name, &bytes);
        place.fails(&["build", name], UNSUITABLE_APP, told);
    }
    fs::create_dir(place.path().join("folder")).unwrap();
    place.fails(&["build", "folder"], UNSUITABLE_APP, "is a directory");
    place.fails(&["build", ".."], USAGE, "does not end in a file name");
    place.fails(
        &["build", "nowhere"],
        UNSUITABLE_APP,
        "there is no such file",
    );
    place.fails(
        &["build", "/dev/null"],
        UNSUITABLE_APP,
        "is no regular file",
    );
    symlink("circle", place.path().join("circle")).unwrap();
    place.fails(&["build", "circle"], UNSUITABLE_APP, "cannot be read");
}

#[test]
fn a_shell_that_comes_along_is_refused() {
    let place = Place::new();
    place.file("app", &Sample::default().bytes());
    place.file("tool", &Sample::default().bytes());
    fs::create_dir(place.path().join("bin")).unwrap();
    place.file("bin/dash", &Sample::default().bytes());
    // whatever it is called, in a folder or alone
    for (file, told) in [
        (
            "tool:/bin/sh",
            "tool: is a shell or brings one: it is named like sh",
        ),
        ("bin:/opt/bin", "named like dash; give --allow-shell"),
    ] {
        let args = ["build", "app", "--file", file];
        place.fails(&args, UNSUITABLE_APP, told);
    }
}

#[test]
fn a_wrong_command_line_is_refused() {
    let place = Place::new();
    place.fails(&["build"], USAGE, "no app is named");
    for (args, told) in [
        (&["--prot", "80"][..], "'--port'"),
        (&["--port", "0"], "0 is no port"),
        (&["--port", "http"], "not a number"),
        (
            &["--port", "80", "--port", "80"],
            "--port: port 80 is there twice",
        ),
        (&["--env", "A"], "has no `=`"),
        (&["--file", "app"], "is not HOST:GUEST"),
        (&["--file", "app:/init"], "nothing can be put at /init"),
        (&["--file", "app:/app/app"], "would replace the app"),
        (&["--user", "root"], "is no user"),
        (&["--name", "Not A Name"], "is no name"),
        (&["--workdir", "srv"], "begins with /"),
        (&["-o", "."], "is a directory; name a file with -o"),
        (&["-o", "/dev/full"], "is no regular file"),
        (&["-o", "app"], "cannot be its output"),
        (&["--config", "nowhere.toml"], "cannot read nowhere.toml"),
    ] {
        place.fails(&[&["build", "app"], args].concat(), USAGE, told);
    }
}

#[test]
fn a_wrong_file_is_refused_with_its_line() {
    let place = Place::new();
    for (text, told) in [
        (
            "app = 'app'\nprots = [80]",
            "ampoule.toml:2: there is no key `prots`; did you mean `ports`?",
        ),
        (
            "app = 1",
            "ampoule.toml:1: app: must be a string, not an integer",
        ),
        ("ports = [80,\n0]", "ampoule.toml:2: ports: 0 is no port"),
        ("app = ", "ampoule.toml:1: "),
        ("\u{0}", "ampoule.toml:1: "),
    ] {
        place.file("ampoule.toml", text.as_bytes());
        place.fails(&["build"], USAGE, told);
    }
    place.file("ampoule.toml", b"name = '\xff'");
    place.fails(&["build"], USAGE, "cannot read ampoule.toml");
}

#[test]
fn a_kit_that_is_not_there_is_named() {
    let place = Place::new();
    let aarch64 = Sample {
        machine: raw::EM_AARCH64,
        ..Sample::default()
    };
    place.file("arm", &aarch64.bytes());
    place.fails(&["build", "arm"], KIT, "there is no kit for aarch64 yet");
    fs::create_dir(place.path().join("kits")).unwrap();
    let mut command = place.command(&["build", "app"]);
    command.env("AMPOULE_KIT_DIR", place.path().join("kits"));
    place.refused(command, KIT, "run `ampoule kit build`");
}

#[test]
fn files_that_cannot_go_in_are_named() {
    let place = Place::new();
    place.fails(
        &["build", "app", "--file", "nowhere:/srv"],
        USAGE,
        "cannot read nowhere, wanted as /srv",
    );
    place.fails(
        &["build", "app", "--file", "/dev/null:/srv/null"],
        USAGE,
        "/dev/null is a device",
    );
}

#[test]
fn an_output_that_cannot_be_written_leaves_nothing() {
    let place = Place::new();
    place.fails(
        &["build", "app", "-o", "nowhere/app.img"],
        ENVIRONMENT,
        "cannot write nowhere",
    );
    // a file that may not grow past 1 MiB, as on a full disk: setrlimit(2)
    let shell = "trap '' XFSZ; ulimit -f 2048; exec \"$0\" \"$@\"";
    let mut command = Command::new("sh");
    command
        .args(["-c", shell, env!("CARGO_BIN_EXE_ampoule"), "build", "app"])
        .current_dir(place.path());
    place.refused(command, ENVIRONMENT, "cannot write");
}

#[test]
fn an_image_from_before_survives_a_failed_build() {
    let place = Place::new();
    place.file("app.img", b"the old image");
    place.fails(
        &["build", "app", "--file", "nowhere:/srv"],
        USAGE,
        "cannot read nowhere",
    );
    let kept = fs::read(place.path().join("app.img")).unwrap();
    assert_eq!(kept, b"the old image");
}

#[test]
fn what_is_no_image_is_refused() {
    let place = Place::new();
    place.file("empty.img", b"");
    place.file("zeros.img", &vec![0; 4 << 20]);
    place.file("noise.img", &noise(4 << 20));
    for name in [
        "empty.img",
        "zeros.img",
        "noise.img",
        "app",
        "nowhere.img",
        ".",
    ] {
        place.fails(&["inspect", name], IMAGE, name);
    }
}

#[test]
fn a_damaged_image_is_refused() {
    let place = Place::new();
    let built = place.command(&["build", "app"]).output().unwrap();
    let said = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "is there a kit? {said}");
    let whole = fs::read(place.path().join("app.img")).unwrap();
    place.file("cut.img", &whole[..whole.len() / 2]);
    place.fails(&["inspect", "cut.img"], IMAGE, "cut.img");
    // the header of the GPT, UEFI 2.10 section 5.3.2
    let mut flipped = whole.clone();
    flipped[512 + 40] ^= 1;
    place.file("gpt.img", &flipped);
    place.fails(&["inspect", "gpt.img"], IMAGE, "gpt.img");
    // the initramfs: whatever is changed in it, its checksum tells
    let magic = [0x28, 0xb5, 0x2f, 0xfd];
    let initrd = whole.windows(4).position(|bytes| bytes == magic).unwrap();
    let mut flipped = whole.clone();
    flipped[initrd + 1000] ^= 1;
    place.file("initrd.img", &flipped);
    place.fails(&["inspect", "initrd.img"], IMAGE, "initrd.img");
}

#[test]
fn a_reader_that_goes_away_ends_the_command_quietly() {
    let place = Place::new();
    for args in [&["man"][..], &["completions", "bash"]] {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(ours);
        let output = place
            .command(args)
            .stdout(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(BROKEN_PIPE));
        assert!(output.stderr.is_empty());
    }
}

/// Ctrl-C while the image is made: the temporary files go, and no image comes.
#[test]
fn an_interrupted_build_leaves_nothing() {
    let place = Place::new();
    let mut large = Sample::default();
    large.content.extend(noise(24 << 20));
    place.file("app", &large.bytes());
    let mut build = place
        .command(&["build", "app"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(180);
    let begun = || {
        place
            .names()
            .iter()
            .any(|name| name.starts_with(".ampoule-"))
    };
    while !begun() {
        let ended = build.try_wait().unwrap();
        assert!(ended.is_none(), "the build ended early: is there a kit?");
        assert!(Instant::now() < deadline, "the build never began to write");
        std::thread::yield_now();
    }
    let pid = rustix::process::Pid::from_child(&build);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = build.wait_with_output().unwrap();
    assert_eq!(
        output.status.code(),
        Some(INTERRUPTED),
        "{}",
        one_line(&output)
    );
    assert_eq!(place.names(), ["app"]);
}

/// Bytes that do not compress, the same each time (Numerical Recipes' LCG).
fn noise(len: usize) -> Vec<u8> {
    let mut state: u32 = 1;
    let step = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..len).map(step).collect()
}
