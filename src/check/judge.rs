//! From what was seen to what it means. Pure.

use std::time::Duration;

use ampoule_qemu::Stop;
use serde::Serialize;

use super::{Answer, Ending, Expectation};

/// What was seen of one boot.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// PID 1 said that the declared ports listen, or that the app runs where none is declared.
    pub ready: bool,
    /// Ports on which the app listens for the guest itself alone.
    pub loopback_only: Vec<u16>,
    /// The answers, in the order of the expectations; none where nothing was asked.
    pub answers: Vec<Option<Answer>>,
    /// Whether the machine was asked to stop.
    pub stop_requested: bool,
    /// How the app ended.
    pub ending: Option<Ending>,
    /// How the machine ended; none if it had to be killed.
    pub machine: Option<Stop>,
    /// What the kernel said when it panicked.
    pub panic: Option<String>,
    /// The console's last line.
    pub last_line: Option<String>,
    /// How long was waited at most for it to be ready, answer or end.
    pub limit: Duration,
}

/// One thing that was judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What: `ready`, `http 8080/=200`, `tcp 6379`, `stop`, `exit 0`, `image`.
    pub name: String,
    /// Whether it is as it must be.
    pub ok: bool,
    /// What was seen.
    pub detail: String,
}

impl Finding {
    /// It is as it must be.
    pub fn good(name: impl Into<String>, detail: impl Into<String>) -> Finding {
        Finding {
            name: name.into(),
            ok: true,
            detail: detail.into(),
        }
    }

    /// It is not.
    pub fn bad(name: impl Into<String>, detail: impl Into<String>) -> Finding {
        Finding {
            name: name.into(),
            ok: false,
            detail: detail.into(),
        }
    }
}

/// SIGKILL and SIGTERM (signal(7)).
const SIGKILL: u8 = 9;
const SIGTERM: u8 = 15;

/// Judges one boot: readiness, every expectation, and the end.
#[must_use]
pub fn judge(expectations: &[Expectation], seen: &Observed) -> Vec<Finding> {
    let mut findings = Vec::new();
    let exit = expectations
        .iter()
        .find_map(|expectation| match expectation {
            Expectation::Exit(code) => Some(*code),
            _ => None,
        });
    let asks = expectations
        .iter()
        .any(|expectation| expectation.port().is_some());
    // a job that is to end need never be ready
    if exit.is_none() || asks {
        findings.push(readiness(seen));
    }
    for (at, expectation) in expectations.iter().enumerate() {
        let answer = seen.answers.get(at).and_then(Option::as_ref);
        if expectation.port().is_some() {
            findings.push(asked(expectation, answer, seen));
        }
    }
    findings.push(match exit {
        Some(code) => exited(code, seen),
        None => stopped(seen),
    });
    findings
}

fn readiness(seen: &Observed) -> Finding {
    let answered = |answer: &Option<Answer>| !matches!(answer, None | Some(Answer::None(_)));
    if seen.ready {
        Finding::good("ready", "told by init")
    } else if seen.answers.iter().any(answered) {
        Finding::good("ready", "it answered")
    } else {
        Finding::bad("ready", why_not_ready(seen))
    }
}

fn why_not_ready(seen: &Observed) -> String {
    if let Some(end) = early_end(seen) {
        return format!("{end} before it was ready");
    }
    if let [port, ..] = seen.loopback_only[..] {
        return format!(
            "it listens on port {port} of 127.0.0.1 only, where nobody outside the machine reaches it; let it listen on 0.0.0.0"
        );
    }
    let last = seen
        .last_line
        .as_deref()
        .map(|line| format!("; the console's last line: {line}"));
    format!(
        "it was not ready within {} s{}",
        seen.limit.as_secs(),
        last.unwrap_or_default()
    )
}

/// How the machine came to an end that nobody asked for, as the beginning of a sentence.
fn early_end(seen: &Observed) -> Option<String> {
    if seen.stop_requested {
        return None;
    }
    match (&seen.ending, &seen.machine) {
        (Some(ending), _) => Some(told(ending)),
        (None, Some(machine)) => Some(without_verdict(seen, machine)),
        (None, None) => None,
    }
}

/// An end of the app in words.
fn told(ending: &Ending) -> String {
    match ending {
        Ending::Exit(code) => format!("the app ended with {code}"),
        Ending::Signal(signal) => match name_of(*signal) {
            Some(name) => format!("the app was ended by signal {signal} ({name})"),
            None => format!("the app was ended by signal {signal}"),
        },
        Ending::Failed { code, reason } => format!("init failed ({code}): {reason}"),
    }
}

/// The signals that end programs often (signal(7), x86 and ARM).
fn name_of(signal: u8) -> Option<&'static str> {
    const NAMES: [(u8, &str); 10] = [
        (1, "SIGHUP"),
        (2, "SIGINT"),
        (4, "SIGILL"),
        (5, "SIGTRAP"),
        (6, "SIGABRT"),
        (7, "SIGBUS"),
        (8, "SIGFPE"),
        (SIGKILL, "SIGKILL"),
        (11, "SIGSEGV"),
        (SIGTERM, "SIGTERM"),
    ];
    NAMES
        .iter()
        .find(|(number, _)| *number == signal)
        .map(|(_, name)| *name)
}

fn without_verdict(seen: &Observed, machine: &Stop) -> String {
    match &seen.panic {
        Some(panic) => format!("the kernel panicked ({panic})"),
        None => format!("{machine} without a verdict"),
    }
}

fn asked(expectation: &Expectation, answer: Option<&Answer>, seen: &Observed) -> Finding {
    let name = expectation.to_string();
    let no_answer = |last: &str| {
        if let Some(end) = early_end(seen) {
            return format!("{end} before it answered");
        }
        let port = expectation.port().unwrap_or_default();
        if seen.loopback_only.contains(&port) {
            return format!("no answer: it listens on port {port} of 127.0.0.1 only");
        }
        format!("no answer within {} s: {last}", seen.limit.as_secs())
    };
    match (expectation, answer) {
        (_, None) => Finding::bad(
            name,
            no_answer("it was not asked, since the app never started"),
        ),
        (_, Some(Answer::None(last))) => Finding::bad(name, no_answer(last)),
        (Expectation::Http(http), Some(Answer::Http { status, body })) => {
            if *status != http.status {
                return Finding::bad(name, format!("the status is {status}"));
            }
            match &http.body {
                Some(wanted) if !wanted.is_match(body) => Finding::bad(
                    name,
                    format!("the body does not match /{wanted}/: {}", shortened(body)),
                ),
                Some(wanted) => Finding::good(
                    name,
                    format!("status {status}, the body matches /{wanted}/"),
                ),
                None => Finding::good(name, format!("status {status}")),
            }
        }
        (Expectation::Tcp(_), Some(Answer::Bytes(count))) => {
            Finding::good(name, format!("it sent {count} bytes"))
        }
        (Expectation::Tcp(_), Some(Answer::Held)) => {
            Finding::good(name, "it takes connections, and init says that it listens")
        }
        (_, Some(_)) => Finding::bad(name, "an answer to another question"),
    }
}

/// The beginning of a body, on one line.
fn shortened(body: &str) -> String {
    const LONGEST: usize = 80;
    let mut text: String = body
        .chars()
        .take(LONGEST)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if body.chars().count() > LONGEST {
        text.push('…');
    }
    text
}

fn exited(code: u8, seen: &Observed) -> Finding {
    let name = format!("exit {code}");
    match (&seen.ending, &seen.machine) {
        (Some(Ending::Exit(seen)), _) if *seen == code => Finding::good(name, "so it did"),
        (Some(ending), _) => Finding::bad(name, told(ending)),
        (None, Some(machine)) => Finding::bad(name, without_verdict(seen, machine)),
        (None, None) => Finding::bad(
            name,
            format!("it did not end within {} s", seen.limit.as_secs()),
        ),
    }
}

/// An orderly stop: init took the request, the app ended by itself or by SIGTERM, which is what
/// a program without a handler does, and the machine switched itself off. The app's code after a
/// request to stop is its own business.
fn stopped(seen: &Observed) -> Finding {
    let name = "stop";
    if !seen.stop_requested {
        return Finding::bad(
            name,
            match early_end(seen) {
                Some(end) => format!("{end} before it was asked to stop"),
                None => "it was not asked to stop".to_owned(),
            },
        );
    }
    match (&seen.ending, &seen.machine) {
        (_, None) => Finding::bad(
            name,
            "it did not stop when the power button was pressed, and was killed",
        ),
        (Some(Ending::Signal(SIGKILL)), _) => Finding::bad(
            name,
            "the app ignored SIGTERM, and init killed it after its grace time",
        ),
        (Some(Ending::Exit(code)), Some(Stop::PoweredOff | Stop::Reset)) => {
            Finding::good(name, format!("in order, the app ended with {code}"))
        }
        (Some(Ending::Signal(SIGTERM)), Some(Stop::PoweredOff | Stop::Reset)) => {
            Finding::good(name, "in order, the app ended by SIGTERM")
        }
        (Some(ending @ (Ending::Signal(_) | Ending::Failed { .. })), _) => {
            Finding::bad(name, format!("{} while it was stopped", told(ending)))
        }
        (Some(_), Some(machine)) => Finding::bad(name, machine.to_string()),
        (None, Some(machine)) => Finding::bad(name, without_verdict(seen, machine)),
    }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
