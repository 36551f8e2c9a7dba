//! Which app, and what comes with it: flags that `build` and `analyze` share.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::spec::{self, Settings, SpecError, value};

/// Flags of the app and of what stands beside it.
#[derive(Debug, Clone, Args)]
pub struct AppArgs {
    /// The app: a Linux executable, static unless --libs is given
    pub app: Option<PathBuf>,
    /// Settings to start from [default: ampoule.toml, when APP is left out]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// An environment variable of the app; repeatable
    #[arg(long, value_name = "K=V", value_parser = value::env)]
    pub env: Vec<(String, String)>,
    /// A file or directory, and where it goes in the image; repeatable
    #[arg(long, value_name = "HOST:GUEST", value_parser = value::file)]
    pub file: Vec<(String, String)>,
    /// Take what a dynamic app is linked with from this root, such as /
    #[arg(long, value_name = "DIR")]
    pub libs: Option<PathBuf>,
    /// Take all files of this root: a directory, or an OCI image layout
    #[arg(long, value_name = "DIR")]
    pub rootfs: Option<PathBuf>,
    /// Let a shell or busybox in
    #[arg(long)]
    pub allow_shell: bool,
    /// Take what a refusal names as it is: a program that is not there, or an
    /// option of the kernel; repeatable
    #[arg(long, value_name = "NAME", value_parser = value::accepted)]
    pub accept: Vec<String>,
}

/// The file that is read when no app is named.
const CONFIG: &str = "ampoule.toml";

impl AppArgs {
    /// These flags and `more` of them, over the file.
    pub(super) fn settings(self, more: Settings) -> Result<Settings, SpecError> {
        let path = match (&self.config, &self.app) {
            (Some(path), _) => Some(path.clone()),
            (None, None) if self.rootfs.is_none() && Path::new(CONFIG).exists() => {
                Some(PathBuf::from(CONFIG))
            }
            (None, _) => None,
        };
        let file = path.map(|path| read(&path)).transpose()?;
        let files = self.file.into_iter();
        let flags = Settings {
            app: self.app,
            env: self.env.into_iter().collect(),
            files: files
                .map(|(host, guest)| (guest, PathBuf::from(host)))
                .collect(),
            libs: self.libs,
            rootfs: self.rootfs,
            allow_shell: self.allow_shell.then_some(true),
            accept: self.accept.into_iter().collect(),
            ..more
        };
        Ok(flags.or(file.unwrap_or_default()))
    }
}

fn read(path: &Path) -> Result<Settings, SpecError> {
    let text = fs::read_to_string(path).map_err(|source| SpecError::Read {
        path: path.to_owned(),
        source,
    })?;
    spec::load(&text, path)
}
