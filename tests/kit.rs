//! `ampoule kit` on the real kit: sound, refused when damaged, carried elsewhere.

use std::fs;
use std::path::Path;

use ampoule::kit::Kit;
use ampoule::units::Arch;
use assert_cmd::Command;
use predicates::prelude::*;

fn kit() -> Kit {
    Kit::open(Arch::X86_64).expect("these tests need the kit")
}

fn ampoule(cache: &Path) -> Command {
    let mut command = Command::cargo_bin("ampoule").unwrap();
    command.env("AMPOULE_KIT_DIR", cache);
    command
}

/// A copy of the real kit in a cache of its own; gives the kit's folder.
fn copied(cache: &Path) -> std::path::PathBuf {
    let kit = kit();
    let folder = cache.join(kit.folder().file_name().unwrap());
    fs::create_dir(&folder).unwrap();
    for entry in fs::read_dir(kit.folder()).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
    }
    folder
}

#[test]
fn without_a_kit_every_command_names_the_remedy() {
    let cache = tempfile::tempdir().unwrap();
    for command in ["path", "verify"] {
        ampoule(cache.path())
            .args(["kit", command])
            .assert()
            .code(4)
            .stdout("")
            .stderr(predicate::str::contains("run `ampoule kit build`"));
    }
}

#[test]
fn a_sound_kit_shows_what_it_is_made_of() {
    let kit = kit();
    let cache = kit.folder().parent().unwrap();
    ampoule(cache)
        .args(["kit", "verify"])
        .assert()
        .success()
        .stdout(predicate::str::contains(kit.digest().to_string()))
        .stdout(predicate::str::contains("linux-source-6.12"));
    let out = ampoule(cache)
        .args(["kit", "verify", "--json"])
        .output()
        .unwrap();
    let json: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(json["kernel_version"], kit.kernel_version());
    assert_eq!(json["arch"], "x86_64");
}

#[test]
fn a_kit_with_one_flipped_bit_is_refused_by_every_use_of_it() {
    let cache = tempfile::tempdir().unwrap();
    let path = copied(cache.path()).join("bzImage");
    let mut kernel = fs::read(&path).unwrap();
    let middle = kernel.len() / 2;
    kernel[middle] ^= 1;
    fs::write(&path, kernel).unwrap();
    let target = cache.path().join("kit.tar");
    let export = ["kit", "export", target.to_str().unwrap()];
    for command in [&["kit", "verify"][..], &["kit", "path"], &export] {
        ampoule(cache.path())
            .args(command)
            .assert()
            .code(4)
            .stderr(predicate::str::contains("bzImage is damaged"));
    }
    assert!(!target.exists());
}

#[test]
fn a_kit_travels_as_one_file_that_is_always_the_same() {
    let (cache, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let kit = kit();
    let file = |name: &str| {
        let file = elsewhere.path().join(name);
        ampoule(kit.folder().parent().unwrap())
            .args(["kit", "export", file.to_str().unwrap()])
            .assert()
            .success();
        file
    };
    let (one, two) = (file("one.tar"), file("two.tar"));
    assert_eq!(fs::read(&one).unwrap(), fs::read(&two).unwrap());
    ampoule(cache.path())
        .args(["kit", "import", one.to_str().unwrap()])
        .assert()
        .success();
    ampoule(cache.path())
        .args(["kit", "verify"])
        .assert()
        .success()
        .stdout(predicate::str::contains(kit.digest().to_string()));
}

#[test]
fn the_build_of_a_kit_that_is_there_does_nothing() {
    let cache = tempfile::tempdir().unwrap();
    let folder = copied(cache.path());
    let before = fs::metadata(folder.join("bzImage"))
        .unwrap()
        .modified()
        .unwrap();
    ampoule(cache.path())
        // an unpinned kit is taken as it is, too
        .args(["kit", "build", "--unpinned"])
        .assert()
        .success()
        .stderr(predicate::str::contains("there and sound"));
    let after = fs::metadata(folder.join("bzImage"))
        .unwrap()
        .modified()
        .unwrap();
    assert_eq!(before, after);
}

#[test]
fn a_source_that_is_not_there_or_not_the_pinned_one_is_refused() {
    let cache = tempfile::tempdir().unwrap();
    let missing = cache.path().join("missing.deb");
    ampoule(cache.path())
        .args(["kit", "build", "--stub", missing.to_str().unwrap()])
        .assert()
        .code(6)
        .stderr(predicate::str::contains("missing.deb"));
    let wrong = cache.path().join("wrong.deb");
    fs::write(&wrong, "no package").unwrap();
    ampoule(cache.path())
        .args(["kit", "build", "--stub", wrong.to_str().unwrap()])
        .assert()
        .code(4)
        .stderr(predicate::str::contains(
            "is not the pinned systemd-boot-efi",
        ));
    let left: Vec<_> = fs::read_dir(cache.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| !name.to_string_lossy().ends_with(".deb"))
        .collect();
    assert_eq!(left, ["lock"]);
}

#[test]
fn the_kernel_has_every_protection_that_is_promised() {
    let config = fs::read_to_string(kit().kernel_config()).unwrap();
    for line in [
        "CONFIG_CPU_MITIGATIONS=y",
        "CONFIG_MITIGATION_PAGE_TABLE_ISOLATION=y",
        "CONFIG_MITIGATION_RETPOLINE=y",
        "CONFIG_RANDOMIZE_BASE=y",
        "CONFIG_SECURITY_LANDLOCK=y",
        "CONFIG_INIT_ON_ALLOC_DEFAULT_ON=y",
        "# CONFIG_MODULES is not set",
    ] {
        assert!(config.lines().any(|found| found == line), "{line}");
    }
}
