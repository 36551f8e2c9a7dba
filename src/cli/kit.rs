//! `ampoule kit`: the pinned kernel, stub and init.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::exit::Exit;
use super::interrupt;
use super::ui::{Progress, Ui};
use crate::kit::{self, Event, Kit, Options, Watch};
use crate::units::Arch;

/// Build, check and share the pinned kernel, EFI stub and init
///
/// Every image is made of a kit. It is built once, which takes minutes, and kept
/// in $AMPOULE_KIT_DIR, else $XDG_CACHE_HOME/ampoule/kit, else
/// ~/.cache/ampoule/kit.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct KitArgs {
    #[command(subcommand)]
    command: KitCommand,
}

#[derive(Debug, Subcommand)]
enum KitCommand {
    /// Build the kit, or do nothing if it is there and sound
    Build(BuildArgs),
    /// Print the folder that the kit is in
    Path,
    /// Check every digest of the kit, and show what it is made of
    Verify {
        /// Print the kit's manifest as JSON
        #[arg(long)]
        json: bool,
    },
    /// Pin the archive's newest packages in the checkout's lock
    ///
    /// Where they are pinned already, the digests of the kit at hand are
    /// recorded as what comes out of them.
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

#[derive(Debug, Args)]
struct BuildArgs {
    /// A local copy of the kernel's source package (.deb)
    #[arg(long, value_name = "FILE")]
    source: Option<PathBuf>,
    /// A local copy of the EFI stub's package (.deb)
    #[arg(long, value_name = "FILE")]
    stub: Option<PathBuf>,
    /// Go on with the newest versions if a pinned one is not to be had
    ///
    /// The kit, and every image made with it, carries the mark "unpinned".
    #[arg(long)]
    unpinned: bool,
}

const EXAMPLES: &str = "\
Examples:
  ampoule kit build
  ampoule kit export kit.tar";

pub(super) fn run(args: KitArgs, ui: &Ui) -> anyhow::Result<Exit> {
    match args.command {
        KitCommand::Build(args) => build(args, ui),
        KitCommand::Path => {
            ui.result(Kit::open(Arch::X86_64)?.folder().display())?;
            Ok(Exit::Yes)
        }
        KitCommand::Verify { json } => verify(json, ui),
        KitCommand::Bump => bump(ui),
        KitCommand::Export { file } => {
            Kit::open(Arch::X86_64)?.export(&file)?;
            ui.status(format_args!("the kit is in {}", file.display()));
            Ok(Exit::Yes)
        }
        KitCommand::Import { file } => {
            let kit = Kit::import(&file, &Telling::new(ui))?;
            tell(&kit, ui);
            Ok(Exit::Yes)
        }
    }
}

fn build(args: BuildArgs, ui: &Ui) -> anyhow::Result<Exit> {
    let options = Options {
        source: args.source,
        stub: args.stub,
        unpinned: args.unpinned,
    };
    let telling = Telling::new(ui);
    let kit = kit::build(Arch::X86_64, &options, &telling)?;
    drop(telling);
    tell(&kit, ui);
    Ok(Exit::Yes)
}

/// One line on the kit that is there now.
fn tell(kit: &Kit, ui: &Ui) {
    let mark = if kit.unpinned() { ", unpinned" } else { "" };
    let digest = kit.digest().to_string();
    ui.status(format_args!(
        "kit {} with Linux {}{mark} is in {}",
        &digest[..16],
        kit.kernel_version(),
        kit.folder().display()
    ));
}

fn verify(json: bool, ui: &Ui) -> anyhow::Result<Exit> {
    let kit = Kit::open(Arch::X86_64)?;
    let manifest = kit.manifest();
    if json {
        ui.json(manifest)?;
        return Ok(Exit::Yes);
    }
    let mut lines = vec![
        format!("kit       {}", kit.digest()),
        format!(
            "linux     {} ({})",
            manifest.kernel_version,
            package(&manifest.kernel)
        ),
        format!("stub      {}", package(&manifest.stub)),
        format!("tools     {}", manifest.tools.gcc),
        format!("          {}", manifest.tools.ld),
        format!("          {}", manifest.tools.zstd),
        format!("          {}", manifest.rustc),
    ];
    if kit.unpinned() {
        lines.push("unpinned  other sources than the lock's went into it".to_owned());
    }
    for (name, digest) in &manifest.files {
        lines.push(format!("{digest}  {name}"));
    }
    ui.result(lines.join("\n"))?;
    Ok(Exit::Yes)
}

fn package(package: &kit::Package) -> String {
    format!("{} {}", package.package, package.version)
}

fn bump(ui: &Ui) -> anyhow::Result<Exit> {
    let bumped = kit::bump(Path::new(&std::env::current_dir()?))?;
    ui.result(format_args!(
        "{}: {}, {}",
        bumped.release,
        package(&bumped.kernel),
        package(&bumped.stub)
    ))?;
    ui.status(if bumped.moved {
        "the pin has moved: build ampoule again, then `ampoule kit build`, then bump once more"
    } else if bumped.recorded {
        "the pin stays; the digests of the kit at hand are in the lock"
    } else {
        "the pin stays; there is no kit made of it whose digests could be recorded"
    });
    Ok(Exit::Yes)
}

/// Percent between two lines on a standard error that is no terminal.
const EVERY: u64 = 10;

/// Shows a build: a bar on a terminal, a line now and then elsewhere.
struct Telling<'a> {
    ui: &'a Ui,
    compiling: RefCell<Option<Compiling>>,
}

struct Compiling {
    bar: Progress,
    told: u64,
}

impl<'a> Telling<'a> {
    fn new(ui: &'a Ui) -> Telling<'a> {
        Telling {
            ui,
            compiling: RefCell::new(None),
        }
    }

    fn compiling(&self, done: u64, expected: u64) {
        let mut state = self.compiling.borrow_mut();
        let state = state.get_or_insert_with(|| Compiling {
            bar: self.ui.progress("compiling the kernel", Some(expected)),
            told: 0,
        });
        state.bar.at(done);
        let percent = done.saturating_mul(100) / expected.max(1);
        if !self.ui.interactive() && percent >= state.told + EVERY {
            state.told = percent - percent % EVERY;
            self.ui
                .status(format_args!("compiling the kernel: {}%", state.told));
        }
    }
}

impl Watch for Telling<'_> {
    fn event(&self, event: &Event<'_>) {
        if let Event::Compiling { done, expected } = *event {
            return self.compiling(done, expected);
        }
        // whatever comes next, the kernel is compiled
        self.compiling.replace(None);
        match *event {
            Event::Waiting => self
                .ui
                .status("another build of the kit is under way; waiting"),
            Event::Present => self.ui.status("the kit is there and sound"),
            Event::KernelPresent => self.ui.status("the kernel was compiled earlier"),
            Event::Fetching { package, version } => {
                self.ui
                    .status(format_args!("fetching {package} {version} through apt"));
            }
            Event::Unpinned {
                package,
                pinned,
                taken,
            } => self.ui.warn(format_args!(
                "{package} {pinned} is not to be had; going on with {taken}: kit and images are \
                 marked unpinned"
            )),
            Event::Unpacking => self.ui.status(
                "the kernel has to be compiled, once: eight to twenty minutes on two cores",
            ),
            Event::Configuring => self.ui.status("configuring the kernel"),
            Event::OwnDigest { digest, why } => {
                self.ui.status(format_args!(
                    "the kernel's digest is its own, {digest}: {why}"
                ));
            }
            Event::BuildingInit => self.ui.status("compiling init"),
            _ => {}
        }
    }

    fn stop(&self) -> bool {
        interrupt::requested()
    }
}
