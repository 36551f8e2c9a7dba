//! What people see: results on standard output, everything else on standard error.
//!
//! Colours and progress are for terminals only; `NO_COLOR` (no-color.org) and
//! `TERM=dumb` turn colours off. Work that ends within a second shows nothing.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How long work goes on in silence before it shows progress.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often a spinner turns.
const TICK: Duration = Duration::from_millis(120);

/// The terminal, or what stands in its place.
#[derive(Debug)]
pub struct Ui {
    err_terminal: bool,
    err_colour: bool,
    out_colour: bool,
}

/// An ANSI style (ECMA-48 SGR parameters).
#[derive(Debug, Clone, Copy)]
pub enum Style {
    /// Failures.
    Red,
    /// Successes.
    Green,
    /// Warnings.
    Yellow,
    /// Headings.
    Bold,
    /// What matters less.
    Dim,
}

impl Style {
    const fn code(self) -> &'static str {
        match self {
            Style::Red => "1;31",
            Style::Green => "32",
            Style::Yellow => "1;33",
            Style::Bold => "1",
            Style::Dim => "2",
        }
    }

    fn paint(self, text: &str, on: bool) -> String {
        if on {
            format!("\x1b[{}m{text}\x1b[0m", self.code())
        } else {
            text.to_owned()
        }
    }
}

impl Ui {
    /// Looks at the standard streams and the environment.
    #[must_use]
    pub(super) fn new() -> Ui {
        let colours = wants_colour(|name| std::env::var_os(name));
        let err_terminal = io::stderr().is_terminal();
        Ui {
            err_terminal,
            err_colour: colours && err_terminal,
            out_colour: colours && io::stdout().is_terminal(),
        }
    }

    /// Whether standard error is a terminal.
    #[must_use]
    pub fn interactive(&self) -> bool {
        self.err_terminal
    }

    /// Writes a result to standard output, with a line's end if it has none.
    ///
    /// # Errors
    /// What standard output says; [`io::ErrorKind::BrokenPipe`] ends the command quietly.
    pub fn result(&self, text: impl Display) -> io::Result<()> {
        let mut text = text.to_string();
        if !text.ends_with('\n') {
            text.push('\n');
        }
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    /// Writes `value` as JSON to standard output.
    ///
    /// # Errors
    /// As [`Ui::result`].
    pub fn json(&self, value: &impl serde::Serialize) -> io::Result<()> {
        self.result(serde_json::to_string_pretty(value)?)
    }

    /// One line on what is going on: a long step that begins, a fallback taken.
    pub fn status(&self, text: impl Display) {
        // a closed standard error is no reason to stop
        let _ = writeln!(io::stderr().lock(), "ampoule: {text}");
    }

    /// One line on what the user should know and the command lives with.
    pub fn warn(&self, text: impl Display) {
        let label = Style::Yellow.paint("warning:", self.err_colour);
        self.status(format_args!("{label} {text}"));
    }

    /// The one line of a failure.
    pub(super) fn error(&self, text: &str) {
        let label = Style::Red.paint("error:", self.err_colour);
        self.status(format_args!("{label} {text}"));
    }

    /// `text` in `style`, if standard output shows colours.
    #[must_use]
    pub fn paint(&self, style: Style, text: &str) -> String {
        style.paint(text, self.out_colour)
    }

    /// Begins a piece of work named `label`, of `total` units if that is known.
    /// It shows itself when it takes long and someone looks on.
    #[must_use]
    pub fn progress(&self, label: impl Into<String>, total: Option<u64>) -> Progress {
        Progress::new(label.into(), total, self.err_terminal)
    }
}

/// A piece of work under way; dropping it wipes it off the terminal.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    /// Dropped first, which wakes the thread that waits to show the bar.
    alive: Option<mpsc::Sender<()>>,
    shower: Option<thread::JoinHandle<()>>,
}

impl Progress {
    fn new(label: String, total: Option<u64>, visible: bool) -> Progress {
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden());
        let template = match total {
            Some(_) => "ampoule: {msg} [{bar:30}] {percent}% {elapsed}",
            None => "ampoule: {msg} {spinner} {elapsed}",
        };
        let style = ProgressStyle::with_template(template)
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("=> ");
        bar.set_style(style);
        bar.set_message(label);
        let mut progress = Progress {
            bar,
            alive: None,
            shower: None,
        };
        if visible {
            progress.show_later();
        }
        progress
    }

    /// Shows the bar once the work has gone on for long enough.
    fn show_later(&mut self) {
        let (alive, ended) = mpsc::channel::<()>();
        let bar = self.bar.clone();
        self.alive = Some(alive);
        self.shower = thread::Builder::new()
            .spawn(move || {
                if ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                    bar.set_draw_target(ProgressDrawTarget::stderr());
                    bar.enable_steady_tick(TICK);
                }
            })
            .ok();
    }

    /// The work has come `units` further.
    pub fn advance(&self, units: u64) {
        self.bar.inc(units);
    }

    /// The work has come to `units` in all.
    pub fn at(&self, units: u64) {
        self.bar.set_position(units);
    }

    /// What is being done now.
    pub fn says(&self, label: impl Into<String>) {
        self.bar.set_message(label.into());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.alive = None;
        if let Some(shower) = self.shower.take() {
            let _ = shower.join();
        }
        self.bar.finish_and_clear();
    }
}

/// Whether the environment leaves colours on: no-color.org wants `NO_COLOR` to be
/// set and not empty.
fn wants_colour(var: impl Fn(&str) -> Option<std::ffi::OsString>) -> bool {
    let refused = var("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = var("TERM").is_some_and(|value| value == "dumb");
    !refused && !dumb
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_color_and_dumb_terminals_are_respected() {
        let with = |name: &'static str, value: &'static str| {
            wants_colour(move |asked| (asked == name).then(|| value.into()))
        };
        assert!(!with("NO_COLOR", "1"));
        assert!(with("NO_COLOR", ""));
        assert!(!with("TERM", "dumb"));
        assert!(with("TERM", "xterm"));
    }

    #[test]
    fn paint_off_leaves_the_text_alone() {
        assert_eq!(Style::Red.paint("x", false), "x");
        assert_eq!(Style::Red.paint("x", true), "\x1b[1;31mx\x1b[0m");
    }

    #[test]
    fn progress_that_ends_early_was_never_drawn() {
        let progress = Progress::new("work".into(), Some(10), true);
        progress.advance(3);
        assert!(progress.bar.is_hidden());
    }
}
