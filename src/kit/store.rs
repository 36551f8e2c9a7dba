//! Where kits are kept, and how they come to be there: whole, or not at all.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::error::{KitError, OnPath};
use super::{Event, Watch};
use crate::digest::Digest;
use crate::units::Arch;

/// Digits of a digest in a folder's name.
const SHORT: usize = 16;
/// Begins the name of folders that are being filled.
const UNFINISHED: &str = ".unfinished-";

/// The folder of all kits.
#[derive(Debug, Clone)]
pub(super) struct Store {
    root: PathBuf,
}

impl Store {
    /// `$AMPOULE_KIT_DIR`, else `$XDG_CACHE_HOME/ampoule/kit`, else `~/.cache/ampoule/kit`.
    pub(super) fn from_environment() -> Result<Store, KitError> {
        Store::choose(|name| std::env::var_os(name).filter(|value| !value.is_empty()))
    }

    fn choose(var: impl Fn(&str) -> Option<std::ffi::OsString>) -> Result<Store, KitError> {
        let root = var("AMPOULE_KIT_DIR")
            .map(PathBuf::from)
            .or_else(|| var("XDG_CACHE_HOME").map(|dir| PathBuf::from(dir).join("ampoule/kit")))
            .or_else(|| var("HOME").map(|dir| PathBuf::from(dir).join(".cache/ampoule/kit")))
            .ok_or(KitError::NoPlace)?;
        let root = std::path::absolute(&root).on("find", &root)?;
        Ok(Store { root })
    }

    /// A store in `root`, for tests.
    #[cfg(test)]
    pub(super) fn at(root: &Path) -> Store {
        Store {
            root: root.to_owned(),
        }
    }

    /// The folder of all kits.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Where the kit made of these ingredients is, or would be.
    pub(super) fn kit(&self, arch: Arch, carried: Digest) -> PathBuf {
        self.root.join(format!("{arch}-{}", short(carried)))
    }

    /// Where the compiled kernel of these inputs is, or would be.
    pub(super) fn kernel(&self, arch: Arch, inputs: Digest) -> PathBuf {
        self.root
            .join("kernels")
            .join(format!("{arch}-{}", short(inputs)))
    }

    /// Whether there is any kit for `arch`, of whatever ingredients.
    pub(super) fn has_any(&self, arch: Arch) -> bool {
        fs::read_dir(&self.root).is_ok_and(|entries| {
            entries.flatten().any(|entry| {
                let name = entry.file_name();
                name.to_string_lossy().starts_with(&format!("{arch}-"))
            })
        })
    }

    /// Waits until no other build or import is under way, and keeps others out
    /// until the answer is dropped. What a killed build left is removed.
    pub(super) fn lock(&self, watch: &dyn Watch) -> Result<File, KitError> {
        fs::create_dir_all(&self.root).on("create", &self.root)?;
        let path = self.root.join("lock");
        let file = File::create(&path).on("create", &path)?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            watch.event(&Event::Waiting);
            while flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
                super::process::pause(watch)?;
            }
        }
        self.sweep();
        Ok(file)
    }

    fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.root) else {
            return;
        };
        for entry in entries.flatten() {
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                // what cannot be removed does no harm but take room
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }

    /// A folder to compile the kernel in, which goes away. It is among the kits, where
    /// there is room, unless `make` could not live with the path: it takes no spaces
    /// and no colons.
    pub(super) fn workshop(&self) -> Result<tempfile::TempDir, KitError> {
        let text = self.root.to_string_lossy();
        if !text.contains([' ', '\t', '\n', ':']) {
            return self.unfinished();
        }
        let elsewhere = std::env::temp_dir();
        tempfile::Builder::new()
            .prefix("ampoule-kit-")
            .tempdir_in(&elsewhere)
            .on("create a folder in", elsewhere)
    }

    /// An empty folder that goes away unless it is [published](publish).
    pub(super) fn unfinished(&self) -> Result<tempfile::TempDir, KitError> {
        tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempdir_in(&self.root)
            .on("create a folder in", &self.root)
    }
}

/// Puts a finished folder in its place, over an older one.
pub(super) fn publish(folder: tempfile::TempDir, place: &Path) -> Result<(), KitError> {
    if let Some(parent) = place.parent() {
        fs::create_dir_all(parent).on("create", parent)?;
    }
    for entry in fs::read_dir(folder.path()).on("list", folder.path())? {
        let path = entry.on("list", folder.path())?.path();
        File::open(&path)
            .and_then(|file| file.sync_all())
            .on("write", &path)?;
    }
    if place.exists() {
        fs::remove_dir_all(place).on("replace", place)?;
    }
    // kits are for everyone to read, whatever the folder was made with
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(folder.path(), readable).on("open up", folder.path())?;
    fs::rename(folder.path(), place).on("put in place", place)?;
    // the name is gone, so nothing is left to remove
    let _ = folder.keep();
    Ok(())
}

fn short(digest: Digest) -> String {
    digest.to_string().chars().take(SHORT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_follows_the_environment() {
        let chosen = |set: &'static [(&'static str, &'static str)]| {
            Store::choose(|name| {
                set.iter()
                    .find(|(known, _)| *known == name)
                    .map(|(_, value)| value.into())
            })
            .map(|store| store.root)
        };
        let all = [
            ("AMPOULE_KIT_DIR", "/k"),
            ("XDG_CACHE_HOME", "/x"),
            ("HOME", "/h"),
        ];
        let leak = |from: usize| -> &'static [(&'static str, &'static str)] {
            Box::leak(all[from..].to_vec().into_boxed_slice())
        };
        assert_eq!(chosen(leak(0)).unwrap(), Path::new("/k"));
        assert_eq!(chosen(leak(1)).unwrap(), Path::new("/x/ampoule/kit"));
        assert_eq!(chosen(leak(2)).unwrap(), Path::new("/h/.cache/ampoule/kit"));
        assert!(matches!(chosen(&[]), Err(KitError::NoPlace)));
    }

    #[test]
    fn publishing_replaces_the_whole_folder_and_leaves_nothing_behind() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::at(root.path());
        let place = root.path().join("x86_64-0");
        fs::create_dir(&place).unwrap();
        fs::write(place.join("old"), "old").unwrap();
        let folder = store.unfinished().unwrap();
        fs::write(folder.path().join("new"), "new").unwrap();
        publish(folder, &place).unwrap();
        assert!(!place.join("old").exists());
        assert_eq!(fs::read(place.join("new")).unwrap(), b"new");
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_a_killed_build_left_is_swept_away() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::at(root.path());
        let left = store.unfinished().unwrap().keep();
        let _lock = store.lock(&crate::kit::Silent).unwrap();
        assert!(!left.exists());
    }
}
