//! The loop that serves everything at once, from the network's start to the verdict.

use ampoule_init::report::{Clean, Failure, Report, Stop, Verdict};
use ampoule_init::time::{Millis, earlier};

use crate::config::Config;
use crate::devices::Devices;
use crate::guard::Guard;
use crate::network::{self, Network};
use crate::outlets::{self, Outlets};
use crate::program::Program;
use crate::readiness::Readiness;
use crate::sys::fd::{self, Fd, Poll, RawFd};
use crate::sys::process::{self, End, Reaped};
use crate::sys::signal::{self, Signal};
use crate::trouble::{Result, Text, Trouble};

/// How long processes may take to vanish after SIGKILL, in milliseconds: one that the
/// kernel holds inside a call must not keep the machine.
const VANISH: u64 = 2000;

/// The network's, the signals, nine devices, two pipes, the filter's listener, two outlets,
/// and some room.
const WATCHED: usize = network::MAX_WATCHED + 18;

/// How far the program is.
#[derive(Clone, Copy)]
enum Phase {
    /// It waits for the network.
    Waiting,
    /// It runs.
    Running,
    /// It ended, and others that it started may still run.
    Ended(End),
}

/// The machine after its preparation.
pub struct Machine<'a> {
    config: &'a Config,
    outlets: &'a mut Outlets,
    signals: Fd,
    devices: Devices,
    network: Network,
    program: Option<(Program, Readiness)>,
    guard: Option<Guard>,
    phase: Phase,
    stop: Option<Stop>,
    /// When every process gets SIGKILL.
    kill_at: Option<Millis>,
    /// When processes that survive SIGKILL are given up.
    give_up_at: Option<Millis>,
}

impl<'a> Machine<'a> {
    /// Finds the devices and starts the network.
    pub fn new(config: &'a Config, outlets: &'a mut Outlets, signals: Fd) -> Result<Machine<'a>> {
        let failed = Trouble::met(Failure::Prepare, "listen to devices", b"");
        let now = outlets::millis();
        Ok(Machine {
            config,
            signals,
            devices: Devices::find(&mut outlets.port).map_err(failed)?,
            network: Network::start(config, outlets, now),
            outlets,
            program: None,
            guard: None,
            phase: Phase::Waiting,
            stop: None,
            kill_at: None,
            give_up_at: None,
        })
    }

    /// Runs the program to its end, and tells the verdict.
    pub fn run(&mut self) -> Result<()> {
        loop {
            let now = outlets::millis();
            self.on_time(now);
            let phase = self.phase;
            match phase {
                Phase::Waiting if self.stop.is_some() => {
                    return Err(Trouble::new(Failure::Stopped, "before the app was started"));
                }
                Phase::Waiting if self.network.state() != network::State::Waiting => {
                    self.start_program(now)?;
                    continue;
                }
                Phase::Ended(end) if self.is_alone(now) => {
                    self.tell_end(end);
                    return Ok(());
                }
                Phase::Waiting | Phase::Running | Phase::Ended(_) => {}
            }
            self.wait(now);
        }
    }

    fn start_program(&mut self, now: Millis) -> Result<()> {
        let mut program = Program::start(self.config)?;
        self.guard = Guard::new(self.config, program.listener.take());
        let path = Text::<512>::of(format_args!("{}", Clean(self.config.app)));
        let app = Report::App {
            pid: program.pid,
            at: outlets::now(),
            path: path.as_str(),
        };
        self.outlets.report(&app);
        let readiness = Readiness::start(self.config.ports, self.outlets, now);
        self.program = Some((program, readiness));
        self.phase = Phase::Running;
        Ok(())
    }

    /// Waits until something happens, and sees to it.
    fn wait(&mut self, now: Millis) {
        let timeout = self.deadline().map(|at| at.since(now));
        let mut set = [Poll::UNUSED; WATCHED];
        let used = self.watch(&mut set);
        if let Err(error) = fd::poll(&mut set[..used], timeout) {
            panic!("ppoll answers {error}");
        }
        let now = outlets::millis();
        for one in set[..used].iter().filter(|one| one.happened()) {
            self.on_ready(one, now);
        }
    }

    /// Fills in what is waited for, and says how much that is.
    fn watch(&self, set: &mut [Poll; WATCHED]) -> usize {
        let mut used = 0;
        let mut add = |fd: Option<RawFd>, wanted| {
            if let (Some(fd), Some(place)) = (fd, set.get_mut(used)) {
                *place = Poll::new(fd, wanted);
                used += 1;
            }
        };
        add(Some(self.signals.raw()), Poll::IN);
        for fd in self.devices.watched() {
            add(fd, Poll::IN);
        }
        for fd in self.network.watched() {
            add(Some(fd), Poll::IN);
        }
        if let Some((program, _)) = &self.program {
            for fd in program.relay.watched(&self.outlets.console) {
                add(fd, Poll::IN);
            }
        }
        add(self.guard.as_ref().and_then(Guard::watched), Poll::IN);
        for fd in self.outlets.waiting() {
            add(fd, Poll::OUT);
        }
        used
    }

    fn on_ready(&mut self, one: &Poll, now: Millis) {
        let fd = one.fd();
        if fd == self.signals.raw() {
            return self.on_signal(now);
        }
        if self.outlets.waiting().contains(&Some(fd)) {
            return self.outlets.on_ready(one, now);
        }
        if let Some((program, readiness)) = &mut self.program {
            if program.relay.on_ready(fd, &mut self.outlets.console, now) {
                self.outlets.console.send();
                return readiness.hint(now);
            }
        }
        if let Some(guard) = &mut self.guard {
            if guard.watched() == Some(fd) {
                return guard.on_ready(one, self.outlets, now);
            }
        }
        if self.network.watched().any(|one| one == fd) {
            return self.network.on_ready(self.outlets, now);
        }
        if self.devices.on_ready(fd, &mut self.outlets.port) {
            self.on_stop(Stop::PowerButton, now);
        }
    }

    fn on_signal(&mut self, now: Millis) {
        while let Some(signal) = signal::next(&self.signals) {
            match signal {
                Signal::CHLD => _ = self.reap(now),
                Signal::INT => self.on_stop(Stop::CtrlAltDel, now),
                Signal::PWR => self.on_stop(Stop::Sigpwr, now),
                _ => self.on_stop(Stop::Sigterm, now),
            }
        }
    }

    /// The machine is to stop. The program is asked to end; more requests change nothing.
    fn on_stop(&mut self, reason: Stop, now: Millis) {
        if self.stop.is_some() {
            return;
        }
        self.stop = Some(reason);
        self.outlets.report(&Report::Stopping { reason });
        if let (Some((program, _)), Phase::Running) = (&self.program, &self.phase) {
            // it may have ended this very moment
            let _ = signal::send_to_group(program.pid, Signal::TERM);
            self.kill_at = Some(now.plus(self.config.grace));
        }
    }

    /// Takes the end of every process that ended. When the program's is among them, all
    /// others are asked to end. Whether no process is left.
    fn reap(&mut self, now: Millis) -> bool {
        loop {
            match process::reap() {
                Reaped::Ended(pid, end) => self.on_end(pid, end, now),
                Reaped::NothingYet => return false,
                Reaped::NoChild => return true,
            }
        }
    }

    fn on_end(&mut self, pid: u32, end: End, now: Millis) {
        let is_program = self
            .program
            .as_ref()
            .is_some_and(|(program, _)| program.pid == pid);
        if is_program && matches!(self.phase, Phase::Running) {
            self.phase = Phase::Ended(end);
            // no process left is no failure
            let _ = signal::send_to_all(Signal::TERM);
            self.kill_at.get_or_insert(now.plus(self.config.grace));
        }
    }

    /// Whether no process is left, or none that can be waited for.
    fn is_alone(&mut self, now: Millis) -> bool {
        self.reap(now) || self.give_up_at.is_some_and(|at| at <= now)
    }

    fn deadline(&self) -> Option<Millis> {
        let mut first = earlier(self.kill_at, self.give_up_at);
        first = earlier(first, self.network.deadline());
        first = earlier(first, self.outlets.deadline());
        first = earlier(first, self.guard.as_ref().and_then(Guard::deadline));
        if let Some((program, readiness)) = &self.program {
            first = earlier(first, program.relay.deadline(&self.outlets.console));
            if matches!(self.phase, Phase::Running) {
                first = earlier(first, readiness.deadline());
            }
        }
        first
    }

    fn on_time(&mut self, now: Millis) {
        if self.network.deadline().is_some_and(|at| at <= now) {
            self.network.on_timer(self.outlets, now);
        }
        self.outlets.on_timer(now);
        if let Some(guard) = &mut self.guard {
            guard.on_timer(self.outlets, now);
        }
        if let Some((program, readiness)) = &mut self.program {
            program.relay.on_timer(&mut self.outlets.console, now);
            self.outlets.console.send();
            if matches!(self.phase, Phase::Running) {
                readiness.on_timer(self.outlets, now);
            }
        }
        if self.kill_at.is_some_and(|at| at <= now) {
            self.kill_at = None;
            self.give_up_at = Some(now.plus(VANISH));
            let _ = signal::send_to_all(Signal::KILL);
        }
    }

    /// Everything that the program wrote, then the verdict.
    fn tell_end(&mut self, end: End) {
        if let Some((program, _)) = &mut self.program {
            let relay = &mut program.relay;
            while self.outlets.wait_for_room()
                && relay.drain(&mut self.outlets.console, outlets::millis())
            {}
            relay.finish(&mut self.outlets.console);
        }
        if let Some(guard) = &mut self.guard {
            guard.tell_rest(self.outlets);
        }
        let verdict = match end {
            End::Exit(code) => Verdict::Exit(code),
            End::Signal(signal) => Verdict::Signal(signal),
        };
        self.outlets.report(&Report::Verdict(verdict));
    }
}
