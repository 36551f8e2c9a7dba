//! `ampoule build`: an app becomes an image.

use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::FileTypeExt as _;
use std::path::PathBuf;

use clap::Args;

use super::appliance::AppArgs;
use super::exit::{Exit, Failure};
use super::interrupt;
use super::table::{self, Table};
use super::ui::{Progress, Ui};
use crate::closure::Library;
use crate::kit::Kit;
use crate::pipeline::{self, Built, Step, Taken, Watcher};
use crate::spec::{Appliance, Origin, Seccomp, Settings, SpecError, User, seccomp, value};

/// Seal an app into a bootable image
///
/// Needs a Linux binary, best a static one, and a kit (`ampoule kit build`). Settings may
/// come from an ampoule.toml; flags go over it: --env and --file add to its
/// tables, --port and ARGS replace its lists.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct BuildArgs {
    #[command(flatten)]
    pub from: AppArgs,
    /// Where the image goes [default: NAME.img]
    #[arg(short, long, value_name = "IMG")]
    pub output: Option<PathBuf>,
    /// The image's name [default: the app's file name]
    #[arg(long, value_parser = value::name)]
    pub name: Option<String>,
    /// A TCP port that the app listens on; repeatable
    #[arg(long, value_name = "N", value_parser = port)]
    pub port: Vec<u16>,
    /// The user that the app runs as [default: 65532]
    #[arg(long, value_name = "UID[:GID]", value_parser = value::user)]
    pub user: Option<User>,
    /// The app's working directory [default: /]
    #[arg(long, value_name = "DIR", value_parser = value::guest_path)]
    pub workdir: Option<String>,
    /// Which system calls the app may make: derived, default or off
    ///
    /// `default` refuses what no server in a sealed machine needs, `derived`
    /// all that is not in the app's code. `ampoule learn` finds those that an
    /// app really makes.
    #[arg(long, value_name = "POLICY", value_parser = seccomp::named)]
    pub seccomp: Option<Seccomp>,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
    /// The app's arguments
    #[arg(last = true, value_parser = value::argument)]
    pub args: Vec<String>,
}

const EXAMPLES: &str = "\
Examples:
  ampoule build ./server --port 8080
  ampoule build ./server -o edge.img --env LOG=info -- --listen :8080
  ampoule build ./caddy --file ./site:/srv --port 80 -- file-server --root /srv
  ampoule build --config deploy/ampoule.toml
  ampoule build --rootfs ./image --port 8080";

fn port(text: &str) -> Result<u16, String> {
    let number = text.parse().map_err(|_| "not a number".to_owned())?;
    value::port(number)
}

pub(super) fn run(args: BuildArgs, ui: &Ui) -> anyhow::Result<Exit> {
    let json = args.json;
    let settings = settings(args)?;
    let watching = Watching::new(ui);
    let source = pipeline::open(settings, &watching)?;
    let appliance = &source.appliance;
    check_output(appliance)?;
    let kit = Kit::open(pipeline::screen(appliance)?)?;
    let built = pipeline::build(appliance, &kit, &watching)?;
    drop(watching);
    if built.unpinned {
        ui.warn("the kit is not the pinned one; the image is marked \"unpinned\"");
    }
    for note in &built.notes {
        ui.warn(note);
    }
    for warning in &built.warnings {
        ui.warn(format_args!("the app {}", warning.what));
    }
    for name in &built.accepted_in_vain {
        ui.warn(format_args!("--accept {name}: nothing asks for that"));
    }
    if json {
        ui.json(&built)?;
    } else {
        ui.result(summary(&built))?;
    }
    Ok(Exit::Yes)
}

/// File and flags as one.
fn settings(args: BuildArgs) -> Result<Settings, SpecError> {
    let twice = |reason| SpecError::Value {
        origin: Origin::Flag("--port"),
        reason,
    };
    let list = |list: Vec<String>| (!list.is_empty()).then_some(list);
    args.from.settings(Settings {
        output: args.output,
        name: args.name,
        args: list(args.args),
        ports: match args.port.is_empty() {
            true => None,
            false => Some(value::ports(args.port).map_err(twice)?),
        },
        user: args.user,
        workdir: args.workdir,
        seccomp: args.seccomp,
        ..Settings::default()
    })
}

/// Refuses outputs that a rename would destroy: inputs, directories, devices.
fn check_output(appliance: &Appliance) -> Result<(), Failure> {
    let output = &appliance.output;
    let refused = |why: &str| {
        Err(Failure::new(
            Exit::Usage,
            format!("{} {why}", output.display()),
        ))
    };
    let metadata = match fs::metadata(output) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            let told = format!("cannot write {}", output.display());
            return Err(Failure::new(Exit::Environment, told).caused_by(error));
        }
    };
    if metadata.is_dir() {
        return refused("is a directory; name a file with -o");
    }
    if metadata.file_type().is_block_device() {
        return refused("is a disk; build into a file and copy that onto it");
    }
    if !metadata.is_file() {
        return refused("is no regular file; name another with -o");
    }
    let same = |input: &PathBuf| match (fs::canonicalize(input), fs::canonicalize(output)) {
        (Ok(input), Ok(output)) => input == output,
        _ => false,
    };
    if same(&appliance.app) || appliance.files.values().any(same) {
        return refused("goes into the image and cannot be its output; name another with -o");
    }
    Ok(())
}

fn summary(built: &Built) -> String {
    let mut table = Table::pairs();
    let mark = if built.unpinned { ", unpinned" } else { "" };
    table.row(["image", &built.image.display().to_string()]);
    table.row([
        "size",
        &format!("{}, {} of it allocated", built.size, built.allocated),
    ]);
    table.row([
        "memory",
        &table::memory(built.memory_mib, built.memory_uefi_mib),
    ]);
    table.row([
        "kernel",
        &format!("{} for {}{mark}", built.kernel, built.arch),
    ]);
    if let Some(root) = &built.root {
        table.row(["root", &taken(root)]);
    }
    if !built.libraries.is_empty() {
        table.row(["libraries", &libraries(&built.libraries)]);
    }
    table.row(["seccomp", &built.seccomp.to_string()]);
    table.row(["sha256", &built.sha256.to_string()]);
    for one in &built.payload {
        let why = one.evidence.first().map(|place| format!(", for {place}"));
        let why = why.unwrap_or_default();
        table.row(["added", &format!("{}, {}{why}", one.path, one.source)]);
    }
    for name in &built.accepted {
        table.row(["accepted", name]);
    }
    table.render(0)
}

fn taken(root: &Taken) -> String {
    let mut told = format!(
        "{} entries of {}, {}",
        root.entries,
        root.dir.display(),
        root.size
    );
    if !root.left_out.is_empty() {
        let _ = write!(
            told,
            "; {} left out, which --json names",
            root.left_out.len()
        );
    }
    told
}

/// The names of the libraries that came in, the interpreter first.
fn libraries(all: &[Library]) -> String {
    let names = all.iter().map(|one| one.name.rsplit('/').next());
    names.flatten().collect::<Vec<_>>().join(" ")
}

/// Shows the stages of a build, and carries Ctrl-C into it.
struct Watching(Progress);

impl Watching {
    fn new(ui: &Ui) -> Watching {
        Watching(ui.progress(Step::Analyse.describe(), None))
    }
}

impl Watcher for Watching {
    fn step(&self, step: Step) {
        self.0.says(step.describe());
    }

    fn interrupted(&self) -> bool {
        interrupt::requested()
    }
}
