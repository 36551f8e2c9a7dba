//! A kit of small made-up parts: opened, damaged, exported, imported.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::manifest::{FILES, MANIFEST};
use super::*;

fn lock() -> Lock {
    Lock::parse(carried::LOCK, "lock").unwrap()
}

fn package(version: &str) -> Package {
    Package {
        package: "p".into(),
        version: version.into(),
        sha256: Digest::of(version.as_bytes()),
    }
}

fn manifest(carried: Digest) -> Manifest {
    Manifest {
        format: Manifest::format(),
        arch: Arch::X86_64,
        carried,
        unpinned: false,
        release: "bookworm".into(),
        kernel_version: "6.12.117".into(),
        kernel: package("1"),
        stub: package("2"),
        tools: Tools {
            gcc: "gcc".into(),
            ld: "ld".into(),
            zstd: "zstd".into(),
        },
        rustc: "rustc".into(),
        asked: Digest::of(b"asked"),
        steps: 9,
        files: BTreeMap::new(),
    }
}

/// Puts a kit of made-up parts in its place in `store`.
fn plant(store: &Store, carried: Digest) -> PathBuf {
    let folder = store.kit(Arch::X86_64, carried);
    fs::create_dir_all(&folder).unwrap();
    let mut manifest = manifest(carried);
    for name in FILES {
        let text = format!("this is {name}");
        fs::write(folder.join(name), &text).unwrap();
        manifest
            .files
            .insert(name.into(), Digest::of(text.as_bytes()));
    }
    fs::write(folder.join(MANIFEST), manifest.text().unwrap()).unwrap();
    folder
}

fn current() -> Digest {
    carried::digest(Arch::X86_64, &lock())
}

fn open(store: &Store) -> Result<Kit, KitError> {
    Kit::open_in(store, &lock(), Arch::X86_64)
}

#[test]
fn no_kit_and_a_kit_of_another_command_are_told_apart() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::at(root.path());
    assert!(matches!(open(&store), Err(KitError::Missing(_))));
    plant(&store, Digest::of(b"another"));
    let stale = open(&store).unwrap_err();
    assert!(matches!(stale, KitError::Stale(_)));
    assert!(stale.to_string().contains("ampoule kit build"));
}

#[test]
fn a_sound_kit_opens_and_says_what_it_is() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::at(root.path());
    let folder = plant(&store, current());
    let kit = open(&store).unwrap();
    assert_eq!(kit.kernel_version(), "6.12.117");
    assert_eq!(fs::read(kit.init()).unwrap(), b"this is init");
    assert_eq!(
        kit.digest(),
        Digest::of(&fs::read(folder.join(MANIFEST)).unwrap())
    );
}

#[test]
fn one_flipped_bit_in_any_file_is_refused_by_name() {
    for name in FILES {
        let root = tempfile::tempdir().unwrap();
        let store = Store::at(root.path());
        let path = plant(&store, current()).join(name);
        let mut bytes = fs::read(&path).unwrap();
        bytes[3] ^= 0x10;
        fs::write(&path, bytes).unwrap();
        let error = open(&store).unwrap_err();
        assert!(matches!(&error, KitError::Damaged { path: named, .. } if *named == path));
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn a_manifest_that_lists_too_little_or_lies_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::at(root.path());
    let folder = plant(&store, current());
    let path = folder.join(MANIFEST);
    let good = fs::read_to_string(&path).unwrap();
    let refused = |text: &str| {
        fs::write(&path, text).unwrap();
        open(&store).unwrap_err()
    };
    let without_init: String = good
        .lines()
        .filter(|line| !line.starts_with("init = "))
        .map(|line| format!("{line}\n"))
        .collect();
    assert!(matches!(refused(&without_init), KitError::Manifest { .. }));
    assert!(matches!(refused("no toml"), KitError::Manifest { .. }));
    let other = Digest::of(b"other").to_string();
    let lying = good.replace(&current().to_string(), &other);
    assert!(matches!(refused(&lying), KitError::Stale(_)));
}

#[test]
fn export_and_import_carry_a_kit_from_one_cache_to_another() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = Store::at(here.path());
    plant(&store, current());
    let kit = open(&store).unwrap();
    let file = here.path().join("kit.tar");
    kit.export(&file).unwrap();
    let other = Store::at(there.path());
    let imported = Kit::import_in(&other, &lock(), &file, &Silent).unwrap();
    assert_eq!(imported.digest(), kit.digest());
    assert_eq!(open(&other).unwrap().digest(), kit.digest());
}

#[test]
fn a_damaged_export_changes_nothing_in_the_cache() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = Store::at(here.path());
    plant(&store, current());
    let file = here.path().join("kit.tar");
    open(&store).unwrap().export(&file).unwrap();
    let mut bytes = fs::read(&file).unwrap();
    let at = bytes
        .windows(12)
        .position(|text| text == b"this is init")
        .unwrap();
    bytes[at] ^= 1;
    fs::write(&file, bytes).unwrap();
    let other = Store::at(there.path());
    let error = Kit::import_in(&other, &lock(), &file, &Silent).unwrap_err();
    assert!(matches!(error, KitError::Damaged { .. }), "{error}");
    assert!(matches!(open(&other), Err(KitError::Missing(_))));
    assert_eq!(names(there.path()), ["lock"]);
}

#[test]
fn a_kit_of_another_command_is_not_imported() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = Store::at(here.path());
    let folder = plant(&store, Digest::of(b"another"));
    let file = here.path().join("kit.tar");
    Kit::read(folder).unwrap().export(&file).unwrap();
    let other = Store::at(there.path());
    let error = Kit::import_in(&other, &lock(), &file, &Silent).unwrap_err();
    assert!(matches!(error, KitError::Stale(_)), "{error}");
}

fn names(folder: &Path) -> Vec<String> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}
