//! `ampoule man`: the manual, made from the command line's definition.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use super::exit::Exit;
use super::ui::Ui;

/// Print the manual page, or write one for each command
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ManArgs {
    /// Write ampoule.1 and a page for each command into this directory
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  ampoule man | man -l -
  ampoule man --dir ~/.local/share/man/man1";

pub(super) fn run(args: ManArgs, ui: &Ui) -> anyhow::Result<Exit> {
    // without a fixed width the page would wrap as the terminal at hand does
    let command = super::command().term_width(0);
    if let Some(dir) = args.dir {
        clap_mangen::generate_to(command, &dir)
            .with_context(|| format!("cannot write manual pages into {}", dir.display()))?;
        return Ok(Exit::Yes);
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    ui.result(String::from_utf8(page)?)?;
    Ok(Exit::Yes)
}
