//! From pins to a kit: fetch, compile, check, and put in place as a whole.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::config::{self, Asked};
use super::error::{KitError, OnPath};
use super::kernel::{self, Inputs, Record};
use super::lock::{Lock, Made, Package, Pin};
use super::manifest::{FILES, INIT, KERNEL_FILES, MANIFEST, Manifest, STUB, digest_of};
use super::source::{self, Source, Wanted};
use super::store::{Store, publish};
use super::{Event, Kit, Watch, carried, guest, host};
use crate::units::Arch;

/// How a kit is to be built.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// A local copy of the kernel's source package.
    pub source: Option<PathBuf>,
    /// A local copy of the stub's package.
    pub stub: Option<PathBuf>,
    /// Go on with what the archive has when a pin is not to be had; the kit is marked.
    pub unpinned: bool,
}

/// Builds the kit for `arch`, or finds it built. A compiled kernel is kept apart, so
/// that another init does not compile it again.
///
/// # Errors
/// Whatever keeps the kit from being built; nothing half-built is left.
pub fn build(arch: Arch, options: &Options, watch: &dyn Watch) -> Result<Kit, KitError> {
    let store = Store::from_environment()?;
    let lock = Lock::parse(carried::LOCK, "kernel-config/lock.toml")?;
    build_in(&store, &lock, arch, options, watch)
}

fn build_in(
    store: &Store,
    lock: &Lock,
    arch: Arch,
    options: &Options,
    watch: &dyn Watch,
) -> Result<Kit, KitError> {
    if arch != Arch::X86_64 {
        return Err(KitError::Architecture(arch));
    }
    let _alone = store.lock(watch)?;
    if let Ok(kit) = Kit::open_in(store, lock, arch) {
        if !kit.unpinned() || options.unpinned {
            watch.event(&Event::Present);
            return Ok(kit);
        }
    }
    let work = Work::new(store, lock, arch, options, watch)?;
    let folder = store.unfinished()?;
    let (stub, stub_unpinned) = work.stub(folder.path())?;
    let kernel = work.kernel()?;
    for name in KERNEL_FILES {
        let from = kernel.folder.join(name);
        fs::copy(&from, folder.path().join(name)).on("copy", from)?;
    }
    let scratch = store.unfinished()?;
    guest::build(arch, scratch.path(), &folder.path().join(INIT), watch)?;
    let mut manifest = Manifest {
        format: Manifest::format(),
        arch,
        carried: carried::digest(arch, lock),
        unpinned: stub_unpinned || kernel.unpinned,
        release: work.release.clone(),
        kernel_version: kernel.record.version,
        kernel: kernel.package,
        stub,
        tools: kernel.tools,
        rustc: guest::rustc()?,
        asked: kernel.asked,
        steps: kernel.record.steps,
        files: BTreeMap::new(),
    };
    finish(&mut manifest, folder.path())?;
    let place = store.kit(arch, manifest.carried);
    publish(folder, &place)?;
    Kit::open_in(store, lock, arch)
}

/// Gives the files their modes and digests and writes the manifest.
fn finish(manifest: &mut Manifest, folder: &Path) -> Result<(), KitError> {
    for name in FILES {
        let path = folder.join(name);
        let mode = if name == INIT { 0o755 } else { 0o644 };
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        fs::set_permissions(&path, mode).on("write", &path)?;
        manifest.files.insert(name.to_owned(), digest_of(&path)?);
    }
    let path = folder.join(MANIFEST);
    fs::write(&path, manifest.text()?).on("write", &path)
}

/// A kernel at hand, compiled now or earlier.
struct Kernel {
    folder: PathBuf,
    record: Record,
    package: Package,
    tools: super::lock::Tools,
    asked: crate::digest::Digest,
    unpinned: bool,
}

struct Work<'a> {
    store: &'a Store,
    release: String,
    pin: &'a Pin,
    arch: Arch,
    asked: Vec<Asked>,
    options: &'a Options,
    watch: &'a dyn Watch,
}

impl<'a> Work<'a> {
    fn new(
        store: &'a Store,
        lock: &'a Lock,
        arch: Arch,
        options: &'a Options,
        watch: &'a dyn Watch,
    ) -> Result<Work<'a>, KitError> {
        let release = host::release();
        let pin = lock
            .pin(&release)
            .ok_or_else(|| KitError::NoPin(release.clone()))?;
        host::check_tools(false)?;
        host::cargo()?;
        Ok(Work {
            store,
            release,
            pin,
            arch,
            asked: config::gather(carried::FRAGMENTS, arch)?,
            options,
            watch,
        })
    }

    /// Puts the EFI stub into `folder`; says what it came from, and whether it is not
    /// the pinned one.
    fn stub(&self, folder: &Path) -> Result<(Package, bool), KitError> {
        let scratch = self.store.unfinished()?;
        let wanted = Wanted {
            pin: &self.pin.stub,
            local: self.options.stub.as_deref(),
            unpinned: self.options.unpinned,
            flag: "--stub",
        };
        let source = source::fetch(wanted, scratch.path(), self.watch)?;
        let unpacked = scratch.path().join("unpacked");
        source::unpack(&source.file, &unpacked, self.watch)?;
        // the name that systemd gives it for this architecture (systemd-stub(7))
        let file = unpacked.join("usr/lib/systemd/boot/efi/linuxx64.efi.stub");
        fs::copy(&file, folder.join(STUB)).on("copy", file)?;
        Ok((source.package, source.unpinned))
    }

    /// The pinned kernel compiled earlier, or one compiled now.
    fn kernel(&self) -> Result<Kernel, KitError> {
        // a kernel that is at hand needs no compiler; with none installed any will do
        host::check_tools(true)?;
        let tools = host::tools()?;
        if let Some(found) = self.cached(&self.pin.kernel, &tools, false) {
            return Ok(found);
        }
        let scratch = self.store.workshop()?;
        let source = self.source(scratch.path())?;
        if source.unpinned {
            if let Some(found) = self.cached(&source.package, &tools, true) {
                return Ok(found);
            }
        }
        self.compile(&source, tools, scratch.path())
    }

    fn source(&self, folder: &Path) -> Result<Source, KitError> {
        let wanted = Wanted {
            pin: &self.pin.kernel,
            local: self.options.source.as_deref(),
            unpinned: self.options.unpinned,
            flag: "--source",
        };
        source::fetch(wanted, folder, self.watch)
    }

    fn inputs<'b>(&'b self, package: &'b Package, tools: &'b super::lock::Tools) -> Inputs<'b> {
        Inputs {
            arch: self.arch,
            package,
            asked: &self.asked,
            tools,
        }
    }

    fn cached(
        &self,
        package: &Package,
        tools: &super::lock::Tools,
        unpinned: bool,
    ) -> Option<Kernel> {
        let inputs = self.inputs(package, tools);
        let folder = self.store.kernel(self.arch, inputs.digest());
        let record = kernel::cached(&folder)?;
        let unlike = self.against_lock(&inputs, &record).ok()?;
        self.watch.event(&Event::KernelPresent);
        Some(Kernel {
            folder,
            record,
            package: package.clone(),
            tools: tools.clone(),
            asked: inputs.asked_digest(),
            unpinned: unpinned || unlike,
        })
    }

    fn compile(
        &self,
        source: &Source,
        tools: super::lock::Tools,
        scratch: &Path,
    ) -> Result<Kernel, KitError> {
        let inputs = self.inputs(&source.package, &tools);
        let made = self.pin.made.get(self.arch.name());
        let out = self.store.unfinished()?;
        let record = kernel::compile(
            &inputs,
            &source.file,
            scratch,
            out.path(),
            made.map(|made| made.steps),
            self.watch,
        )?;
        let unlike = self.against_lock(&inputs, &record)?;
        let folder = self.store.kernel(self.arch, inputs.digest());
        publish(out, &folder)?;
        Ok(Kernel {
            folder,
            record,
            package: source.package.clone(),
            asked: inputs.asked_digest(),
            unpinned: source.unpinned || unlike,
            tools,
        })
    }

    /// Holds the kernel against the lock's result, where that is of the same inputs.
    /// Says whether it differs and that is to be lived with.
    fn against_lock(&self, inputs: &Inputs<'_>, record: &Record) -> Result<bool, KitError> {
        let made = self.pin.made.get(self.arch.name());
        match compare(made, &self.pin.kernel, inputs, record) {
            Likeness::Same => Ok(false),
            Likeness::Own(why) => {
                self.watch.event(&Event::OwnDigest {
                    digest: record.bzimage,
                    why,
                });
                Ok(false)
            }
            Likeness::Differs(_) if self.options.unpinned => {
                self.watch.event(&Event::OwnDigest {
                    digest: record.bzimage,
                    why: "it differs from the lock's although the tools are the same",
                });
                Ok(true)
            }
            Likeness::Differs(expected) => Err(KitError::NotReproduced {
                expected,
                found: record.bzimage,
            }),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Likeness {
    /// The lock's own bytes.
    Same,
    /// Other inputs, so bytes of its own.
    Own(&'static str),
    /// The lock's inputs, and not its bytes, which have this digest.
    Differs(crate::digest::Digest),
}

fn compare(made: Option<&Made>, pin: &Package, inputs: &Inputs<'_>, record: &Record) -> Likeness {
    let Some(made) = made else {
        return Likeness::Own("the lock has no result for this release yet");
    };
    if inputs.package != pin {
        return Likeness::Own("the source is not the pinned one");
    }
    if made.asked != inputs.asked_digest() {
        return Likeness::Own("the kernel's options are not those of the lock's result");
    }
    if made.tools != *inputs.tools {
        return Likeness::Own("the lock's result was made with another compiler");
    }
    if made.kernel == record.bzimage && made.config == record.config {
        Likeness::Same
    } else {
        Likeness::Differs(made.kernel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use crate::kit::lock::Tools;

    #[test]
    fn a_result_is_the_locks_its_own_or_a_failure() {
        let tools = |gcc: &str| Tools {
            gcc: gcc.into(),
            ld: "2".into(),
            zstd: "3".into(),
        };
        let pin = Package {
            package: "l".into(),
            version: "1".into(),
            sha256: Digest::of(b"s"),
        };
        let (twelve, fourteen) = (tools("12"), tools("14"));
        let inputs = |tools| Inputs {
            arch: Arch::X86_64,
            package: &pin,
            asked: &[],
            tools,
        };
        let record = |kernel: &[u8]| Record {
            version: "6.12".into(),
            steps: 1,
            bzimage: Digest::of(kernel),
            config: Digest::of(b"c"),
            segments: Digest::of(b"s"),
        };
        let made = Made {
            tools: twelve.clone(),
            asked: inputs(&twelve).asked_digest(),
            config: Digest::of(b"c"),
            kernel: Digest::of(b"k"),
            steps: 1,
        };
        let likeness = |made: Option<&Made>, tools, kernel: &[u8]| {
            compare(made, &pin, &inputs(tools), &record(kernel))
        };
        assert_eq!(likeness(Some(&made), &twelve, b"k"), Likeness::Same);
        assert_eq!(
            likeness(Some(&made), &twelve, b"other"),
            Likeness::Differs(Digest::of(b"k"))
        );
        assert!(matches!(
            likeness(Some(&made), &fourteen, b"other"),
            Likeness::Own(_)
        ));
        assert!(matches!(likeness(None, &twelve, b"k"), Likeness::Own(_)));
    }
}
