//! `ampoule kit`: the pinned kernel, stub and init.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::exit::Exit;
use super::ui::Ui;

/// Build, check and share the pinned kernel, EFI stub and init
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct KitArgs {
    #[command(subcommand)]
    command: KitCommand,
}

#[derive(Debug, Subcommand)]
enum KitCommand {
    /// Build the kit, or do nothing if it is there and sound
    Build {
        /// A local copy of the kernel's source package (.deb)
        #[arg(long, value_name = "FILE")]
        source: Option<PathBuf>,
    },
    /// Print where the kit is
    Path,
    /// Check every digest of the kit
    Verify,
    /// Pin the newest kernel source that the archive has
    Bump,
    /// Write the kit to a file, to be imported elsewhere
    Export {
        /// The file to write
        file: PathBuf,
    },
    /// Take a kit from a file that `export` wrote
    Import {
        /// The file to read
        file: PathBuf,
    },
}

const EXAMPLES: &str = "\
Examples:
  ampoule kit build
  ampoule kit export kit.tar.zst";

pub(super) fn run(args: KitArgs, ui: &Ui) -> anyhow::Result<Exit> {
    let _ = (args, ui);
    anyhow::bail!("kit is not there yet")
}
