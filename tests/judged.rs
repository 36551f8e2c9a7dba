//! Real programs that nobody here wrote, refused by `ampoule build` for what an image
//! cannot give them, or given what they need. `scripts/fetch-corpus` gets them. Needs a
//! kit, and QEMU.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

const UNSUITABLE_APP: i32 = 3;

/// The program of `tests/corpus.toml`.
fn program(name: &str) -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"),
        PathBuf::from,
    );
    let program = cache.join("ampoule/corpus").join(name);
    assert!(
        program.is_file(),
        "{name} is missing: run scripts/fetch-corpus"
    );
    program
}

struct Place(TempDir);

impl Place {
    fn new() -> Place {
        Place(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap())
    }

    fn image(&self) -> PathBuf {
        self.0.path().join("app.img")
    }

    fn build(&self, app: &Path, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_ampoule"))
            .arg("build")
            .arg(app)
            .arg("-o")
            .arg(self.image())
            .args(args)
            .output()
            .unwrap()
    }

    /// Boots the image; the app's exit code and what it printed.
    fn run(&self) -> (Option<i32>, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_ampoule"))
            .arg("run")
            .arg(self.image())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), said)
    }
}

/// Refused in one line that has all of `told`; built once `args` say so.
fn refused_until(name: &str, told: &[&str], args: &[&str]) {
    let place = Place::new();
    let refused = place.build(&program(name), &[]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(UNSUITABLE_APP), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    for part in told {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    assert!(!place.image().exists());
    if !args.is_empty() {
        let built = place.build(&program(name), args);
        let said = String::from_utf8_lossy(&built.stderr).into_owned();
        assert_eq!(built.status.code(), Some(0), "{said}");
    }
}

#[test]
fn a_build_tool_is_refused_for_the_shell_that_it_starts() {
    refused_until(
        "rescript-ninja",
        &["starts /bin/sh", ".rodata", "--accept /bin/sh"],
        &["--accept", "/bin/sh"],
    );
}

#[test]
fn a_profiler_is_refused_for_what_the_kernel_was_built_without() {
    refused_until(
        "py-spy",
        &[
            "process_vm_readv",
            ".text",
            "--accept CONFIG_CROSS_MEMORY_ATTACH",
        ],
        &["--accept", "CONFIG_CROSS_MEMORY_ATTACH"],
    );
}

#[test]
fn a_dynamic_server_is_refused_for_its_libraries() {
    refused_until(
        "dyn-go-node-exporter-debian",
        &["/lib64/ld-linux-x86-64.so.2", "libc.so.6", "--libs"],
        &[],
    );
}

#[test]
fn a_client_that_gives_up_without_certificates_gets_them_and_runs() {
    let place = Place::new();
    let args = [
        "--",
        "--ignore-stdin",
        "--offline",
        "GET",
        "http://example.org/",
    ];
    let built = place.build(&program("xh"), &args);
    let said = String::from_utf8_lossy(&built.stdout).into_owned();
    assert_eq!(built.status.code(), Some(0), "{said}");
    assert!(
        said.contains("ca-certificates.crt, webpki-root-certs "),
        "{said}"
    );
    let (code, said) = place.run();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("Host: example.org"), "{said}");

    // the same without them: its owner leads it to a file that is not there
    let own = [&["--env", "SSL_CERT_FILE=/none"], &args[..]].concat();
    let built = place.build(&program("xh"), &own);
    assert_eq!(built.status.code(), Some(0));
    let (code, said) = place.run();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("No CA certificates were loaded"), "{said}");
}
