//! What can go wrong while an image is made or read.

use std::io;
use std::path::PathBuf;

use ampoule_init::wire::{NulInValue, ParseError};

use crate::app::AppError;
use crate::boot::bios::BiosError;
use crate::boot::bzimage::BzImageError;
use crate::boot::elf::ElfError;
use crate::boot::uki::UkiError;
use crate::closure::ClosureError;
use crate::disk::DiskError;
use crate::initramfs::{InitramfsError, TreeError};
use crate::kit::KitError;
use crate::rootfs::RootfsError;
use crate::spec::SpecError;
use crate::units::Arch;

/// An image cannot be made or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// The app cannot be read, or would not run in an image.
    #[error(transparent)]
    App(#[from] AppError),
    /// The kit is for another architecture than the app.
    #[error("the app is for {app} and the kit for {kit}; an image holds one architecture")]
    Arch {
        /// The app's.
        app: Arch,
        /// The kit's.
        kit: Arch,
    },
    /// What the app is linked with cannot be told.
    #[error(transparent)]
    Closure(#[from] ClosureError),
    /// What the app is linked with is not all there.
    #[error("{}: needs {lacks}; {remedy}", app.display())]
    Incomplete {
        /// The app.
        app: PathBuf,
        /// What is not there, and for whom.
        lacks: String,
        /// What to do.
        remedy: String,
    },
    /// The app is sound, and would not work in an image.
    #[error("{}: {}", app.display(), reasons.join("; it "))]
    Unfit {
        /// The app.
        app: PathBuf,
        /// Why, each with its remedy; never empty.
        reasons: Vec<String>,
    },
    /// What an image says of its build cannot be written or read.
    #[error("what the image says of its build is no JSON that is known here")]
    Provenance(#[source] serde_json::Error),
    /// The kernel's options cannot be told.
    #[error(transparent)]
    Kit(#[from] KitError),
    /// The root that files come from cannot be taken.
    #[error(transparent)]
    Rootfs(#[from] RootfsError),
    /// A root without a word on what to run.
    #[error("{} does not say what to run; name the app, by its path in it or on this machine", .0.display())]
    NoEntrypoint(PathBuf),
    /// The app is not in the root.
    #[error("there is no program {program} in {}, nor on this machine; name the app by its path", dir.display())]
    NoProgram {
        /// The root.
        dir: PathBuf,
        /// The app as it was asked for.
        program: String,
    },
    /// The app is of a kind that is left out.
    #[error("the app {app} has no place in a sealed machine: it is {reason}; {remedy}")]
    AppLeftOut {
        /// The app's path in the root.
        app: String,
        /// Why it is left out.
        reason: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The app is a script.
    #[error("{path} is a script for `{interpreter}`; {remedy}")]
    Script {
        /// The app's path in the root.
        path: String,
        /// Its first line.
        interpreter: String,
        /// What to do.
        remedy: String,
    },
    /// The description of the appliance does not fit the host's files.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// Two things want the same place in the guest.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A value cannot be handed to init.
    #[error(transparent)]
    Wire(#[from] NulInValue),
    /// The initramfs cannot be written or read.
    #[error(transparent)]
    Initramfs(#[from] InitramfsError),
    /// The UKI cannot be written or read.
    #[error(transparent)]
    Uki(#[from] UkiError),
    /// The BIOS loader cannot be made for this image.
    #[error(transparent)]
    Bios(#[from] BiosError),
    /// The kit's kernel is no bzImage.
    #[error(transparent)]
    Kernel(#[from] BzImageError),
    /// The kernel cannot be unpacked.
    #[error(transparent)]
    Elf(#[from] ElfError),
    /// The disk cannot be planned, written or read.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The file of the filter is not one that this command writes.
    #[error("the filter of system calls in it cannot be read; was it made by another version?")]
    Filter,
    /// A part of the kit cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The image, or a file on the way to it, cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An image cannot be read.
    #[error("{}", path.display())]
    Image {
        /// The image.
        path: PathBuf,
        /// Why.
        source: Box<PipelineError>,
    },
    /// The disk holds a UKI, but not one of ours.
    #[error("this is not an image of ampoule: its UKI bears no label of ours")]
    NotOurs,
    /// A section of the UKI that should be text is none.
    #[error("section {section} of the UKI cannot be read as text; the image is damaged")]
    Text {
        /// The section's name.
        section: String,
        /// Why.
        source: io::Error,
    },
    /// Init's configuration cannot be understood.
    #[error(transparent)]
    Configuration(#[from] ParseError),
    /// The user asked to stop.
    #[error("interrupted; nothing was written")]
    Interrupted,
}
