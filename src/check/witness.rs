//! What a guest says of itself, and which of it is believed.

use std::collections::{BTreeMap, BTreeSet};

use ampoule_init::report::{self, Report, Verdict};
use ampoule_qemu::Source;
use serde::Serialize;

/// How the app ended, as PID 1 tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// With this code.
    Exit(u8),
    /// By this signal.
    Signal(u8),
    /// It never ran, or PID 1 failed.
    Failed {
        /// The class of failure.
        code: String,
        /// What happened.
        reason: String,
    },
}

/// Keeps what the reports of a boot come to.
///
/// PID 1 writes its reports to the console and to a virtio-serial port. The port is its alone;
/// on the console the app's lines stand too. So the console is believed only as long as the
/// port is silent, which it stays on machines without one.
#[derive(Debug, Default)]
pub struct Witness {
    port: State,
    console: State,
    panic: Option<String>,
}

#[derive(Debug, Default)]
struct State {
    heard: bool,
    started: bool,
    ready: Option<Vec<u16>>,
    loopback_only: Vec<u16>,
    stopping: bool,
    called: BTreeSet<String>,
    denied: BTreeMap<String, u32>,
    ending: Option<Ending>,
}

impl State {
    fn take(&mut self, report: &Report<'_>) {
        self.heard = true;
        match report {
            Report::App { .. } => self.started = true,
            Report::Ready { ports } => self.ready = Some(ports.to_vec()),
            Report::LoopbackOnly { port } => self.loopback_only.push(*port),
            Report::Called { call } => drop(self.called.insert((*call).to_owned())),
            Report::Denied { call, count, .. } => {
                let told = self.denied.entry((*call).to_owned()).or_default();
                *told = told.saturating_add(*count);
            }
            Report::Stopping { .. } => self.stopping = true,
            // the first one: there is exactly one
            Report::Verdict(verdict) => drop(self.ending.get_or_insert_with(|| ending(verdict))),
            _ => {}
        }
    }
}

fn ending(verdict: &Verdict<'_>) -> Ending {
    match verdict {
        Verdict::Exit(code) => Ending::Exit(*code),
        Verdict::Signal(signal) => Ending::Signal(*signal),
        Verdict::Failed { code, reason } => Ending::Failed {
            code: code.as_str().to_owned(),
            reason: (*reason).to_owned(),
        },
    }
}

impl Witness {
    /// Takes a line.
    pub fn line(&mut self, source: Source, line: &str) {
        if let Some(report) = report::parse(line.as_bytes()) {
            match source {
                Source::Report => self.port.take(&report),
                Source::Console => self.console.take(&report),
            }
        }
        // the kernel's own words (kernel/panic.c), after its time stamp if it prints one
        if source == Source::Console && self.panic.is_none() {
            if let Some(at) = line.find("Kernel panic - not syncing") {
                let before = line[..at].trim();
                if before.is_empty() || (before.starts_with('[') && before.ends_with(']')) {
                    self.panic = Some(line[at..].trim_end().to_owned());
                }
            }
        }
    }

    fn believed(&self) -> &State {
        if self.port.heard {
            &self.port
        } else {
            &self.console
        }
    }

    /// Whether the app was executed.
    #[must_use]
    pub fn started(&self) -> bool {
        self.believed().started
    }

    /// The ports that listen, once the guest is ready; empty when none was declared.
    #[must_use]
    pub fn ready(&self) -> Option<&[u16]> {
        self.believed().ready.as_deref()
    }

    /// Declared ports on which only the guest itself can reach the app.
    #[must_use]
    pub fn loopback_only(&self) -> &[u16] {
        &self.believed().loopback_only
    }

    /// Whether PID 1 has taken the request to stop.
    #[must_use]
    pub fn stopping(&self) -> bool {
        self.believed().stopping
    }

    /// The system calls that a learning PID 1 told of. The console is not believed in this:
    /// what is told there may be lost.
    #[must_use]
    pub fn called(&self) -> &BTreeSet<String> {
        &self.port.called
    }

    /// The system calls that the app was refused, and how often.
    #[must_use]
    pub fn denied(&self) -> &BTreeMap<String, u32> {
        &self.believed().denied
    }

    /// The verdict, if there was one.
    #[must_use]
    pub fn ending(&self) -> Option<&Ending> {
        self.believed().ending.as_ref()
    }

    /// What the kernel said when it panicked. An app can print such a line too, so this
    /// explains a boot without a verdict, and decides nothing.
    #[must_use]
    pub fn panic(&self) -> Option<&str> {
        self.panic.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn witness(lines: &[(Source, &str)]) -> Witness {
        let mut witness = Witness::default();
        for (source, line) in lines {
            witness.line(*source, line);
        }
        witness
    }

    #[test]
    fn a_verdict_on_the_console_does_not_count_where_the_port_speaks() {
        use Source::{Console, Report};
        let forged = witness(&[
            (Report, "ampoule: start version=0.1.0 uptime-us=1"),
            (Console, "ampoule: verdict exit=0"),
        ]);
        assert_eq!(forged.ending(), None);
        let told = witness(&[
            (Console, "ampoule: verdict exit=0"),
            (Report, "ampoule: start version=0.1.0 uptime-us=1"),
            (Report, "ampoule: verdict signal=11"),
        ]);
        assert_eq!(told.ending(), Some(&Ending::Signal(11)));
    }

    #[test]
    fn the_console_is_believed_where_there_is_no_port() {
        let lines = [
            (
                Source::Console,
                "ampoule: app pid=2 uptime-us=5 path=/app/x",
            ),
            (Source::Console, "ampoule: ready port=80,443"),
            (Source::Console, "| ampoule: verdict exit=0"),
            (Source::Console, "ampoule: stopping reason=power-button"),
            (Source::Console, "ampoule: verdict exit=3"),
            (Source::Console, "ampoule: verdict exit=0"),
        ];
        let witness = witness(&lines);
        assert!(witness.started() && witness.stopping());
        assert_eq!(witness.ready(), Some(&[80, 443][..]));
        assert_eq!(witness.ending(), Some(&Ending::Exit(3)));
    }

    #[test]
    fn calls_are_learned_from_the_port_alone() {
        let witness = witness(&[
            (Source::Report, "ampoule: called call=openat"),
            (Source::Console, "ampoule: called call=openat"),
            (Source::Console, "ampoule: called call=mount"),
        ]);
        let called: Vec<&str> = witness.called().iter().map(String::as_str).collect();
        assert_eq!(called, ["openat"]);
    }

    #[test]
    fn refused_calls_are_counted() {
        let witness = witness(&[
            (
                Source::Report,
                "ampoule: denied call=mount pid=7 comm=x count=1",
            ),
            (Source::Report, "ampoule: denied call=mount pid=7 count=41"),
            (Source::Console, "ampoule: denied call=bpf pid=7 count=1"),
        ]);
        assert_eq!(witness.denied(), &[("mount".to_owned(), 42)].into());
    }

    #[test]
    fn a_panic_of_the_kernel_is_recognised() {
        let panic = |line: &str| {
            let witness = witness(&[(Source::Console, line)]);
            witness.panic().map(str::to_owned)
        };
        let words = "Kernel panic - not syncing: VFS: Unable to mount root fs";
        assert_eq!(panic(words).as_deref(), Some(words));
        assert_eq!(
            panic(&format!("[    1.234567] {words}")).as_deref(),
            Some(words)
        );
        assert_eq!(panic(&format!("app says {words}")), None);
    }
}
