//! Answers the system calls that the program's filter hands over, and tells of them.
//!
//! What is refused is told at once: the call, who made it, what it was about. What a program
//! repeats without pause is counted, and told once a second and at the end.

use ampoule_init::plain::Decimal;
use ampoule_init::report::{Report, Subject};
use ampoule_init::seccomp::{self, CALLS, Call, Policy, Shown};
use ampoule_init::time::Millis;
use ampoule_init::wire::Seccomp;

use crate::config::Config;
use crate::outlets::Outlets;
use crate::sys::fd::{Fd, Flags, Poll, RawFd};
use crate::sys::fs::{self, PathBuffer};
use crate::sys::seccomp::{Answer, Listener, Notice};
use crate::trouble::Text;

/// How long a call that was told is only counted, in milliseconds.
const WINDOW: u64 = 1000;

/// How many lines are told in that time: a slow serial line has room for more than these.
const LINES: u32 = 32;

/// What there is to tell of one call.
#[derive(Clone, Copy)]
struct Tally {
    /// How often it was refused since it was told.
    count: u32,
    /// The thread that made it last.
    thread: u32,
    /// Whether it was told in this window; when learning, ever.
    told: bool,
}

/// The listener's owner.
pub struct Guard {
    policy: Policy<'static>,
    learning: bool,
    listener: Option<Listener>,
    tallies: [Tally; CALLS],
    /// When the window ends in which lines are counted.
    window: Option<Millis>,
    lines: u32,
}

impl Guard {
    /// Answers what `listener` hears. There is none where there is no filter.
    pub fn new(config: &Config, listener: Option<Listener>) -> Option<Guard> {
        Some(Guard {
            policy: config.policy?,
            learning: config.seccomp == Seccomp::Learning,
            listener,
            tallies: [Tally {
                count: 0,
                thread: 0,
                told: false,
            }; CALLS],
            window: None,
            lines: 0,
        })
    }

    /// The descriptor to wait on, until no process has the filter any more.
    pub fn watched(&self) -> Option<RawFd> {
        self.listener.as_ref().map(Listener::raw)
    }

    /// The listener can be asked. One call at a time: a program that makes them without
    /// pause does not keep PID 1 from anything else.
    pub fn on_ready(&mut self, one: &Poll, outlets: &mut Outlets, now: Millis) {
        let Some(listener) = &self.listener else {
            return;
        };
        if one.only_broken() {
            self.listener = None;
            return;
        }
        // one that was killed meanwhile waits for nothing
        let Ok(notice) = listener.receive() else {
            return;
        };
        let number = notice.number as usize;
        // the filter hands over no others
        let (call, tally) = (self.policy.call(number), self.tallies.get_mut(number));
        let (Some(call), Some(tally)) = (call, tally) else {
            return listener.answer(&notice, Answer::Refuse);
        };
        if call.granted || self.learning {
            listener.answer(&notice, Answer::GoOn);
            if self.learning && !tally.told {
                tally.told = true;
                outlets.report(&Report::Called { call: call.name });
            }
            return;
        }
        tally.count = tally.count.saturating_add(1);
        tally.thread = notice.thread;
        self.window.get_or_insert(now.plus(WINDOW));
        if tally.told || self.lines >= LINES {
            return listener.answer(&notice, Answer::Refuse);
        }
        self.lines += 1;
        tally.told = true;
        let count = core::mem::take(&mut tally.count);
        tell(listener, &notice, &call, count, outlets);
    }

    /// When the window ends.
    pub fn deadline(&self) -> Option<Millis> {
        self.window
    }

    /// Tells what was counted meanwhile, when it is time.
    pub fn on_timer(&mut self, outlets: &mut Outlets, now: Millis) {
        if self.window.is_some_and(|at| at <= now) {
            let any = self.tell_counts(LINES, outlets);
            self.window = any.then_some(now.plus(WINDOW));
        }
    }

    /// Tells what was counted, all of it.
    pub fn tell_rest(&mut self, outlets: &mut Outlets) {
        self.tell_counts(u32::MAX, outlets);
    }

    /// Tells at most `lines` of what was counted, and begins a window. Whether there was or
    /// is anything to tell.
    fn tell_counts(&mut self, lines: u32, outlets: &mut Outlets) -> bool {
        self.lines = 0;
        let mut any = false;
        for (number, tally) in self.tallies.iter_mut().enumerate() {
            // when learning, what was told once is not told again
            tally.told &= self.learning;
            if tally.count == 0 {
                continue;
            }
            any = true;
            if let (true, Some(call)) = (self.lines < lines, self.policy.call(number)) {
                outlets.report(&Report::Denied {
                    call: call.name,
                    pid: tally.thread,
                    comm: b"",
                    count: tally.count,
                    subject: Subject::None,
                });
                self.lines += 1;
                (tally.count, tally.told) = (0, true);
            }
        }
        any
    }
}

/// Looks at the thread, answers it, and tells.
fn tell(listener: &Listener, notice: &Notice, call: &Call, count: u32, outlets: &mut Outlets) {
    let (mut name, mut memory) = ([0; 32], [0; 256]);
    let mut comm = read_name(notice, &mut name).unwrap_or_default();
    let mut subject = read_subject(notice, call, &mut memory).unwrap_or(Subject::None);
    // its number may be another's by now
    if !listener.waits(notice) {
        (comm, subject) = (b"", Subject::None);
    }
    listener.answer(notice, Answer::Refuse);
    outlets.report(&Report::Denied {
        call: call.name,
        pid: notice.thread,
        comm,
        count,
        subject,
    });
}

fn read_name<'b>(notice: &Notice, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
    let name = fs::get(of_thread(notice, b"/comm")?.as_c_str(), buffer).ok()?;
    Some(name.trim_ascii_end())
}

fn read_subject<'b>(notice: &Notice, call: &Call, buffer: &'b mut [u8]) -> Option<Subject<'b>> {
    let (Shown::Path(place) | Shown::Address(place)) = call.shown?;
    let memory = Fd::open(of_thread(notice, b"/mem")?.as_c_str(), Flags::READ).ok()?;
    // what is not mapped any more cuts it short
    let len = memory.read_at(buffer, notice.arguments[place]).ok()?;
    match call.shown? {
        Shown::Path(_) => Some(seccomp::path(&buffer[..len])),
        Shown::Address(_) => seccomp::address(&buffer[..len]),
    }
}

/// A file of the thread in /proc: proc(5).
fn of_thread(notice: &Notice, file: &[u8]) -> Option<PathBuffer> {
    let number = Text::<10>::of(format_args!("{}", Decimal(notice.thread.into())));
    PathBuffer::join(&[b"/proc/", number.as_str().as_bytes(), file])
}
