//! An image's kernel and initrd, made to tell which system calls the app makes.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use ampoule_init::seccomp;
use ampoule_init::wire::{self, Seccomp, Setting};

use crate::initramfs::{self, Content, Tree};
use crate::seccomp::Policy;

use super::cut::{self, DirectParts};
use super::open::Opened;
use super::{PipelineError, inspect};

/// Cuts the parts of the image at `path` into files in `dir`, with an initrd whose init
/// learns: every system call of the app goes on, and is told the first time. The image itself stays as it is; a small archive
/// behind its initrd puts other files in the place of init's.
///
/// # Errors
/// As for [`super::cut`].
pub fn learning(path: &Path, dir: &Path) -> Result<DirectParts, PipelineError> {
    let mut image = Opened::open(path)?;
    let above = above(&mut image).map_err(|source| image.error(source))?;
    let parts = cut::parts(&mut image, dir)?;
    let written = |source| PipelineError::Write {
        path: parts.initrd.clone(),
        source,
    };
    let mut initrd = OpenOptions::new()
        .append(true)
        .open(&parts.initrd)
        .map_err(written)?;
    // the kernel takes an archive that begins at a multiple of four bytes, and skips zeroes
    // before it: Linux 6.12, init/initramfs.c, unpack_to_rootfs
    let len = initrd.metadata().map_err(written)?.len();
    let padding = vec![0; (len.next_multiple_of(4) - len) as usize];
    initrd.write_all(&padding).map_err(written)?;
    initramfs::write(&above, initrd)?;
    Ok(parts)
}

/// The files of a learning init: its configuration, which is the image's but for the filter,
/// and the filter.
fn above(image: &mut Opened) -> Result<Tree, PipelineError> {
    let sealed = inspect::configuration(image)?;
    let mut configuration = wire::HEADER.to_vec();
    let mut add = |setting| wire::encode(&setting, &mut |bytes| configuration.extend(bytes));
    for setting in wire::parse(&sealed)? {
        add(setting?)?;
    }
    // of two, the last one counts
    add(Setting::Seccomp(Seccomp::Learning))?;
    let mut tree = Tree::new();
    tree.file(wire::PATH, 0o444, Content::Bytes(configuration))?;
    let filter = Policy::Learn.file(image.summary.arch);
    tree.file(seccomp::PATH, 0o444, Content::Bytes(filter))?;
    Ok(tree)
}
