//! Exit codes: one enum, and the one place where an error becomes one.
//!
//! `docs/exit-codes.md` is the page for users; a test holds it against this file.

use std::error::Error;
use std::fmt::Write as _;
use std::io;
use std::process::ExitCode;

use super::ui::Ui;
use crate::app::AppError;
use crate::closure::ClosureError;
use crate::kit::KitError;
use crate::pipeline::PipelineError;
use crate::rootfs::RootfsError;
use crate::spec::SpecError;

/// How a command ended, as its exit code tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It was done, or the answer is yes.
    Yes,
    /// The answer is no: a test, check or verification failed.
    No,
    /// The command line or `ampoule.toml` cannot be understood.
    Usage,
    /// The app cannot run in an image.
    UnsuitableApp,
    /// The kit is missing, damaged, or could not be built.
    Kit,
    /// The image is damaged, or is none of ours.
    Image,
    /// The machine at hand: a missing tool, a full disk, a port in use.
    Environment,
    /// Stopped by Ctrl-C or by a signal that asks to end (128 + SIGINT).
    Interrupted,
    /// The reader of our output went away (128 + SIGPIPE).
    BrokenPipe,
    /// The app's own code, from `run`, which keeps 125 to 127 for itself.
    Code(u8),
}

impl Exit {
    /// Every class with a code of its own.
    pub const ALL: [Exit; 9] = [
        Exit::Yes,
        Exit::No,
        Exit::Usage,
        Exit::UnsuitableApp,
        Exit::Kit,
        Exit::Image,
        Exit::Environment,
        Exit::Interrupted,
        Exit::BrokenPipe,
    ];

    /// The code that the process ends with.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Exit::Yes => 0,
            Exit::No => 1,
            Exit::Usage => 2,
            Exit::UnsuitableApp => 3,
            Exit::Kit => 4,
            Exit::Image => 5,
            Exit::Environment => 6,
            Exit::Interrupted => 130,
            Exit::BrokenPipe => 141,
            Exit::Code(code) => code,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

/// An error with its class said outright, for what no room's error type tells.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    exit: Exit,
    message: String,
    source: Option<anyhow::Error>,
}

impl Failure {
    /// A failure of the class `exit`, told as `message`.
    #[must_use]
    pub fn new(exit: Exit, message: impl Into<String>) -> Failure {
        let message = message.into();
        Failure {
            exit,
            message,
            source: None,
        }
    }

    /// The same with the error that caused it.
    #[must_use]
    pub fn caused_by(self, source: impl Into<anyhow::Error>) -> Failure {
        Failure {
            source: Some(source.into()),
            ..self
        }
    }
}

/// Gives an error its class where it happens: `file.sync_all().exit(Exit::Environment)?`.
pub trait ExitContext<T> {
    /// The same result, its error of the class `exit`.
    ///
    /// # Errors
    /// The error that it had.
    fn exit(self, exit: Exit) -> Result<T, anyhow::Error>;
}

impl<T, E: Into<anyhow::Error>> ExitContext<T> for Result<T, E> {
    fn exit(self, exit: Exit) -> Result<T, anyhow::Error> {
        self.map_err(|error| {
            let error = error.into();
            let message = chain(&error);
            anyhow::Error::new(Failure::new(exit, message))
        })
    }
}

/// The class of `error`: the first in its chain that has one. What has none is
/// laid to the machine at hand.
#[must_use]
pub fn classify(error: &anyhow::Error) -> Exit {
    error
        .chain()
        .find_map(class_of)
        .unwrap_or(Exit::Environment)
}

fn class_of(error: &(dyn Error + 'static)) -> Option<Exit> {
    if let Some(failure) = error.downcast_ref::<Failure>() {
        return Some(failure.exit);
    }
    if let Some(error) = error.downcast_ref::<PipelineError>() {
        return Some(of_pipeline(error));
    }
    if let Some(error) = error.downcast_ref::<KitError>() {
        return Some(of_kit(error));
    }
    if error.is::<ampoule_qemu::Error>() {
        return Some(Exit::Environment);
    }
    if error.is::<AppError>() {
        return Some(Exit::UnsuitableApp);
    }
    if error.is::<SpecError>() {
        return Some(Exit::Usage);
    }
    error.downcast_ref::<io::Error>().map(of_io)
}

fn of_io(error: &io::Error) -> Exit {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Exit::BrokenPipe,
        _ => Exit::Environment,
    }
}

fn of_kit(error: &KitError) -> Exit {
    match error {
        KitError::Interrupted => Exit::Interrupted,
        KitError::Tools { .. } | KitError::NoPlace | KitError::Io { .. } => Exit::Environment,
        _ => Exit::Kit,
    }
}

fn of_rootfs(error: &RootfsError) -> Exit {
    match error {
        RootfsError::Spool { .. } => Exit::Environment,
        RootfsError::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => Exit::Usage,
        RootfsError::Read { .. } => Exit::Environment,
        RootfsError::NotADirectory(_) => Exit::Usage,
        _ => Exit::UnsuitableApp,
    }
}

fn of_pipeline(error: &PipelineError) -> Exit {
    match error {
        PipelineError::App(_) | PipelineError::Incomplete { .. } | PipelineError::Unfit { .. } => {
            Exit::UnsuitableApp
        }
        PipelineError::Kit(error) => of_kit(error),
        PipelineError::Closure(ClosureError::Open { .. }) => Exit::Usage,
        PipelineError::Closure(_)
        | PipelineError::AppLeftOut { .. }
        | PipelineError::Script { .. } => Exit::UnsuitableApp,
        PipelineError::Rootfs(error) => of_rootfs(error),
        PipelineError::NoEntrypoint(_) | PipelineError::NoProgram { .. } => Exit::Usage,
        PipelineError::Spec(_) | PipelineError::Tree(_) | PipelineError::Wire(_) => Exit::Usage,
        PipelineError::Interrupted => Exit::Interrupted,
        PipelineError::Read { .. } | PipelineError::Write { .. } => Exit::Environment,
        // an image that is read, whatever is wrong with it
        PipelineError::Image { .. } => Exit::Image,
        // a part that is made: the machine's fault if the system refused, else the kit's
        made if made.source().is_some_and(|cause| cause.is::<io::Error>()) => Exit::Environment,
        PipelineError::Arch { .. }
        | PipelineError::Kernel(_)
        | PipelineError::Uki(_)
        | PipelineError::Bios(_) => Exit::Kit,
        _ => Exit::Environment,
    }
}

/// Tells `error` in one line, unless nobody is left to read it, and gives its class.
pub fn report(error: &anyhow::Error, ui: &Ui) -> Exit {
    let exit = classify(error);
    if exit != Exit::BrokenPipe {
        ui.error(&chain(error));
    }
    exit
}

/// The messages of `error` and of its causes in one line. A message that already
/// ends with its cause's is not said twice.
fn chain(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain() {
        let message = cause.to_string();
        let message = message.trim().replace('\n', "; ");
        if line.is_empty() {
            line = message;
        } else if !line.ends_with(&message) {
            let _ = write!(line, ": {message}");
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::DiskError;
    use anyhow::Context as _;

    #[test]
    fn codes_are_unique_and_keep_clear_of_those_of_run() {
        let mut codes: Vec<u8> = Exit::ALL.iter().map(|exit| exit.code()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Exit::ALL.len());
        assert!(codes.iter().all(|code| !(125..=127).contains(code)));
    }

    #[test]
    fn the_page_and_the_enum_agree() {
        let page = include_str!("../../docs/exit-codes.md");
        let told: Vec<(u8, &str)> = page
            .lines()
            .filter_map(|line| line.strip_prefix("| `"))
            .filter_map(|line| line.split_once("` | "))
            .filter_map(|(code, rest)| Some((code.parse().ok()?, rest.split(" |").next()?)))
            .collect();
        let ours: Vec<(u8, String)> = Exit::ALL
            .iter()
            .map(|exit| (exit.code(), format!("{exit:?}")))
            .collect();
        let ours: Vec<(u8, &str)> = ours.iter().map(|(c, n)| (*c, n.as_str())).collect();
        assert_eq!(told, ours);
    }

    #[test]
    fn a_chain_is_one_line_and_says_nothing_twice() {
        let cause = io::Error::other("disk\nfull");
        let error = anyhow::Error::new(cause)
            .context("cannot write: disk\nfull")
            .context("building a.img");
        assert_eq!(chain(&error), "building a.img: cannot write: disk; full");
    }

    #[test]
    fn the_class_is_found_under_the_context() {
        let error = Err::<(), _>(Failure::new(Exit::Kit, "no kit"))
            .context("building")
            .unwrap_err();
        assert_eq!(classify(&error), Exit::Kit);
        let error = anyhow::Error::new(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(classify(&error), Exit::BrokenPipe);
        assert_eq!(classify(&anyhow::anyhow!("no")), Exit::Environment);
    }

    #[test]
    fn each_rooms_errors_have_their_class() {
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        let class = |error: PipelineError| classify(&anyhow::Error::new(error));
        let app = PipelineError::App(AppError::Missing("x".into()));
        assert_eq!(class(app), Exit::UnsuitableApp);
        assert_eq!(class(PipelineError::Spec(SpecError::NoApp)), Exit::Usage);
        assert_eq!(class(PipelineError::Interrupted), Exit::Interrupted);
        let written = PipelineError::Disk(DiskError::Write(full()));
        assert_eq!(class(written), Exit::Environment);
        let image = PipelineError::Image {
            path: "x".into(),
            source: Box::new(PipelineError::Disk(DiskError::Read(full()))),
        };
        assert_eq!(class(image), Exit::Image);
        let kit = anyhow::Error::new(KitError::Missing("x".into()));
        assert_eq!(classify(&kit), Exit::Kit);
        assert_eq!(
            classify(&anyhow::Error::new(KitError::Interrupted)),
            Exit::Interrupted
        );
    }
}
