//! The table of servers, `tests/corpus.toml`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use crate::probe::Probe;

/// One server: what it is, how it is sealed, how it is asked.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Server {
    pub name: String,
    /// Language, C library, size: for the reader of the table.
    pub make: String,
    pub version: String,
    pub ports: Vec<u16>,
    pub args: Vec<String>,
    /// Files in the guest, and what is in them.
    #[serde(default)]
    pub content: BTreeMap<String, String>,
    /// Files of this machine that the guest has at the same place.
    #[serde(default)]
    pub files: Vec<String>,
    /// Only these, where not all.
    pub firmware: Option<Vec<String>>,
    #[serde(default)]
    pub allow_shell: bool,
    /// What it needs beside the image itself, as `ampoule.toml` has it.
    #[serde(default = "usual")]
    pub memory_extra: String,
    pub probes: Vec<Probe>,
}

fn usual() -> String {
    "64MiB".to_owned()
}

#[derive(Deserialize)]
struct Table {
    server: Vec<Server>,
}

/// Every row.
pub fn all() -> Vec<Server> {
    toml::from_str::<Table>(include_str!("../corpus.toml"))
        .expect("tests/corpus.toml is well formed")
        .server
}

impl Server {
    /// The row called `name`.
    pub fn named(name: &str) -> Server {
        all()
            .into_iter()
            .find(|server| server.name == name)
            .expect("tests/corpus.toml has that server")
    }

    /// The program itself.
    pub fn program(&self) -> PathBuf {
        crate::common::program(&self.name)
    }

    /// Whether its row asks for this firmware.
    pub fn boots_by(&self, firmware: &str) -> bool {
        self.firmware
            .as_ref()
            .is_none_or(|only| only.iter().any(|name| name == firmware))
    }
}
