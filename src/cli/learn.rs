//! `ampoule learn`: boots an image, looks on while it is asked, and writes down which system
//! calls its app made.

use std::collections::BTreeSet;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::exit::{Exit, Failure};
use super::machine::{Bootable, Firmware};
use super::questions::{self, Questions};
use super::ui::{Style, Ui};
use crate::check::{self, Finding};
use crate::pipeline;
use crate::spec::{self, Seccomp};

/// Boot an image and learn which system calls its app makes
///
/// The app runs as it is sealed, but for its filter: every call goes on, and
/// init tells it. The image stays as it is; kernel and initrd are taken out of
/// it and booted directly. Ask all that the app is there for: a call that it
/// does not make while it is watched is refused later.
///
/// With --config the calls are written into that file, where `ampoule build
/// --config` finds them; else they are printed. Calls that are listed there
/// stay: learn in several turns, or remove the list to begin again. Nothing is
/// written when an answer is wrong, or the app does not stop in order.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct LearnArgs {
    /// The image
    pub image: PathBuf,
    #[command(flatten)]
    pub questions: Questions,
    /// The ampoule.toml to write the calls into; made if it is not there
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

const EXAMPLES: &str = "\
Examples:
  ampoule learn server.img --http /=200 --http /missing=404
  ampoule learn server.img --http /=200 --config ampoule.toml
  ampoule learn job.img --exit 0 --config ampoule.toml";

/// What was learned. Its keys stay as they are.
#[derive(Debug, Serialize)]
struct Learned {
    image: String,
    /// Whether every check held; only then was anything written.
    ok: bool,
    checks: Vec<Finding>,
    /// The calls that the app made, by name.
    calls: BTreeSet<String>,
    /// Those of them that the file had not listed yet.
    new: BTreeSet<String>,
    /// The file that they were written into.
    config: Option<String>,
}

pub(super) fn run(args: LearnArgs, ui: &Ui) -> anyhow::Result<Exit> {
    let file = args.config.as_deref().map(Config::read).transpose()?;
    let inspection = pipeline::inspect(&args.image)?;
    let expectations = args.questions.expectations(&inspection)?;
    let mut bootable = Bootable::learning(&args.image)?;
    let outcome = args.questions.ask(
        &expectations,
        questions::grace(&inspection),
        &mut bootable,
        Firmware::Direct,
        ui,
    )?;
    let mut checks = check::judge(&expectations, &outcome.seen);
    checks.push(heard(&outcome.called));
    let known = file.as_ref().map_or_else(BTreeSet::new, Config::calls);
    let learned = Learned {
        image: args.image.display().to_string(),
        ok: checks.iter().all(|check| check.ok),
        checks,
        new: &outcome.called - &known,
        config: args.config.as_ref().map(|path| path.display().to_string()),
        calls: outcome.called,
    };
    if let (true, Some(file)) = (learned.ok, &file) {
        file.write(&(&known | &learned.calls))?;
    }
    if args.json {
        ui.json(&learned)?;
    } else {
        show(&learned, ui)?;
    }
    Ok(if learned.ok { Exit::Yes } else { Exit::No })
}

/// No program runs without a call: none means that init did not tell.
fn heard(called: &BTreeSet<String>) -> Finding {
    if called.is_empty() {
        Finding::bad(
            "calls",
            "init told of none; is the image older than this command?",
        )
    } else {
        Finding::good("calls", format!("{} were made", called.len()))
    }
}

fn show(learned: &Learned, ui: &Ui) -> anyhow::Result<()> {
    for Finding { name, ok, detail } in &learned.checks {
        if *ok {
            ui.status(format_args!("{name}: {detail}"));
        } else {
            let sign = ui.paint(Style::Red, "failed");
            ui.status(format_args!("{sign} {name}: {detail}"));
        }
    }
    if !learned.ok {
        ui.status("nothing was written");
        return Ok(());
    }
    match &learned.config {
        Some(path) => {
            let (all, new) = (learned.calls.len(), learned.new.len());
            ui.result(format_args!("{path}: {all} calls, {new} of them new"))?;
        }
        None => {
            let text = spec::seccomp::write("", &learned.calls);
            ui.result(text.unwrap_or_default().trim_end())?;
        }
    }
    Ok(())
}

/// The file that the calls go into.
struct Config {
    path: PathBuf,
    text: String,
    seccomp: Option<Seccomp>,
}

impl Config {
    /// Reads it before anything is booted: one that cannot be edited is told at once.
    fn read(path: &Path) -> anyhow::Result<Config> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => return Err(failure("cannot read", path, error)),
        };
        let seccomp = spec::load(&text, path)?.seccomp;
        Ok(Config {
            path: path.to_owned(),
            text,
            seccomp,
        })
    }

    /// The calls that it lists.
    fn calls(&self) -> BTreeSet<String> {
        match &self.seccomp {
            Some(Seccomp::Calls(calls)) => calls.clone(),
            _ => BTreeSet::new(),
        }
    }

    fn write(&self, calls: &BTreeSet<String>) -> anyhow::Result<()> {
        let text = spec::seccomp::write(&self.text, calls)
            .map_err(|reason| Failure::new(Exit::Usage, reason))?;
        let written = |error| failure("cannot write", &self.path, error);
        // a link stays a link, and a file half written is never seen
        let path = match fs::canonicalize(&self.path) {
            Ok(path) => path,
            Err(error) if error.kind() == ErrorKind::NotFound => self.path.clone(),
            Err(error) => return Err(written(error)),
        };
        let dir = match path.parent() {
            Some(dir) if dir != Path::new("") => dir,
            _ => Path::new("."),
        };
        let mut file = tempfile::NamedTempFile::new_in(dir).map_err(written)?;
        file.write_all(text.as_bytes()).map_err(written)?;
        let mode = match fs::metadata(&path) {
            Ok(metadata) => metadata.permissions(),
            Err(_) => std::os::unix::fs::PermissionsExt::from_mode(0o644),
        };
        file.as_file().set_permissions(mode).map_err(written)?;
        file.persist(&path).map_err(|error| written(error.error))?;
        Ok(())
    }
}

fn failure(what: &str, path: &Path, error: std::io::Error) -> anyhow::Error {
    Failure::new(Exit::Environment, format!("{what} {}", path.display()))
        .caused_by(error)
        .into()
}
