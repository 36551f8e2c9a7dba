//! Images of the small app that can be good and bad in many ways.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use ampoule::digest::Digest;
use ampoule::kit::Kit;
use ampoule::pipeline::{self, Silent};
use ampoule::spec::{Seccomp, Settings};
use ampoule::units::Arch;
use serde_json::Value;
use tempfile::TempDir;

#[path = "../common/compile.rs"]
mod compile;

use compile::compile;

/// The app, made once.
pub fn app() -> &'static Path {
    static APP: OnceLock<PathBuf> = OnceLock::new();
    APP.get_or_init(|| compile("tests/guests/app.rs", "smoke-app"))
}

/// An image of the app, in a folder of its own that is the working directory of what is run.
pub struct Image {
    pub folder: TempDir,
    pub path: PathBuf,
}

impl Image {
    pub fn new(args: &[&str], ports: &[u16]) -> Image {
        Image::with(args, ports, None)
    }

    pub fn with(args: &[&str], ports: &[u16], seccomp: Option<Seccomp>) -> Image {
        let kit = Kit::open(Arch::X86_64).expect("the kit is there (ampoule kit build)");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("app.img");
        let appliance = Settings {
            app: Some(app().to_owned()),
            output: Some(path.clone()),
            args: Some(args.iter().map(|&arg| arg.to_owned()).collect()),
            ports: Some(ports.to_vec()),
            grace: Some(2),
            seccomp,
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
