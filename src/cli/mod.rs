//! The command line: the only room that prints.
//!
//! One file a command, each with its clap types and a `run` that gives an
//! [`Exit`]. [`main`] is the one place where an error becomes text and a code.

mod analyze;
mod appliance;
mod build;
mod completions;
pub mod exit;
mod inspect;
pub mod interrupt;
mod kit;
mod learn;
pub mod machine;
mod man;
mod questions;
mod run;
mod table;
mod test;
pub mod ui;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};

use exit::Exit;
use ui::Ui;

/// Seals one application into one bootable machine image.
///
/// A pinned kernel, a tiny PID 1, your static binary and the files it needs:
/// no shell, no package manager, no login. The image boots under BIOS, UEFI and
/// directly, and a change means a new image.
#[derive(Parser)]
#[command(name = "ampoule", version, max_term_width = 80, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  ampoule kit build                         once: the kernel, stub and init
  ampoule analyze ./server                  what it is, needs and will miss
  ampoule build ./server --port 8080        makes server.img
  ampoule run server.img -p 8080:8080       boots it here
  ampoule test server.img --http /=200      boots it, asks it, stops it

Exit codes: 0 yes, 1 no, 2 usage, 3 unsuitable app, 4 kit, 5 image,
6 environment. `run` gives the app's own code.";

#[derive(Subcommand)]
enum Command {
    Analyze(analyze::AnalyzeArgs),
    Build(build::BuildArgs),
    Run(run::RunArgs),
    Test(test::TestArgs),
    Learn(learn::LearnArgs),
    Inspect(inspect::InspectArgs),
    Kit(kit::KitArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

/// Parses the arguments, runs the command, tells what went wrong, once, and
/// gives the exit code.
#[must_use]
pub fn main() -> ExitCode {
    let ui = Ui::new();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error, &ui),
    };
    interrupt::install();
    dispatch(cli.command, &ui)
        .unwrap_or_else(|error| exit::report(&error, &ui))
        .into()
}

fn dispatch(command: Command, ui: &Ui) -> anyhow::Result<Exit> {
    match command {
        Command::Analyze(args) => analyze::run(args, ui),
        Command::Build(args) => build::run(args, ui),
        Command::Run(args) => run::run(args, ui),
        Command::Test(args) => test::run(args, ui),
        Command::Learn(args) => learn::run(args, ui),
        Command::Inspect(args) => inspect::run(args, ui),
        Command::Kit(args) => kit::run(args, ui),
        Command::Completions(args) => completions::run(args, ui),
        Command::Man(args) => man::run(args, ui),
    }
}

/// Help and the version go to standard output and are a success; what cannot be
/// parsed is told on standard error. A reader that has gone away is no matter.
fn usage(error: &clap::Error, ui: &Ui) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = error.print();
            Exit::Yes.into()
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            Exit::Usage.into()
        }
        _ => {
            ui.error(&one_line(&error.to_string()));
            Exit::Usage.into()
        }
    }
}

/// What clap says in several paragraphs, without its label and the usage below.
fn one_line(text: &str) -> String {
    let said = text
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"))
        .filter(|line| !line.is_empty())
        .map(|line| {
            line.trim_start_matches("error: ")
                .trim_start_matches("tip: ")
        });
    let mut line = String::new();
    for part in said {
        // a list of what is missing goes on after its colon
        let joint = match line.chars().last() {
            None => "",
            Some(':') => " ",
            Some(_) => "; ",
        };
        line.push_str(joint);
        line.push_str(part);
    }
    line
}

/// The command line's definition, for completions and man pages.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every command and every command of a command, by its path of names.
    fn all_commands() -> Vec<(String, clap::Command)> {
        fn walk(path: &str, command: &clap::Command, into: &mut Vec<(String, clap::Command)>) {
            into.push((path.to_owned(), command.clone()));
            for sub in command.get_subcommands() {
                walk(&format!("{path} {}", sub.get_name()), sub, into);
            }
        }
        let mut root = command();
        root.build();
        let mut all = Vec::new();
        walk("ampoule", &root, &mut all);
        all
    }

    #[test]
    fn the_definition_holds_together() {
        command().debug_assert();
    }

    #[test]
    fn what_cannot_be_parsed_is_one_line() {
        for (args, told) in [
            (
                &["ampoule", "run", "x", "--cpsu", "1"][..],
                "unexpected argument '--cpsu' found; a similar argument exists: '--cpus'",
            ),
            (
                &["ampoule", "inspect"],
                "the following required arguments were not provided: <IMAGE>",
            ),
            (
                &["ampoule", "biuld"],
                "unrecognized subcommand 'biuld'; a similar subcommand exists: 'build'",
            ),
            (
                &["ampoule", "build", "x", "--port", "0"],
                "invalid value '0' for '--port <N>': 0 is no port: 1 to 65535",
            ),
        ] {
            let error = Cli::try_parse_from(args).err().unwrap();
            assert_eq!(one_line(&error.to_string()), told);
        }
    }

    #[test]
    fn help_fits_eighty_columns() {
        for (path, mut command) in all_commands() {
            for help in [command.render_help(), command.render_long_help()] {
                for line in help.to_string().lines() {
                    assert!(line.chars().count() <= 80, "{path}: {line}");
                }
            }
        }
    }

    #[test]
    fn every_command_says_what_it_does_and_shows_an_example() {
        for (path, command) in all_commands() {
            if path.contains(" help") {
                continue;
            }
            assert!(command.get_about().is_some(), "{path} has no description");
            let depth = path.split(' ').count();
            assert!(
                depth > 2 || command.get_after_help().is_some(),
                "{path} has no example"
            );
        }
    }
}
