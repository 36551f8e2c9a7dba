//! `ampoule completions`: what a shell needs to complete our arguments.

use clap::Args;
use clap_complete::Shell;

use super::exit::Exit;
use super::ui::Ui;

/// Print completions for a shell
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: Shell,
}

const EXAMPLES: &str = "\
Examples:
  ampoule completions bash > ~/.local/share/bash-completion/completions/ampoule
  ampoule completions fish > ~/.config/fish/completions/ampoule.fish";

pub(super) fn run(args: CompletionsArgs, ui: &Ui) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::command(), "ampoule", &mut script);
    ui.result(String::from_utf8(script)?)?;
    Ok(Exit::Yes)
}
