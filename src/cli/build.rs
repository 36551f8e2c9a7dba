//! `ampoule build`: an app becomes an image.

use std::path::PathBuf;

use clap::Args;

use super::exit::Exit;
use super::ui::Ui;

/// Seal an app into a bootable image
///
/// Needs a static Linux binary and a kit (`ampoule kit build`). Settings may
/// come from an ampoule.toml; flags go over it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct BuildArgs {
    /// The app: a static Linux executable
    pub app: Option<PathBuf>,
    /// Where the image goes [default: NAME.img]
    #[arg(short, long, value_name = "IMG")]
    pub output: Option<PathBuf>,
    /// Settings to start from [default: ampoule.toml, when APP is left out]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The image's name [default: the app's file name]
    #[arg(long)]
    pub name: Option<String>,
    /// An environment variable of the app; repeatable
    #[arg(long, value_name = "K=V")]
    pub env: Vec<String>,
    /// A file or directory, and where it goes in the image; repeatable
    #[arg(long, value_name = "HOST:GUEST")]
    pub file: Vec<String>,
    /// A TCP port that the app listens on; repeatable
    #[arg(long, value_name = "N")]
    pub port: Vec<u16>,
    /// The user that the app runs as [default: 65532]
    #[arg(long, value_name = "UID[:GID]")]
    pub user: Option<String>,
    /// The app's working directory [default: /]
    #[arg(long, value_name = "DIR")]
    pub workdir: Option<String>,
    /// Let a shell or busybox in
    #[arg(long)]
    pub allow_shell: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
    /// The app's arguments
    #[arg(last = true)]
    pub args: Vec<String>,
}

const EXAMPLES: &str = "\
Examples:
  ampoule build ./server --port 8080
  ampoule build ./server -o edge.img --env LOG=info -- --listen :8080
  ampoule build ./caddy --file ./site:/srv --port 80 -- file-server --root /srv
  ampoule build --config deploy/ampoule.toml";

pub(super) fn run(args: BuildArgs, ui: &Ui) -> anyhow::Result<Exit> {
    let _ = (args, ui);
    anyhow::bail!("build is not there yet")
}
