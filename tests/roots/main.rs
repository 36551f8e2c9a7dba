//! Apps that need more than themselves, through the command: libraries out of a root, and
//! whole roots, by hand and by other people's tools. Needs a kit (`ampoule kit build`), the
//! programs of `scripts/fetch-corpus`, umoci and skopeo.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

#[path = "../common/elf.rs"]
#[allow(dead_code)]
mod elf;
mod image;
mod libs;
mod root;

/// What a command said, and its exit code.
struct Outcome {
    code: Option<i32>,
    out: String,
    err: String,
}

/// A folder of its own, in which commands run.
struct Workshop {
    dir: TempDir,
}

impl Workshop {
    fn new() -> Workshop {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"));
        Workshop {
            dir: dir.expect("a folder to work in"),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// A program, with the right to execute it.
    fn program(&self, name: &str, bytes: impl AsRef<[u8]>) {
        use std::os::unix::fs::PermissionsExt as _;
        self.write(name, bytes);
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn copy(&self, from: &Path, name: &str) {
        let bytes = fs::read(from);
        let bytes = bytes.unwrap_or_else(|error| panic!("{}: {error}", from.display()));
        self.program(name, bytes);
    }

    fn link(&self, target: &str, name: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
    }

    fn ampoule(&self, args: &[&str]) -> Outcome {
        self.run(env!("CARGO_BIN_EXE_ampoule"), args)
    }

    /// Runs somebody else's tool, of the Debian package of the same name.
    fn tool(&self, name: &str, args: &[&str]) {
        let done = self.run(name, args);
        assert_eq!(done.code, Some(0), "{name} {args:?}: {}", done.err);
    }

    fn run(&self, program: &str, args: &[&str]) -> Outcome {
        let output = Command::new(program)
            .args(args)
            .current_dir(self.dir.path())
            .output()
            .unwrap_or_else(|error| panic!("{program}: {error}; install the package {program}"));
        Outcome {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Builds `image.img`; gives what `--json` tells.
    fn build(&self, args: &[&str]) -> Value {
        let done = self.ampoule(&[&["build", "-o", "image.img", "--json"], args].concat());
        assert_eq!(done.code, Some(0), "{args:?}: {}", done.err);
        serde_json::from_str(&done.out).unwrap()
    }

    /// What a build says that is refused with this exit code.
    fn refusal(&self, code: i32, args: &[&str]) -> String {
        let done = self.ampoule(&[&["build", "-o", "image.img"], args].concat());
        assert_eq!(done.code, Some(code), "{args:?}: {}", done.err);
        assert!(!self.path("image.img").exists(), "an image was left behind");
        done.err
    }

    fn inspect(&self) -> Value {
        let done = self.ampoule(&["inspect", "--json", "image.img"]);
        assert_eq!(done.code, Some(0), "{}", done.err);
        serde_json::from_str(&done.out).unwrap()
    }

    /// Boots the image and holds it against `checks`.
    fn test(&self, checks: &[&str]) {
        let common = [
            "test",
            "image.img",
            "--firmware",
            "direct",
            "--timeout",
            "900",
        ];
        let done = self.ampoule(&[&common, checks].concat());
        assert_eq!(done.code, Some(0), "{}{}", done.out, done.err);
    }
}

/// A real program, as `scripts/fetch-corpus` left it.
fn corpus(name: &str) -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache");
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from);
    let program = cache.join("ampoule/corpus").join(name);
    assert!(
        program.is_file(),
        "{} is missing: run scripts/fetch-corpus",
        program.display()
    );
    program
}

/// The guest's entry at `path`, out of what `inspect` told.
fn entry<'a>(image: &'a Value, path: &str) -> Option<&'a Value> {
    let files = image["files"].as_array().unwrap();
    files.iter().find(|file| file["path"] == path)
}

fn strings(list: &Value, key: &str) -> Vec<String> {
    let list = list.as_array().unwrap().iter();
    list.map(|one| one[key].as_str().unwrap().to_owned())
        .collect()
}
