//! Where reports go: the console, and the port that carries nothing else.

use core::sync::atomic::{AtomicI32, Ordering};

use ampoule_init::plain::{Decimal, Plain};
use ampoule_init::report::{Failure, Line, Moment, Report, Verdict};
use ampoule_init::time::Millis;

use crate::console::{self, Console};
use crate::port::Port;
use crate::sys::fd::{self, Poll, RawFd};
use crate::sys::{self, time};
use crate::trouble::Text;

/// The descriptors that a panic writes to: it cannot reach the `Outlets`.
static CONSOLE: AtomicI32 = AtomicI32::new(-1);
static PORT: AtomicI32 = AtomicI32::new(-1);

/// How long the end waits for a console or port that takes nothing, in milliseconds.
const PATIENCE: u64 = 2000;

/// How long the end waits for the port of a device that is there, in milliseconds.
const APPEARANCE: u64 = 500;

/// Both outlets.
pub struct Outlets {
    /// The program's output and the reports.
    pub console: Console,
    /// The reports alone.
    pub port: Port,
}

impl Outlets {
    /// The console; the port is found later.
    pub fn open() -> Outlets {
        let console = Console::open();
        CONSOLE.store(console.raw(), Ordering::Relaxed);
        Outlets {
            console,
            port: Port::new(),
        }
    }

    /// Tells a report everywhere.
    pub fn report(&mut self, report: &Report<'_>) {
        let line = Line::of(report);
        self.port.report(line.as_bytes());
        PORT.store(self.port.raw(), Ordering::Relaxed);
        self.console.report(line.as_bytes());
    }

    /// Sends what is queued, wherever there is room for it.
    pub fn send(&mut self) {
        self.console.send();
        self.port.send();
    }

    /// The descriptors to wait on until they take more.
    pub fn waiting(&self) -> [Option<RawFd>; 2] {
        [self.console.waiting(), self.port.waiting()]
    }

    /// One of the waiting descriptors takes more, or broke.
    pub fn on_ready(&mut self, one: &Poll, now: Millis) {
        if self.port.waiting() == Some(one.fd()) && one.only_broken() {
            self.port.rest(now);
        }
        self.send();
    }

    /// When to try again what cannot be waited for.
    pub fn deadline(&self) -> Option<Millis> {
        self.port.deadline()
    }

    /// Tries it, when it is time.
    pub fn on_timer(&mut self, now: Millis) {
        self.port.on_timer(now);
    }

    /// Waits until everything is out, as long as there is progress.
    pub fn finish(&mut self) {
        self.await_port();
        self.wait_until(&|outlets| outlets.backlog() == 0);
    }

    /// A machine that ends at once may be faster than its port.
    fn await_port(&mut self) {
        let since = millis();
        self.port.find();
        while self.port.may_appear() && millis().since(since) < APPEARANCE {
            pause();
            self.port.find();
        }
    }

    /// Waits until the console takes another buffer of output; false when it is stuck.
    pub fn wait_for_room(&mut self) -> bool {
        self.wait_until(&|outlets| outlets.console.has_room())
    }

    /// How many bytes are not out yet.
    fn backlog(&self) -> usize {
        self.console.backlog() + self.port.backlog()
    }

    /// Waits for `done`; false when there was no progress for too long.
    fn wait_until(&mut self, done: &dyn Fn(&Outlets) -> bool) -> bool {
        let (mut least, mut since) = (usize::MAX, millis());
        loop {
            self.send();
            if done(self) {
                return true;
            }
            let (backlog, now) = (self.backlog(), millis());
            if backlog < least {
                (least, since) = (backlog, now);
            } else if now.since(since) > PATIENCE {
                return false;
            }
            pause();
        }
    }
}

/// Nothing tells when a terminal's last byte is out, or when a port gets a host: look
/// again after two milliseconds.
fn pause() {
    let _ = fd::poll(&mut [], Some(2));
}

/// The time, for reports.
pub fn now() -> Moment {
    Moment {
        uptime_us: time::uptime_us(),
        tsc: sys::counter(),
    }
}

/// The time, for deadlines.
pub fn millis() -> Millis {
    Millis(time::uptime_us() / 1000)
}

/// A panic's verdict, straight to both outlets.
pub fn last_words(file: &str, line: u32) {
    let reason = Text::<128>::of(format_args!("{}:{}", Plain(file), Decimal(line.into())));
    let verdict = Verdict::Failed {
        code: Failure::Panic,
        reason: reason.as_str(),
    };
    let line = Line::of(&Report::Verdict(verdict));
    let port = PORT.load(Ordering::Relaxed);
    if port >= 0 {
        let _ = fd::write(port, line.as_bytes());
    }
    let console = CONSOLE.load(Ordering::Relaxed);
    // a line of the program may be open
    if console < 0
        || fd::write(console, b"\n").is_err()
        || fd::write(console, line.as_bytes()).is_err()
    {
        console::kernel_log(line.as_bytes());
    }
}
