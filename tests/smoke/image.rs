//! Images of the small app that can be good and bad in many ways.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use ampoule::digest::Digest;
use ampoule::kit::Kit;
use ampoule::pipeline::{self, Silent};
use ampoule::spec::Settings;
use ampoule::units::Arch;
use serde_json::Value;
use tempfile::TempDir;

/// The app, made once: `tests/guests/app.rs` against a static C library.
fn app() -> &'static Path {
    static APP: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = APP.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let app = folder.path().join("app");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests/app.rs");
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let status = Command::new(rustc)
            .args(["--edition", "2024", "-O", "-C", "strip=symbols"])
            .args([
                "-C",
                "target-feature=+crt-static",
                "--target",
                "x86_64-unknown-linux-gnu",
            ])
            .arg("-o")
            .arg(&app)
            .arg(source)
            .status()
            .expect("rustc runs");
        assert!(status.success(), "the guest's app was not built");
        (folder, app)
    });
    path
}

/// An image of the app, in a folder of its own that is the working directory of what is run.
pub struct Image {
    pub folder: TempDir,
    pub path: PathBuf,
}

impl Image {
    pub fn new(args: &[&str], ports: &[u16]) -> Image {
        let kit = Kit::open(Arch::X86_64).expect("the kit is there (ampoule kit build)");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("app.img");
        let appliance = Settings {
            app: Some(app().to_owned()),
            output: Some(path.clone()),
            args: Some(args.iter().map(|&arg| arg.to_owned()).collect()),
            ports: Some(ports.to_vec()),
            grace: Some(2),
            ..Settings::default()
        };
        let appliance = appliance.resolve().expect("a whole appliance");
        pipeline::build(&appliance, &kit, &Silent).expect("the image is made");
        Image { folder, path }
    }

    pub fn command(&self, command: &str, args: &[&str]) -> Command {
        let mut ampoule = Command::new(env!("CARGO_BIN_EXE_ampoule"));
        ampoule
            .current_dir(&self.folder)
            .arg(command)
            .arg("app.img")
            .args(args);
        ampoule.args(["--accel", "tcg"]);
        // a busy machine takes its time; the tests of what never comes say their own
        if command == "test" && !args.contains(&"--timeout") {
            ampoule.args(["--timeout", "900"]);
        }
        ampoule
    }

    /// What `test --json` says, and its exit code. The image stays as it was in any case.
    pub fn test(&self, args: &[&str]) -> (Value, i32) {
        let before = Digest::of(&fs::read(&self.path).expect("the image"));
        let output = self
            .command("test", args)
            .arg("--json")
            .output()
            .expect("ampoule runs");
        let after = Digest::of(&fs::read(&self.path).expect("the image"));
        assert_eq!(before, after, "the image has changed");
        let report =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", told(&output)));
        (report, output.status.code().expect("a code"))
    }
}

pub fn told(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}", text(&output.stdout), text(&output.stderr))
}
