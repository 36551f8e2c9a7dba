//! The programs of `tests/corpus.toml`, and what the command says of each.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock};
use std::thread;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::common;

/// Where the command with optimisation lies, which analyses the corpus eight times as fast. `scripts/test` and
/// `scripts/analyses` have just built it; without them it is the one that cargo built for the tests.
const RELEASE: &str = "AMPOULE_RELEASE";

/// A row, whichever kind it is of.
#[derive(Clone, Deserialize)]
pub struct Program {
    pub name: String,
    client: String,
    sha256: String,
}

#[derive(Deserialize)]
struct Table {
    server: Vec<Program>,
    program: Vec<Program>,
    negative: Vec<Program>,
}

/// What `ampoule analyze --json` prints, as far as it is held (docs/analyze.schema.json).
#[derive(Clone, Deserialize)]
pub struct Analysis {
    pub format: String,
    pub machine: Option<String>,
    pub linkage: Option<String>,
    pub packed: bool,
    pub language: Option<String>,
    pub compiler: Option<String>,
    pub libc: Option<String>,
    pub libc_version: Option<String>,
    pub needs: Vec<Need>,
    pub listens: Vec<Listen>,
    pub syscalls: Calls,
    pub payload: Vec<Addition>,
    pub kernel: Vec<Missing>,
    pub verdict: String,
    pub reasons: Vec<Remark>,
    pub warnings: Vec<Remark>,
}

#[derive(Clone, Deserialize)]
pub struct Need {
    pub kind: String,
    pub name: Option<String>,
    pub confidence: String,
}

#[derive(Clone, Deserialize)]
pub struct Listen {
    pub port: u16,
    pub loopback: bool,
    pub confidence: String,
}

#[derive(Clone, Deserialize)]
pub struct Calls {
    pub names: Vec<String>,
    pub unresolved: u64,
}

#[derive(Clone, Deserialize)]
pub struct Addition {
    pub path: String,
}

#[derive(Clone, Deserialize)]
pub struct Missing {
    pub option: String,
    pub level: String,
}

#[derive(Clone, Deserialize)]
pub struct Remark {
    pub what: String,
}

/// A program with its analysis.
pub struct Analysed {
    pub program: Program,
    /// Whether it must be refused.
    pub negative: bool,
    pub analysis: Analysis,
    /// The calls that it was seen to make (`scripts/recall --record`).
    pub made: Vec<String>,
}

/// Every program whose bytes are the pinned ones, in the order of the table.
pub fn all() -> &'static [Analysed] {
    static ALL: OnceLock<Vec<Analysed>> = OnceLock::new();
    ALL.get_or_init(analyse_all)
}

/// The program of this name.
pub fn named(name: &str) -> &'static Analysed {
    let found = all().iter().find(|one| one.program.name == name);
    found.unwrap_or_else(|| panic!("tests/corpus.toml has no '{name}'"))
}

fn analyse_all() -> Vec<Analysed> {
    let table: Table =
        toml::from_str(include_str!("../corpus.toml")).expect("tests/corpus.toml is well formed");
    let made: BTreeMap<String, Vec<String>> =
        toml::from_str(include_str!("made.toml")).expect("made.toml is well formed");
    let marked = |programs: Vec<Program>, negative| {
        programs.into_iter().map(move |program| (program, negative))
    };
    let rows: Vec<(Program, bool)> = marked(table.server, false)
        .chain(marked(table.program, false))
        .chain(marked(table.negative, true))
        .filter(|(program, _)| program.is_pinned())
        .collect();
    let queue = Mutex::new(rows.iter().enumerate());
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().expect("no thread panicked").next();
                    let Some((number, (program, negative))) = next else {
                        return;
                    };
                    let analysed = Analysed {
                        program: program.clone(),
                        negative: *negative,
                        analysis: program.analyse(),
                        made: made.get(&program.name).cloned().unwrap_or_default(),
                    };
                    let mut done = done.lock().expect("no thread panicked");
                    done.push((number, analysed));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("no thread panicked");
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, analysed)| analysed).collect()
}

impl Program {
    /// Whether the program is the one that is pinned. Debian keeps one version a release, and
    /// `scripts/fetch-corpus` goes on with the next; the others it does not accept.
    fn is_pinned(&self) -> bool {
        if self.client != "apt" {
            return true;
        }
        let bytes = fs::read(common::program(&self.name)).expect("the program can be read");
        let digest: String = Sha256::digest(bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        if digest != self.sha256 {
            eprintln!(
                "NOT CHECKED: {} is of another version than the goldens",
                self.name
            );
        }
        digest == self.sha256
    }

    fn analyse(&self) -> Analysis {
        let ampoule =
            std::env::var_os(RELEASE).unwrap_or_else(|| env!("CARGO_BIN_EXE_ampoule").into());
        let output = Command::new(ampoule)
            .args(["analyze", "--json"])
            .arg(common::program(&self.name))
            .stdin(Stdio::null())
            .output()
            .expect("the command starts");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            let said = String::from_utf8_lossy(&output.stderr);
            panic!("{}: {error}: {said}", self.name)
        })
    }
}
