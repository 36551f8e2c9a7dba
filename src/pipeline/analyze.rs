//! What `ampoule analyze` tells of an app.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde::Serialize;

use crate::app::make::Module;
use crate::app::needs::Listen;
use crate::app::{self, AppError, Elf, ElfKind, Facts, Kind, Linkage, Shape};
use crate::closure::Library;
use crate::fit::{Config, Finding};
use crate::initramfs::Content;
use crate::kit::Kit;
use crate::need::{Evidence, Need};
use crate::payload::Addition;
use crate::spec::Appliance;
use crate::spec::files::{self, Entry};
use crate::sysno;
use crate::units::{Arch, Bytes};

use super::build::shell_among;
use super::estimate::{Estimate, Parts, estimate};
use super::examine::{Examined, examine};
use super::guest::Owner;
use super::source::Taken;
use super::verdict::Remark;
use super::{PipelineError, guest, libraries};

/// Places with an unknown call that are told one by one.
const PLACES_MAX: usize = 32;

/// Everything that is told of an app. The JSON of `ampoule analyze` is this, and
/// `docs/analyze.schema.json` describes it.
#[derive(Debug, Clone, Default, Serialize)]
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
    /// Other languages whose code is linked in.
    pub with: Vec<String>,
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
    /// What a root brings that comes with it, and what of that root is left out.
    pub root: Option<Taken>,
    /// The interpreter and the libraries that come with it.
    pub closure: Vec<Library>,
    /// What its owner should know of those.
    pub notes: Vec<String>,
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
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "from", rename_all = "lowercase")]
pub enum KernelConfig {
    /// The kit's kernel, of this release.
    Kit {
        /// What `uname -r` prints.
        version: String,
    },
    /// What the command asks of a kernel; there is no kit.
    #[default]
    Carried,
}

/// Whether an image is made of an app.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// It is.
    #[default]
    Ok,
    /// It is not.
    Refused,
}

/// Looks at the app of `appliance` without making anything. A kit is used if there is one.
///
/// # Errors
/// [`PipelineError`] when a file cannot be read or two want the same place. An app that
/// can be read has a report, whatever it is.
pub fn analyze(appliance: &Appliance) -> Result<Report, PipelineError> {
    let shown = appliance.app_shown();
    let bytes = app::load(&appliance.app).map_err(|error| error.named(shown))?;
    let files = files::collect(&appliance.files)?;
    let mut report = Report {
        file: appliance.app_name(),
        size: Bytes(bytes.len() as u64),
        format: "damaged",
        root: appliance.root.as_ref().map(Taken::of),
        ..Report::default()
    };
    // a file of no architecture of ours is held against no kernel
    let arch = match app::glance(&bytes) {
        Ok(shape) => shape.arch(),
        Err(damage) => return Ok(report.refused(damage.to_string())),
    };
    let kit = arch.and_then(|arch| Kit::open(arch).ok());
    let config = kernel_config(arch, kit.as_ref())?;
    let examined = match examine(&bytes, appliance, &files, &config) {
        Ok(examined) => examined,
        Err(damage) => return Ok(report.refused(damage.to_string())),
    };
    if let Some(kit) = &kit {
        report.kernel_config = KernelConfig::Kit {
            version: kit.kernel_version().to_owned(),
        };
    }
    let shape = examined.analysis.shape.clone();
    report = report.with(examined);
    if let (Some(arch), Answer::Ok) = (arch, report.verdict) {
        report.imagine(
            &bytes,
            appliance,
            &files,
            &shape,
            arch,
            Parts::of(kit.as_ref())?,
        )?;
    }
    Ok(report)
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
    /// The report, refused for this reason as well.
    fn refused(mut self, what: String) -> Report {
        self.verdict = Answer::Refused;
        self.image = None;
        self.reasons.push(Remark::plain(what));
        self
    }

    /// Puts the guest's tree together, to see what is not there and how large it is.
    fn imagine(
        &mut self,
        bytes: &[u8],
        appliance: &Appliance,
        files: &[Entry],
        shape: &Shape,
        arch: Arch,
        parts: Parts,
    ) -> Result<(), PipelineError> {
        if let Err(error) = shell_among(files, appliance.allow_shell) {
            return self.refuse_for(error);
        }
        let init = Content::Host {
            path: PathBuf::new(),
            len: parts.init.0,
        };
        let mut tree = guest::tree(appliance, init, files, &self.payload)?;
        let owner = Owner { appliance, files };
        match libraries::bring(&mut tree, &owner, shape, &mut self.payload) {
            Ok(brought) => {
                self.closure = brought.libraries;
                self.notes = brought.notes;
            }
            Err(error) => return self.refuse_for(error),
        }
        self.image = Some(estimate(bytes, &tree, arch, parts, appliance.memory_extra)?);
        Ok(())
    }

    /// Takes an error that is laid to the app for a reason.
    fn refuse_for(&mut self, error: PipelineError) -> Result<(), PipelineError> {
        let what = match error {
            PipelineError::Incomplete { lacks, remedy, .. } => format!("needs {lacks}; {remedy}"),
            PipelineError::App(AppError::Refused { path, reason }) => {
                format!("comes with {}, which {reason}", path.display())
            }
            other => return Err(other),
        };
        *self = std::mem::take(self).refused(what);
        Ok(())
    }

    /// Adds what was found in the app.
    fn with(self, examined: Examined) -> Report {
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
            let named = calls.found.keys();
            let named = named.filter_map(|call| sysno::name(arch, *call));
            let mut names: Vec<String> = named.map(str::to_owned).collect();
            names.sort_unstable();
            names
        };
        Report {
            format: format(&analysis.shape.kind),
            arch,
            machine: elf.map(|elf| elf.machine.name()),
            linkage,
            interpreter,
            libraries,
            packed: analysis.shape.packed().is_some(),
            facts: analysis.facts,
            language: make.language,
            with: make.with,
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
            verdict: match verdict.reasons.is_empty() {
                true => Answer::Ok,
                false => Answer::Refused,
            },
            reasons: verdict.reasons,
            warnings: verdict.warnings,
            accepted: verdict.accepted,
            accepted_in_vain: verdict.idle,
            ..self
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
