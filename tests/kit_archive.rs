//! `ampoule kit` when the archive moves on: apt is shown an archive made for the test. Needs the kit, as
//! `ampoule kit build` leaves it.

#[path = "common/elf.rs"]
#[allow(dead_code)]
mod elf;

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Output};

use ampoule::digest::Digest;
use ampoule::kit::{Kit, Package};
use ampoule::units::Arch;
use assert_cmd::Command;
use predicates::prelude::*;
use serde_json::Value;
use tempfile::TempDir;

/// The lock, as it stands in the checkout.
const LOCK: &str = include_str!("../kernel-config/lock.toml");

fn kit() -> Kit {
    Kit::open(Arch::X86_64).expect("these tests need the kit")
}

/// An archive of packages, and an apt that sees no other.
struct Archive(TempDir);

impl Archive {
    fn new() -> Archive {
        let archive = Archive(tempfile::tempdir().unwrap());
        for folder in ["repo", "parts", "lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(archive.path().join(folder)).unwrap();
        }
        let path = archive.path().display();
        let source = format!("deb [trusted=yes] file:{path}/repo ./\n");
        fs::write(archive.path().join("parts/test.list"), source).unwrap();
        let settings = format!(
            "Dir::Etc::SourceList \"/dev/null\";\nDir::Etc::SourceParts \"{path}/parts\";\n\
             Dir::State::Lists \"{path}/lists\";\nDir::Cache \"{path}/cache\";\n\
             APT::Sandbox::User \"root\";\n"
        );
        fs::write(archive.settings(), settings).unwrap();
        archive
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// The file that `APT_CONFIG` names.
    fn settings(&self) -> PathBuf {
        self.path().join("apt.conf")
    }

    /// Lists these packages, and nothing else. What is not fetched need not be there.
    fn lists(&self, packages: &[Package]) {
        let mut text = String::new();
        for Package {
            package,
            version,
            sha256,
        } in packages
        {
            let file = format!("{package}_{version}.deb");
            let size = fs::metadata(self.path().join("repo").join(&file)).map_or(1, |m| m.len());
            let _ = write!(
                text,
                "Package: {package}\nVersion: {version}\nArchitecture: amd64\nFilename: ./{file}\n\
                 Size: {size}\nSHA256: {sha256}\nDescription: a test\n\n"
            );
        }
        fs::write(self.path().join("repo/Packages"), text).unwrap();
        run(Process::new("apt-get")
            .args(["-qq", "update"])
            .env("APT_CONFIG", self.settings()));
    }

    /// A package of the EFI stub at another version, with the stub at hand in it.
    fn other_stub(&self) -> Package {
        let (package, version) = ("systemd-boot-efi".to_owned(), "999.1-1".to_owned());
        let tree = self.path().join("tree");
        let efi = tree.join("usr/lib/systemd/boot/efi");
        fs::create_dir_all(&efi).unwrap();
        fs::create_dir(tree.join("DEBIAN")).unwrap();
        let control = format!(
            "Package: {package}\nVersion: {version}\nArchitecture: amd64\n\
             Maintainer: nobody <nobody@example.org>\nDescription: a test\n"
        );
        fs::write(tree.join("DEBIAN/control"), control).unwrap();
        fs::copy(kit().stub(), efi.join("linuxx64.efi.stub")).unwrap();
        let file = self.path().join(format!("repo/{package}_{version}.deb"));
        run(Process::new("dpkg-deb")
            .args(["--build", "--root-owner-group"])
            .args([&tree, &file]));
        let sha256 = Digest::of(&fs::read(file).unwrap());
        Package {
            package,
            version,
            sha256,
        }
    }

    /// The command with this archive, a cache of kits of its own, and the kernel that was compiled before.
    fn ampoule(&self) -> Command {
        let cache = self.path().join("kits");
        if !cache.exists() {
            let kernels = kit().folder().with_file_name("kernels");
            assert!(
                kernels.exists(),
                "no kernel was compiled here: run `ampoule kit build`"
            );
            fs::create_dir(&cache).unwrap();
            symlink(kernels, cache.join("kernels")).unwrap();
        }
        let mut command = Command::cargo_bin("ampoule").unwrap();
        command
            .env("AMPOULE_KIT_DIR", cache)
            .env("APT_CONFIG", self.settings());
        command
    }
}

fn run(command: &mut Process) {
    let Output { status, stderr, .. } = command.output().expect("apt and dpkg are there");
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
}

#[test]
fn a_pin_that_has_left_the_archive_is_told_with_its_remedies() {
    let archive = Archive::new();
    archive.lists(&[archive.other_stub()]);
    archive
        .ampoule()
        .args(["kit", "build"])
        .assert()
        .code(4)
        .stderr(predicate::str::contains("999.1-1"))
        .stderr(predicate::str::contains("ampoule kit bump"))
        .stderr(predicate::str::contains("--stub FILE"))
        .stderr(predicate::str::contains("--unpinned"));

    if kit().unpinned() {
        // the kernel at hand is of a source that this archive lacks as well
        return;
    }
    // and goes on with the newest there is only when that is asked for, with a mark on all that comes of it
    let told = archive
        .ampoule()
        .args(["kit", "build", "--unpinned"])
        .assert()
        .success()
        .get_output()
        .stderr
        .clone();
    let told = String::from_utf8(told).unwrap();
    let line = "is not to be had; going on with 999.1-1: kit and images are marked unpinned";
    assert_eq!(told.matches(line).count(), 1, "{told}");
    archive
        .ampoule()
        .args(["kit", "verify"])
        .assert()
        .success()
        .stdout(predicate::str::contains("unpinned"))
        .stdout(predicate::str::contains("systemd-boot-efi 999.1-1"));
    let app = archive.path().join("server");
    fs::write(&app, elf::Sample::default().bytes()).unwrap();
    archive
        .ampoule()
        .current_dir(archive.path())
        .args(["build", "server"])
        .assert()
        .success();
    let shown = archive
        .ampoule()
        .current_dir(archive.path())
        .args(["inspect", "--json", "server.img"])
        .output()
        .unwrap();
    let image: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(image["unpinned"], true, "{image:#}");

    // a pinned kit is wanted again, so the marked one does not do
    archive.ampoule().args(["kit", "build"]).assert().code(4);
}

#[test]
fn bump_moves_the_pin_to_the_newest_packages_and_then_records_what_came_out() {
    let kit = kit();
    let pinned = kit.manifest();
    let archive = Archive::new();
    let checkout = archive.path().join("checkout");
    let lock = checkout.join("kernel-config/lock.toml");
    fs::create_dir_all(lock.parent().unwrap()).unwrap();
    let bump = || {
        let mut command = archive.ampoule();
        command
            .env("AMPOULE_KIT_DIR", kit.folder().parent().unwrap())
            .current_dir(&checkout)
            .args(["kit", "bump"]);
        command.assert()
    };

    // the archive has what is pinned: the digests of the kit at hand are recorded, and they are the lock's own
    fs::write(&lock, LOCK).unwrap();
    archive.lists(&[pinned.kernel.clone(), pinned.stub.clone()]);
    bump().success().stderr(predicate::str::contains(
        "the digests of the kit at hand are in the lock",
    ));
    let recorded = fs::read_to_string(&lock).unwrap();
    let digest = pinned.files["bzImage"].to_string();
    assert!(recorded.contains(&digest), "{recorded}");

    // it has moved on: the pin follows, and the results of the old one go
    let newer = Package {
        version: "6.12.999-1".to_owned(),
        sha256: Digest::of(b"newer"),
        ..pinned.kernel.clone()
    };
    archive.lists(&[pinned.kernel.clone(), newer.clone(), pinned.stub.clone()]);
    bump()
        .success()
        .stdout(predicate::str::contains("6.12.999-1"))
        .stderr(predicate::str::contains("the pin has moved"));
    let moved = fs::read_to_string(&lock).unwrap();
    assert!(moved.contains(&newer.sha256.to_string()), "{moved}");
    assert!(!moved.contains(&digest), "{moved}");
    let first = LOCK.lines().next().unwrap();
    assert!(moved.starts_with(first), "the comments stay:\n{moved}");
}
