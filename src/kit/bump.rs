//! Moving the lock: the newest packages of the archive, and what came out of them.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::error::{KitError, OnPath};
use super::lock::{self, Lock, Made};
use super::manifest::{CONFIG, KERNEL};
use super::store::Store;
use super::{Kit, Package, host, source};
use crate::units::Arch;

/// Where the lock is in a checkout.
const IN_CHECKOUT: &str = "kernel-config/lock.toml";

/// What [`bump`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bumped {
    /// The lock's file.
    pub lock: PathBuf,
    /// The release whose pin it is.
    pub release: String,
    /// The kernel's source that is pinned now.
    pub kernel: Package,
    /// The stub's package that is pinned now.
    pub stub: Package,
    /// A pin has moved: the command is to be built again, and then the kit.
    pub moved: bool,
    /// The digests of the kit at hand were recorded.
    pub recorded: bool,
}

/// Pins the newest packages that apt has for the running release, in the lock of the
/// checkout that `from` is in. Where they are pinned already, the digests of the kit
/// at hand are recorded as what comes out of them.
///
/// # Errors
/// [`KitError::Lock`] without a checkout, [`KitError::NoPackage`] when apt knows none.
pub fn bump(from: &Path) -> Result<Bumped, KitError> {
    let path = find_lock(from)?;
    let release = host::release();
    let text = fs::read_to_string(&path).on("read", &path)?;
    let name = path.display().to_string();
    let lock = Lock::parse(&text, &name)?;
    let newest = |package: &str| {
        let versions = source::versions(package)?;
        let version = versions
            .first()
            .ok_or_else(|| KitError::NoPackage(package.to_owned()))?;
        source::describe(package, version)
    };
    let kernel = newest("linux-source-6.12")?;
    let stub = newest("systemd-boot-efi")?;
    let moved = lock
        .pin(&release)
        .is_none_or(|pin| (&pin.kernel, &pin.stub) != (&kernel, &stub));
    let made = if moved { None } else { result(&lock)? };
    let after = match &made {
        _ if moved => lock::move_pin(&text, &name, &release, &kernel, &stub)?,
        Some(made) => lock::record(&text, &name, &release, Arch::X86_64.name(), made)?,
        None => text.clone(),
    };
    if after != text {
        replace(&path, &after)?;
    }
    Ok(Bumped {
        lock: path,
        release,
        kernel,
        stub,
        moved,
        recorded: made.is_some(),
    })
}

/// What came out of the kit at hand, if it is made of the lock's pins.
fn result(lock: &Lock) -> Result<Option<Made>, KitError> {
    let kit = match Kit::open_in(&Store::from_environment()?, lock, Arch::X86_64) {
        Ok(kit) if !kit.unpinned() => kit,
        Ok(_) | Err(KitError::Missing(_) | KitError::Stale(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let manifest = kit.manifest();
    Ok(Some(Made {
        tools: manifest.tools.clone(),
        asked: manifest.asked,
        config: manifest.files[CONFIG],
        kernel: manifest.files[KERNEL],
        steps: manifest.steps,
    }))
}

fn find_lock(from: &Path) -> Result<PathBuf, KitError> {
    from.ancestors()
        .map(|folder| folder.join(IN_CHECKOUT))
        .find(|path| path.is_file())
        .ok_or_else(|| KitError::Lock {
            path: IN_CHECKOUT.into(),
            reason: "there is none here; run this in a checkout of ampoule".into(),
        })
}

fn replace(path: &Path, text: &str) -> Result<(), KitError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut temporary = tempfile::NamedTempFile::new_in(folder).on("write in", folder)?;
    temporary.write_all(text.as_bytes()).on("write", path)?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    fs::set_permissions(temporary.path(), mode).on("write", path)?;
    temporary
        .persist(path)
        .map_err(|error| error.error)
        .on("write", path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_is_found_from_below_and_not_elsewhere() {
        let checkout = tempfile::tempdir().unwrap();
        let deep = checkout.path().join("src/kit");
        fs::create_dir_all(&deep).unwrap();
        assert!(matches!(find_lock(&deep), Err(KitError::Lock { .. })));
        let lock = checkout.path().join(IN_CHECKOUT);
        fs::create_dir_all(lock.parent().unwrap()).unwrap();
        fs::write(&lock, "").unwrap();
        assert_eq!(find_lock(&deep).unwrap(), lock);
    }
}
