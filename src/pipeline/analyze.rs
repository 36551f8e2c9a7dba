//! What `ampoule analyze` tells of an app.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::app::make::Module;
use crate::app::needs::Listen;
use crate::app::{self, Damage, Elf, ElfKind, Facts, Kind, Linkage};
use crate::fit::{Config, Finding};
use crate::kit::Kit;
use crate::need::{Evidence, Need};
use crate::payload::{Addition, Nothing};
use crate::sysno;
use crate::units::{Arch, Bytes};

use super::PipelineError;
use super::estimate::{Estimate, Parts, estimate};
use super::examine::{Examined, examine, file_name};
use super::verdict::{Leave, Remark};

/// Places with an unknown call that are told one by one.
const PLACES_MAX: usize = 32;

/// Everything that is told of an app. The JSON of `ampoule analyze` is this, and
/// `docs/analyze.schema.json` describes it.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The file's own name.
    pub file: String,
    /// Its length in bytes.
    pub size: Bytes,
    /// What kind of file it is, in a word: `program`, `library`, `object`, `core`,
    /// `elf`, `foreign`, `empty`, `damaged`.
    pub format: &'static str,
    /// The architecture, if it is one of ours.
    pub arch: Option<Arch>,
    /// The processor that it is for, as people call it.
    pub machine: Option<String>,
    /// `static`, `static-pie`, `dynamic`, or `hidden` for one that does not say.
    pub linkage: Option<&'static str>,
    /// The interpreter of a dynamic program.
    pub interpreter: Option<String>,
    /// The libraries of a dynamic program.
    pub libraries: Vec<String>,
    /// Whether it unpacks itself when it starts.
    pub packed: bool,
    /// What its segments, notes and sections say beyond that.
    pub facts: Facts,
    /// `Go`, `Rust`, `C`, `C++` …
    pub language: Option<String>,
    /// The compiler with its version.
    pub compiler: Option<String>,
    /// The C library linked in: `glibc`, `musl` …
    pub libc: Option<String>,
    /// Its version.
    pub libc_version: Option<String>,
    /// The main module or package.
    pub module: Option<Module>,
    /// Modules, crates or packages linked in: name to version.
    pub dependencies: BTreeMap<String, String>,
    /// The shell that it is or brings.
    pub shell: Option<&'static str>,
    /// What it needs of the system around it.
    pub needs: Vec<Need>,
    /// Ports that it is likely to listen on.
    pub listens: Vec<Listen>,
    /// The system calls that it can make.
    pub syscalls: Syscalls,
    /// What is added to it, and why.
    pub payload: Vec<Addition>,
    /// What its kernel was built without.
    pub kernel: Vec<Finding>,
    /// Which configuration that was told from.
    pub kernel_config: KernelConfig,
    /// Whether an image is made of it.
    pub verdict: Answer,
    /// Why not.
    pub reasons: Vec<Remark>,
    /// What its owner should know.
    pub warnings: Vec<Remark>,
    /// What its owner accepted.
    pub accepted: Vec<String>,
    /// Names given to `--accept` that nothing goes by.
    pub accepted_in_vain: Vec<String>,
    /// How large an image of it is, about; nothing where none can be made.
    pub image: Option<Estimate>,
}

/// The system calls of an app.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Syscalls {
    /// Their names, sorted.
    pub names: Vec<String>,
    /// How many places enter the kernel with a number that could not be told.
    pub unresolved: usize,
    /// The first of those places.
    pub unresolved_at: Vec<Evidence>,
}

/// Where the options of the kernel were read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "from", rename_all = "lowercase")]
pub enum KernelConfig {
    /// The kit's kernel, of this release.
    Kit {
        /// What `uname -r` prints.
        version: String,
    },
    /// What the command asks of a kernel; there is no kit.
    Carried,
}

/// Whether an image is made of an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// It is.
    Ok,
    /// It is not.
    Refused,
}

/// Looks at the app at `path` without making anything. A kit is used if there is one.
///
/// # Errors
/// [`PipelineError::App`] when the file cannot be read. One that can be read has a
/// report, whatever it is.
pub fn analyze(path: &Path, leave: &Leave) -> Result<Report, PipelineError> {
    let bytes = app::load(path)?;
    let size = Bytes(bytes.len() as u64);
    let name = file_name(path);
    // a file of no architecture of ours is held against no kernel
    let arch = match app::inspect(&bytes) {
        Ok(shape) => shape.arch(),
        Err(damage) => return Ok(Report::damaged(name, size, &damage)),
    };
    let kit = arch.and_then(|arch| Kit::open(arch).ok());
    let config = kernel_config(arch, kit.as_ref())?;
    let examined = match examine(&bytes, &name, &config, leave, &Nothing) {
        Ok(examined) => examined,
        Err(damage) => return Ok(Report::damaged(name, size, &damage)),
    };
    let image = match arch {
        Some(arch) if examined.verdict.reasons.is_empty() => {
            let parts = Parts::of(kit.as_ref())?;
            Some(estimate(&bytes, &examined.payload, arch, parts)?)
        }
        _ => None,
    };
    let kernel_config = match kit {
        Some(kit) => KernelConfig::Kit {
            version: kit.kernel_version().to_owned(),
        },
        None => KernelConfig::Carried,
    };
    Ok(Report::new(name, examined, kernel_config, image))
}

/// The options of the kit's kernel, or those that a kit would be asked for.
fn kernel_config(arch: Option<Arch>, kit: Option<&Kit>) -> Result<Config, PipelineError> {
    match (arch, kit) {
        (None, _) => Ok(Config::default()),
        (Some(_), Some(kit)) => config_of(kit),
        (Some(arch), None) => Ok(Config::parse(&Kit::asked_config(arch)?)),
    }
}

/// The options of the kit's kernel.
pub(super) fn config_of(kit: &Kit) -> Result<Config, PipelineError> {
    let path = kit.kernel_config();
    match fs::read_to_string(path) {
        Ok(text) => Ok(Config::parse(&text)),
        Err(source) => Err(PipelineError::Read {
            path: path.to_owned(),
            source,
        }),
    }
}

impl Report {
    fn new(
        file: String,
        examined: Examined,
        kernel_config: KernelConfig,
        image: Option<Estimate>,
    ) -> Report {
        let Examined {
            analysis,
            fit,
            payload,
            verdict,
        } = examined;
        let arch = analysis.shape.arch();
        let elf = match &analysis.shape.kind {
            Kind::Elf(elf) => Some(elf.as_ref()),
            _ => None,
        };
        let (linkage, interpreter, libraries) = elf.map(linkage).unwrap_or_default();
        let make = analysis.make;
        let calls = analysis.calls;
        let names = |arch| {
            let named = calls
                .found
                .keys()
                .filter_map(|call| sysno::name(arch, *call));
            let mut names: Vec<String> = named.map(str::to_owned).collect();
            names.sort_unstable();
            names
        };
        Report {
            file,
            size: analysis.shape.size,
            format: format(&analysis.shape.kind),
            arch,
            machine: elf.map(|elf| elf.machine.name()),
            linkage,
            interpreter,
            libraries,
            packed: analysis.shape.packed().is_some(),
            facts: analysis.facts,
            language: make.language,
            compiler: make.compiler,
            libc_version: make.libc.as_ref().and_then(|libc| libc.version.clone()),
            libc: make.libc.map(|libc| libc.name),
            module: make.module,
            dependencies: make.dependencies,
            shell: analysis.shape.shell().map(|shell| shell.name),
            needs: analysis.needs,
            listens: analysis.listens,
            syscalls: Syscalls {
                names: arch.map(names).unwrap_or_default(),
                unresolved: calls.unresolved.len(),
                unresolved_at: calls.unresolved.into_iter().take(PLACES_MAX).collect(),
            },
            payload,
            kernel: fit,
            kernel_config,
            verdict: match verdict.reasons.is_empty() {
                true => Answer::Ok,
                false => Answer::Refused,
            },
            reasons: verdict.reasons,
            warnings: verdict.warnings,
            accepted: verdict.accepted,
            accepted_in_vain: verdict.idle,
            image,
        }
    }

    /// Of a file that is damaged there is that to tell, and no more.
    fn damaged(file: String, size: Bytes, damage: &Damage) -> Report {
        Report {
            file,
            size,
            format: "damaged",
            arch: None,
            machine: None,
            linkage: None,
            interpreter: None,
            libraries: Vec::new(),
            packed: false,
            facts: Facts::default(),
            language: None,
            compiler: None,
            libc: None,
            libc_version: None,
            module: None,
            dependencies: BTreeMap::new(),
            shell: None,
            needs: Vec::new(),
            listens: Vec::new(),
            syscalls: Syscalls::default(),
            payload: Vec::new(),
            kernel: Vec::new(),
            kernel_config: KernelConfig::Carried,
            verdict: Answer::Refused,
            reasons: vec![Remark {
                what: damage.to_string(),
                accept: None,
                evidence: Vec::new(),
            }],
            warnings: Vec::new(),
            accepted: Vec::new(),
            accepted_in_vain: Vec::new(),
            image: None,
        }
    }
}

fn format(kind: &Kind) -> &'static str {
    match kind {
        Kind::Empty => "empty",
        Kind::Foreign(_) => "foreign",
        Kind::Elf(elf) => match elf.kind {
            ElfKind::Program(_) => "program",
            ElfKind::Library(_) => "library",
            ElfKind::Object => "object",
            ElfKind::Core => "core",
            ElfKind::Other(_) | ElfKind::Unread => "elf",
        },
    }
}

type Linked = (Option<&'static str>, Option<String>, Vec<String>);

fn linkage(elf: &Elf) -> Linked {
    match &elf.kind {
        ElfKind::Program(Linkage::Static) => (Some("static"), None, Vec::new()),
        ElfKind::Program(Linkage::StaticPie) => (Some("static-pie"), None, Vec::new()),
        ElfKind::Program(Linkage::Hidden) => (Some("hidden"), None, Vec::new()),
        ElfKind::Program(Linkage::Dynamic {
            interpreter,
            needed,
        }) => (Some("dynamic"), interpreter.clone(), needed.clone()),
        _ => (None, None, Vec::new()),
    }
}
