//! From an appliance and a kit to an image, through temporary files beside the
//! output: the image appears whole under its name, or not at all.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use tempfile::NamedTempFile;

use crate::app::{self, Allow, AppError};
use crate::boot::bios::{self, Extent, LoadPlan};
use crate::boot::bzimage::{self, SetupHeader};
use crate::boot::uki::{self, Parts, Section};
use crate::closure::Library;
use crate::digest::{Digest, Digesting};
use crate::disk::{self, BootCode, Plan};
use crate::initramfs::{self, Content, DEFAULT_LEVEL, Tree};
use crate::kit::Kit;
use crate::payload::Addition;
use crate::spec::{Appliance, files};
use crate::units::{Arch, Bytes, Lba, SECTOR};

use super::examine::{Examined, examine};
use super::filter::{Filter, Own};
use super::guest::Owner;
use super::label::Label;
use super::memory::{self, Demand};
use super::provenance::Provenance;
use super::source::Taken;
use super::verdict::Remark;
use super::{PipelineError, analyze, guest, libraries};

/// A stage of a build, in the order in which they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The root that files come from is read.
    Unpack,
    /// The app is read and judged.
    Analyse,
    /// The initramfs is compressed.
    Pack,
    /// The UKI is assembled.
    Assemble,
    /// The disk is written.
    Write,
    /// The image's digest is taken.
    Digest,
}

impl Step {
    /// What is being done, for people.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Step::Unpack => "reading the root",
            Step::Analyse => "reading the app",
            Step::Pack => "packing the initramfs",
            Step::Assemble => "assembling the UKI",
            Step::Write => "writing the disk",
            Step::Digest => "taking the digest",
        }
    }
}

/// Looks on while an image is made.
pub trait Watcher {
    /// A stage begins.
    fn step(&self, step: Step);
    /// Whether the work should end as soon as it can.
    fn interrupted(&self) -> bool;
}

/// Watches nothing and never interrupts.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Watcher for Silent {
    fn step(&self, _: Step) {}

    fn interrupted(&self) -> bool {
        false
    }
}

/// An image that was made.
#[derive(Debug, Clone, Serialize)]
pub struct Built {
    /// Where it lies.
    pub image: PathBuf,
    /// The digest of all its bytes.
    pub sha256: Digest,
    /// Its length in bytes, a whole number of MiB.
    pub size: Bytes,
    /// What of it the file system has allocated; the rest is holes.
    pub allocated: Bytes,
    /// The architecture.
    pub arch: Arch,
    /// Least memory to boot it by BIOS or directly and to start the app, in MiB.
    pub memory_mib: u64,
    /// The same to boot it by UEFI.
    pub memory_uefi_mib: u64,
    /// The release of the kernel inside.
    pub kernel: String,
    /// The kernel is not the pinned one.
    pub unpinned: bool,
    /// The app's interpreter and libraries, each with the reason why it is there.
    pub libraries: Vec<Library>,
    /// What came from a root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<Taken>,
    /// What its user should know and nothing can decide.
    pub notes: Vec<String>,
    /// The filter of system calls.
    pub seccomp: Filter,
    /// What the app needs, did not bring, and was given.
    pub payload: Vec<Addition>,
    /// What its owner should know.
    pub warnings: Vec<Remark>,
    /// What would have refused it, and its owner accepted.
    pub accepted: Vec<String>,
    /// What its owner accepted, and nothing goes by.
    pub accepted_in_vain: Vec<String>,
}

/// Makes the image that `appliance` describes out of `kit`.
///
/// # Errors
/// [`PipelineError`]; then no image is there, and one that was there before is
/// as it was.
pub fn build(
    appliance: &Appliance,
    kit: &Kit,
    watcher: &dyn Watcher,
) -> Result<Built, PipelineError> {
    make(appliance, kit, watcher).map_err(|error| match watcher.interrupted() {
        true => PipelineError::Interrupted,
        false => error,
    })
}

fn make(appliance: &Appliance, kit: &Kit, watcher: &dyn Watcher) -> Result<Built, PipelineError> {
    watcher.step(Step::Analyse);
    let files = files::collect(&appliance.files)?;
    let root = appliance.root.as_ref();
    let mut examined = judge(appliance, kit, &files)?;
    let shell = examined.analysis.shape.shell().is_some()
        | shell_among(&files, appliance.allow_shell)?
        | root.is_some_and(|root| root.shell);
    let header = setup_header(kit.kernel())?;
    let dir = directory(&appliance.output);

    let init = Content::host(kit.init())?;
    let mut tree = guest::tree(appliance, init, &files, &examined.payload)?;
    let shape = &examined.analysis.shape;
    let owner = Owner {
        appliance,
        files: &files,
    };
    let brought = libraries::bring(&mut tree, &owner, shape, &mut examined.payload)?;
    let own = Own {
        path: &appliance.app_guest_path(),
        calls: &examined.analysis.calls,
    };
    let filter = Filter::choose(&appliance.seccomp, &tree, own, kit.arch())?;
    guest::configure(&mut tree, appliance, &filter)?;
    Provenance::of(&examined, root).put(&mut tree)?;

    watcher.step(Step::Pack);
    let mut initrd = scratch(dir)?;
    let floor = Bytes(header.end_of_kernel());
    let (content, packed) = pack(&tree, &mut initrd, watcher)?;
    let demand = memory::demand(&tree, packed, floor, appliance.memory_extra);

    watcher.step(Step::Assemble);
    let mut uki_file = scratch(dir)?;
    let label = label(appliance, kit, shell, content, &demand);
    let written = assemble(kit, &label, &demand, initrd.path(), &mut uki_file)?;
    drop(initrd);

    watcher.step(Step::Write);
    let plan = disk::plan(written.len, kit.arch(), &written.content)?;
    let uki = uki_file.as_file_mut();
    let boot = boot_code(header, &plan, &written.sections, uki, demand.total_mib())?;
    let image = scratch(dir)?;
    disk::write(
        &plan,
        uki_file.as_file_mut(),
        boot.as_ref(),
        image.as_file(),
    )?;
    drop(uki_file);

    watcher.step(Step::Digest);
    let sha256 = digest(image.path(), watcher)?;
    let (size, allocated) = publish(image, &appliance.output)?;
    Ok(Built {
        image: appliance.output.clone(),
        sha256,
        size,
        allocated,
        arch: kit.arch(),
        memory_mib: demand.total_mib(),
        memory_uefi_mib: demand.uefi_mib(),
        kernel: kit.kernel_version().to_owned(),
        unpinned: kit.unpinned(),
        libraries: brought.libraries,
        root: root.map(Taken::of),
        notes: root
            .map_or(&[][..], |root| &root.notes)
            .iter()
            .cloned()
            .chain(brought.notes)
            .collect(),
        seccomp: filter,
        payload: examined.payload,
        warnings: examined.verdict.warnings,
        accepted: examined.verdict.accepted,
        accepted_in_vain: examined.verdict.idle,
    })
}

/// What the app may be that is refused otherwise.
#[must_use]
pub fn allow(appliance: &Appliance) -> Allow {
    Allow {
        shell: appliance.allow_shell,
        dynamic: appliance.libs.is_some() || appliance.root.is_some(),
    }
}

/// Judges the app by its headers, and gives the architecture that its image has.
///
/// # Errors
/// [`AppError`] in one line with the remedy.
pub fn screen(appliance: &Appliance) -> Result<Arch, AppError> {
    app::screen(&appliance.app, &allow(appliance))
        .map_err(|error| error.named(appliance.app_shown()))
}

/// Reads the app, once, and refuses what cannot work in an image made with `kit`, its
/// owner bringing `files`.
fn judge(
    appliance: &Appliance,
    kit: &Kit,
    files: &[files::Entry],
) -> Result<Examined, PipelineError> {
    let shown = appliance.app_shown();
    let config = analyze::config_of(kit)?;
    let bytes = app::load(&appliance.app).map_err(|error| error.named(shown))?;
    let examined =
        examine(&bytes, appliance, files, &config).map_err(|damage| AppError::Damaged {
            path: shown.to_owned(),
            damage,
        })?;
    if !examined.verdict.reasons.is_empty() {
        let reasons = examined.verdict.reasons.into_iter();
        return Err(PipelineError::Unfit {
            app: shown.to_owned(),
            reasons: reasons.map(|reason| reason.what).collect(),
        });
    }
    match examined.analysis.shape.arch() {
        Some(app) if app != kit.arch() => Err(PipelineError::Arch {
            app,
            kit: kit.arch(),
        }),
        _ => Ok(examined),
    }
}

/// Whether a shell is among the files that come along, if that is allowed.
pub(super) fn shell_among(files: &[files::Entry], allowed: bool) -> Result<bool, PipelineError> {
    let mut found = false;
    for entry in files {
        if !matches!(entry.kind, files::Kind::File { .. }) {
            continue;
        }
        if let Some(shell) = app::shell_in(&entry.host, Path::new(&entry.guest))? {
            found = true;
            if !allowed {
                return Err(PipelineError::App(app::AppError::Refused {
                    path: entry.host.clone(),
                    reason: app::Reason::Shell(shell),
                }));
            }
        }
    }
    Ok(found)
}

/// Writes the initramfs; gives its digest and length.
fn pack(
    tree: &Tree,
    initrd: &mut NamedTempFile,
    watcher: &dyn Watcher,
) -> Result<(Digest, Bytes), PipelineError> {
    let mut out = Digesting::new(Watched {
        inner: initrd.as_file_mut(),
        watcher,
    });
    let packed = initramfs::pack(tree, &mut out, DEFAULT_LEVEL)?;
    Ok((out.finish(), packed.len))
}

fn label(appliance: &Appliance, kit: &Kit, shell: bool, content: Digest, demand: &Demand) -> Label {
    Label {
        name: appliance.name.clone(),
        content,
        kit: kit.digest(),
        unpinned: kit.unpinned(),
        shell,
        memory_mib: demand.total_mib(),
        memory_uefi_mib: demand.uefi_mib(),
        ports: appliance.ports.clone(),
    }
}

/// The kernel's command line (Documentation/admin-guide/kernel-parameters.txt).
/// Firmware can change it, so nothing in it decides what the machine may do:
/// consoles (the last one that exists is /dev/console; tty0 is the screen),
/// quiet but for errors, reboot at once after a panic, and a root file system
/// that is large enough for what is unpacked into it.
fn cmdline(arch: Arch, demand: &Demand) -> String {
    let console = match arch {
        // no_timer_check: Linux leaves this test out by itself on every hypervisor it knows;
        // under QEMU's emulation on a busy host it fails, and the kernel panics
        Arch::X86_64 => "console=tty0 console=ttyS0 no_timer_check ",
        // from the SPCR table
        Arch::Aarch64 => "",
    };
    let root = demand.root_kib();
    format!("{console}quiet panic=-1 initramfs_options=size={root}k")
}

fn assemble(
    kit: &Kit,
    label: &Label,
    demand: &Demand,
    initrd: &Path,
    out: &mut NamedTempFile,
) -> Result<uki::Written, PipelineError> {
    let stub = fs::read(kit.stub()).map_err(|source| PipelineError::Read {
        path: kit.stub().to_owned(),
        source,
    })?;
    let (osrel, cmdline) = (label.encode(), cmdline(kit.arch(), demand));
    let parts = Parts {
        osrel: osrel.as_bytes(),
        cmdline: cmdline.as_bytes(),
        uname: kit.kernel_version().as_bytes(),
        linux: kit.kernel(),
        initrd,
    };
    Ok(uki::assemble(&stub, &parts, out.as_file_mut())?)
}

/// The BIOS loader, on the architecture that has a BIOS.
fn boot_code(
    header: SetupHeader,
    plan: &Plan,
    sections: &[Section],
    uki: &mut File,
    memory_mib: u64,
) -> Result<Option<BootCode>, PipelineError> {
    let Some(bios) = &plan.bios else {
        return Ok(None);
    };
    let extent = |name: &str| {
        let section = sections.iter().find(|section| section.name == name);
        let (offset, bytes) = section.map_or((0, Bytes(0)), |s| (s.offset.0, s.size));
        Extent {
            lba: Lba(plan.uki_lba().0 + offset / SECTOR),
            bytes,
        }
    };
    let load = LoadPlan {
        kernel: extent(".linux"),
        header,
        initrd: extent(".initrd"),
        cmdline: extent(".cmdline"),
        memory_mib: u32::try_from(memory_mib).unwrap_or(u32::MAX),
    };
    let stage2 = bios::stage2(&load, uki, plan.uki_lba())?;
    let mbr = bios::boot_code(bios.first, &stage2)?;
    Ok(Some(BootCode { mbr, stage2 }))
}

pub(super) fn setup_header(kernel: &Path) -> Result<SetupHeader, PipelineError> {
    let mut head = [0; bzimage::HEADER_LEN];
    match File::open(kernel).and_then(|mut file| file.read_exact(&mut head)) {
        Ok(()) => Ok(SetupHeader::parse(&head)?),
        Err(source) => Err(PipelineError::Read {
            path: kernel.to_owned(),
            source,
        }),
    }
}

/// The directory of `output`, where the temporary files go: a rename works only
/// within a file system, and an image may be larger than what /tmp holds.
pub(super) fn directory(output: &Path) -> &Path {
    match output.parent() {
        Some(dir) if dir != Path::new("") => dir,
        _ => Path::new("."),
    }
}

fn scratch(dir: &Path) -> Result<NamedTempFile, PipelineError> {
    tempfile::Builder::new()
        .prefix(".ampoule-")
        // narrowed by the umask, as for any other file that a command makes
        .permissions(fs::Permissions::from_mode(0o666))
        .tempfile_in(dir)
        .map_err(|source| PipelineError::Write {
            path: dir.to_owned(),
            source,
        })
}

/// The digest of the file at `path`.
fn digest(path: &Path, watcher: &dyn Watcher) -> Result<Digest, PipelineError> {
    let read = |source| PipelineError::Read {
        path: path.to_owned(),
        source,
    };
    let inner = File::open(path).map_err(read)?;
    Digest::of_reader(Watched { inner, watcher }).map_err(read)
}

/// Gives the finished file its name. It becomes readable to whom the umask
/// allows it, as any other file that a command makes.
fn publish(image: NamedTempFile, output: &Path) -> Result<(Bytes, Bytes), PipelineError> {
    let written = |source| PipelineError::Write {
        path: output.to_owned(),
        source,
    };
    let file = image
        .persist(output)
        .map_err(|error| written(error.error))?;
    let metadata = file.metadata().map_err(written)?;
    Ok((Bytes(metadata.len()), Bytes(metadata.blocks() * SECTOR)))
}

/// A reader or writer that fails once the watcher has had enough.
struct Watched<'w, T> {
    inner: T,
    watcher: &'w dyn Watcher,
}

impl<T> Watched<'_, T> {
    fn check(&self) -> io::Result<()> {
        match self.watcher.interrupted() {
            // not ErrorKind::Interrupted, which callers take as "try again"
            true => Err(io::Error::other("interrupted")),
            false => Ok(()),
        }
    }
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.check()?;
        self.inner.read(buffer)
    }
}

impl<W: Write> Write for Watched<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.check()?;
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
