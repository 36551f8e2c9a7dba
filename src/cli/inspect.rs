//! `ampoule inspect`: what is in an image.

use std::path::PathBuf;

use clap::Args;

use super::exit::Exit;
use super::ui::Ui;

/// Show what is in an image
///
/// Partitions, sections of the UKI, command line, kernel, configuration, and
/// every file with its size and digest.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct InspectArgs {
    /// The image
    pub image: PathBuf,
    /// Print everything as JSON
    #[arg(long)]
    pub json: bool,
}

const EXAMPLES: &str = "\
Examples:
  ampoule inspect server.img
  ampoule inspect server.img --json | jq -r '.files[].path'";

pub(super) fn run(args: InspectArgs, ui: &Ui) -> anyhow::Result<Exit> {
    let _ = (args, ui);
    anyhow::bail!("inspect is not there yet")
}
