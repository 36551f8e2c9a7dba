//! The kit: pinned kernel, EFI stub and init for one architecture.
//!
//! The kernel is compiled from Debian's source at an exact version with the options
//! of `kernel-config/`, init from the sources that the command carries, the stub is
//! Debian's. All of it lies in a cache outside the checkout, in a folder named by
//! its ingredients, with a manifest that has a digest for each file. Every use
//! verifies them.

mod archive;
mod bump;
mod carried;
mod config;
mod elf;
mod error;
mod guest;
mod host;
mod kernel;
mod lock;
mod make;
mod manifest;
mod process;
mod source;
mod store;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::digest::Digest;
use crate::units::Arch;

pub use bump::{Bumped, bump};
pub use error::KitError;
pub use lock::{Package, Tools};
pub use make::{Options, build};
pub use manifest::Manifest;

use error::OnPath;
use lock::Lock;
use store::{Store, publish};

/// What goes on in a build, for someone to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Another build is under way; this one waits for it.
    Waiting,
    /// The kit is there and sound.
    Present,
    /// The compiled kernel is there and sound.
    KernelPresent,
    /// A package is fetched through apt.
    Fetching {
        /// Its name.
        package: &'a str,
        /// Its version.
        version: &'a str,
    },
    /// A package other than the pinned one is taken.
    Unpinned {
        /// Its name.
        package: &'a str,
        /// The pinned version.
        pinned: &'a str,
        /// The version taken.
        taken: &'a str,
    },
    /// The kernel's source is unpacked.
    Unpacking,
    /// The kernel is configured.
    Configuring,
    /// The kernel is compiled.
    Compiling {
        /// Steps done.
        done: u64,
        /// Steps in all, as far as is known; never less than `done`.
        expected: u64,
    },
    /// The kernel's digest is not the lock's, and why.
    OwnDigest {
        /// The kernel's digest.
        digest: Digest,
        /// Why it is another.
        why: &'static str,
    },
    /// Init is compiled.
    BuildingInit,
}

/// Someone who looks on, and may ask to stop.
pub trait Watch {
    /// Something goes on.
    fn event(&self, event: &Event<'_>);
    /// Whether to stop: asked several times a second.
    fn stop(&self) -> bool {
        false
    }
}

/// Nobody looks on.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Watch for Silent {
    fn event(&self, _: &Event<'_>) {}
}

/// A kit in the cache, every digest of which was verified when it was opened.
#[derive(Debug, Clone)]
pub struct Kit {
    folder: PathBuf,
    manifest: Manifest,
    digest: Digest,
    kernel: PathBuf,
    stub: PathBuf,
    init: PathBuf,
    config: PathBuf,
    segments: PathBuf,
}

impl Kit {
    /// Opens the kit that this command's ingredients make, and verifies every file.
    /// The cache is in `$AMPOULE_KIT_DIR`, else `$XDG_CACHE_HOME/ampoule/kit`, else
    /// `~/.cache/ampoule/kit`.
    ///
    /// # Errors
    /// [`KitError::Missing`], [`KitError::Stale`], [`KitError::Architecture`] or
    /// [`KitError::Damaged`], each with its remedy.
    pub fn open(arch: Arch) -> Result<Kit, KitError> {
        let lock = Lock::parse(carried::LOCK, "kernel-config/lock.toml")?;
        Kit::open_in(&Store::from_environment()?, &lock, arch)
    }

    fn open_in(store: &Store, lock: &Lock, arch: Arch) -> Result<Kit, KitError> {
        let carried = carried::digest(arch, lock);
        let folder = store.kit(arch, carried);
        if !folder.exists() {
            if arch != Arch::X86_64 {
                return Err(KitError::Architecture(arch));
            }
            let root = store.root().to_owned();
            return Err(if store.has_any(arch) {
                KitError::Stale(root)
            } else {
                KitError::Missing(root)
            });
        }
        let kit = Kit::read(folder)?;
        if kit.manifest.carried != carried || kit.manifest.arch != arch {
            return Err(KitError::Stale(kit.folder));
        }
        Ok(kit)
    }

    /// Reads and verifies the kit in `folder`.
    fn read(folder: PathBuf) -> Result<Kit, KitError> {
        let path = folder.join(manifest::MANIFEST);
        let text = fs::read_to_string(&path).on("read", &path)?;
        let manifest = Manifest::parse(&text, &path)?;
        manifest.verify(&folder)?;
        let at = |name: &str| folder.join(name);
        Ok(Kit {
            kernel: at(manifest::KERNEL),
            stub: at(manifest::STUB),
            init: at(manifest::INIT),
            config: at(manifest::CONFIG),
            segments: at(manifest::SEGMENTS),
            digest: Digest::of(text.as_bytes()),
            manifest,
            folder,
        })
    }

    /// The folder that the kit is in.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The architecture that it is for.
    #[must_use]
    pub fn arch(&self) -> Arch {
        self.manifest.arch
    }

    /// The kernel: a bzImage.
    #[must_use]
    pub fn kernel(&self) -> &Path {
        &self.kernel
    }

    /// systemd's EFI stub.
    #[must_use]
    pub fn stub(&self) -> &Path {
        &self.stub
    }

    /// PID 1: a static ELF file.
    #[must_use]
    pub fn init(&self) -> &Path {
        &self.init
    }

    /// The kernel's final configuration.
    #[must_use]
    pub fn kernel_config(&self) -> &Path {
        &self.config
    }

    /// The load segments of the kernel's own vmlinux, one a line: addresses, lengths,
    /// flags (hexadecimal) and the SHA-256 of their bytes.
    #[must_use]
    pub fn vmlinux_segments(&self) -> &Path {
        &self.segments
    }

    /// The configuration that the kernel of a kit would have, for whom no kit is at
    /// hand: what is asked for, and what follows from that as far as apps ask for it.
    ///
    /// # Errors
    /// [`KitError::Fragment`] when the command was built with a broken fragment.
    pub fn asked_config(arch: Arch) -> Result<String, KitError> {
        Ok(config::expected(
            &config::gather(carried::FRAGMENTS, arch)?,
            arch,
        ))
    }

    /// `uname -r` of the kernel.
    #[must_use]
    pub fn kernel_version(&self) -> &str {
        &self.manifest.kernel_version
    }

    /// Names the kit: the digest of its manifest.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Whether other sources than the lock's went into it.
    #[must_use]
    pub fn unpinned(&self) -> bool {
        self.manifest.unpinned
    }

    /// What the kit is made of.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Writes the kit to `path` as one file, the same for the same kit. It appears
    /// whole or not at all.
    ///
    /// # Errors
    /// What the file system says.
    pub fn export(&self, path: &Path) -> Result<(), KitError> {
        let folder = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let temporary = tempfile::NamedTempFile::new_in(folder).on("write in", folder)?;
        let out = temporary.reopen().on("write", path)?;
        archive::write(&self.folder, out, path)?;
        let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        fs::set_permissions(temporary.path(), readable).on("write", path)?;
        temporary
            .persist(path)
            .map_err(|error| error.error)
            .on("write", path)?;
        Ok(())
    }

    /// Takes a kit that [`Kit::export`] wrote into the cache, once all of it is verified.
    ///
    /// # Errors
    /// [`KitError::Archive`] and [`KitError::Damaged`] for a file that is no sound kit,
    /// [`KitError::Stale`] for one of another version of the command.
    pub fn import(path: &Path, watch: &dyn Watch) -> Result<Kit, KitError> {
        let lock = Lock::parse(carried::LOCK, "kernel-config/lock.toml")?;
        Kit::import_in(&Store::from_environment()?, &lock, path, watch)
    }

    fn import_in(
        store: &Store,
        lock: &Lock,
        path: &Path,
        watch: &dyn Watch,
    ) -> Result<Kit, KitError> {
        File::open(path).on("open", path)?;
        let _alone = store.lock(watch)?;
        let folder = store.unfinished()?;
        archive::read(path, folder.path())?;
        let kit = Kit::read(folder.path().to_owned())?;
        let arch = kit.manifest.arch;
        let carried = carried::digest(arch, lock);
        if kit.manifest.carried != carried {
            return Err(KitError::Stale(path.to_owned()));
        }
        publish(folder, &store.kit(arch, carried))?;
        Kit::open_in(store, lock, arch)
    }
}

#[cfg(test)]
mod tests;
