//! `ampoule run`: boots an image on this machine.

use std::path::PathBuf;

use clap::Args;

use super::exit::Exit;
use super::ui::Ui;

/// Boot an image here and show its console
///
/// The exit code is the app's own, 128+n if a signal ended it. 125 to 127 are
/// ampoule's: 125 the machine failed, 126 it ended without a verdict, 127 it
/// could not be started.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct RunArgs {
    /// The image
    pub image: PathBuf,
    /// A port of this machine that leads to one of the guest; repeatable
    #[arg(short, long = "port", value_name = "[ADDR:]HOST:GUEST")]
    pub ports: Vec<String>,
    /// How to boot: auto, bios, uefi, direct or microvm
    #[arg(long, default_value = "auto")]
    pub firmware: String,
    /// How to execute: auto, kvm or tcg
    #[arg(long, default_value = "auto")]
    pub accel: String,
    /// The machine's memory [default: what the image says it needs]
    #[arg(long, value_name = "MiB")]
    pub memory: Option<u32>,
    /// The machine's processors
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub cpus: u32,
}

const EXAMPLES: &str = "\
Examples:
  ampoule run server.img -p 8080:8080
  ampoule run server.img -p 0.0.0.0:80:8080 --firmware uefi --memory 512";

pub(super) fn run(args: RunArgs, ui: &Ui) -> anyhow::Result<Exit> {
    let _ = (args, ui);
    anyhow::bail!("run is not there yet")
}
