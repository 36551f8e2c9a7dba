//! One boot: start, wait, ask, stop, and write down what was seen. Judges nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ampoule_qemu::{Event, Forward, Machine, Vm};

use super::ask::{self, Shared};
use super::{Answer, Expectation, Observed, Witness};

/// How often the user's wish to stop is looked at, and answers are.
const TICK: Duration = Duration::from_millis(50);

/// A press of the power button is lost on a guest that is not listening yet: it is repeated
/// until PID 1 says that it heard it.
const PRESS_AGAIN: Duration = Duration::from_secs(2);

/// How long an app that listens on 127.0.0.1 may take to think better of it.
const SECOND_THOUGHT: Duration = Duration::from_secs(5);

/// A boot to be made.
pub struct Session<'a> {
    /// The machine; the forwards for what is asked are put in here.
    pub machine: Machine,
    /// What is asked.
    pub expectations: &'a [Expectation],
    /// How long it may take to be ready and answer, or to end by itself.
    pub limit: Duration,
    /// How long it may take from the request to stop to the machine's end.
    pub stop_limit: Duration,
    /// Whether the user wants to stop.
    pub interrupted: &'a dyn Fn() -> bool,
}

/// A boot that was made.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What was seen.
    pub seen: Observed,
    /// The system calls that a learning PID 1 told of.
    pub called: BTreeSet<String>,
    /// The system calls that the app was refused, and how often.
    pub denied: BTreeMap<String, u32>,
    /// The console's text.
    pub console: String,
    /// From QEMU's start to its end.
    pub took: Duration,
    /// `kvm` or `tcg`.
    pub accelerator: String,
    /// Why it is not KVM, although that would have been taken.
    pub refusal: Option<String>,
}

/// Why there is nothing to judge.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The machine was not started.
    #[error(transparent)]
    Machine(#[from] ampoule_qemu::Error),
    /// The user wants to stop.
    #[error("interrupted; the machine was killed")]
    Interrupted,
}

/// Makes a boot.
///
/// # Errors
/// When the machine cannot be started, or the user stops it. What goes wrong in the machine is
/// no error but something seen.
pub fn observe(session: Session<'_>) -> Result<Outcome, SessionError> {
    let Session {
        machine,
        expectations,
        limit,
        stop_limit,
        interrupted,
    } = session;
    let mut ports: Vec<u16> = expectations.iter().filter_map(Expectation::port).collect();
    ports.sort_unstable();
    ports.dedup();
    let machine = ports
        .iter()
        .fold(machine, |machine, &port| machine.forward(Forward::to(port)));
    let begin = Instant::now();
    let vm = Vm::start(&machine)?;
    let mut watch = Watch::new(vm, expectations, begin + limit, interrupted);
    watch.until_answered()?;
    if watch.must_exit() {
        watch.vm.kill();
    } else {
        watch.stop(stop_limit)?;
    }
    watch.end_asking();
    Ok(watch.outcome(begin, limit))
}

struct Watch<'a> {
    vm: Vm,
    witness: Witness,
    expectations: &'a [Expectation],
    shared: Arc<Shared>,
    askers: Vec<JoinHandle<()>>,
    told: Option<Receiver<(usize, Answer)>>,
    answers: Vec<Option<Answer>>,
    deadline: Instant,
    interrupted: &'a dyn Fn() -> bool,
    hurried: bool,
    stop_requested: bool,
}

impl<'a> Watch<'a> {
    fn new(
        vm: Vm,
        expectations: &'a [Expectation],
        deadline: Instant,
        interrupted: &'a dyn Fn() -> bool,
    ) -> Watch<'a> {
        let over = AtomicBool::new(false);
        Watch {
            vm,
            witness: Witness::default(),
            expectations,
            shared: Arc::new(Shared {
                over,
                listening: Mutex::default(),
                deadline,
            }),
            askers: Vec::new(),
            told: None,
            answers: vec![None; expectations.len()],
            deadline,
            interrupted,
            hurried: false,
            stop_requested: false,
        }
    }

    /// Takes what happens within a tick.
    fn tick(&mut self, deadline: Instant) -> Result<(), SessionError> {
        let until = deadline.min(Instant::now() + TICK);
        while let Some(event) = self.vm.next_event(until) {
            if let Event::Line(source, line) = event {
                self.witness.line(source, &line);
            }
            // a guest that floods its console must not keep us here
            if Instant::now() >= until {
                break;
            }
        }
        for (at, answer) in self.told.iter().flat_map(Receiver::try_iter) {
            self.answers[at] = Some(answer);
        }
        if (self.interrupted)() {
            Err(SessionError::Interrupted)
        } else {
            Ok(())
        }
    }

    /// Waits until all is answered and, if it must, the machine has ended by itself.
    fn until_answered(&mut self) -> Result<(), SessionError> {
        while self.vm.exit().is_none() && Instant::now() < self.deadline && !self.is_satisfied() {
            self.tick(self.deadline)?;
            if let Some(ports) = self.witness.ready() {
                let mut listening = self
                    .shared
                    .listening
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                ports.clone_into(&mut listening);
            }
            // asking earlier would only leave QEMU with connections to nobody
            if self.told.is_none() && (self.witness.started() || self.witness.ready().is_some()) {
                self.ask();
            }
            self.hurry();
        }
        Ok(())
    }

    fn is_satisfied(&self) -> bool {
        let mut asked = self.expectations.iter().zip(&self.answers);
        let is_open = |(expectation, answer): (&Expectation, &Option<Answer>)| {
            expectation.port().is_some() && answer.is_none()
        };
        let answered = self.answers.iter().any(Option::is_some);
        !self.must_exit() && !asked.any(is_open) && (answered || self.witness.ready().is_some())
    }

    fn must_exit(&self) -> bool {
        self.expectations
            .iter()
            .any(|expectation| matches!(expectation, Expectation::Exit(_)))
    }

    /// An app that only the guest itself can reach will hardly change: not much more is waited.
    fn hurry(&mut self) {
        let asked = |port: &u16| self.expectations.iter().any(|e| e.port() == Some(*port));
        let loopback = self.witness.loopback_only();
        let hopeless = if self.expectations.is_empty() {
            !loopback.is_empty()
        } else {
            loopback.iter().any(asked)
        };
        if hopeless && !self.hurried {
            self.hurried = true;
            self.deadline = self.deadline.min(Instant::now() + SECOND_THOUGHT);
        }
    }

    /// Starts asking, each question in a thread of its own.
    fn ask(&mut self) {
        let (sender, receiver) = mpsc::channel();
        for (at, expectation) in self.expectations.iter().cloned().enumerate() {
            let Some(address) = expectation.port().and_then(|port| self.address(port)) else {
                continue;
            };
            let (sender, shared) = (sender.clone(), Arc::clone(&self.shared));
            self.askers.push(thread::spawn(move || {
                let answer = match &expectation {
                    Expectation::Http(http) => ask::http(http, address, &shared),
                    Expectation::Tcp(port) => ask::tcp(*port, address, &shared),
                    Expectation::Exit(_) => return,
                };
                let _ = sender.send((at, answer));
            }));
        }
        self.told = Some(receiver);
    }

    fn address(&self, guest: u16) -> Option<SocketAddr> {
        let forward = self
            .vm
            .forwards()
            .iter()
            .find(|forward| forward.guest == guest)?;
        Some(forward.host_address())
    }

    /// Presses the power button and waits for the machine's end; kills it when that does not
    /// come. Does nothing to a machine that has ended.
    fn stop(&mut self, limit: Duration) -> Result<(), SessionError> {
        let deadline = Instant::now() + limit;
        while self.vm.exit().is_none() && Instant::now() < deadline {
            if !self.witness.stopping() {
                self.stop_requested |= self.vm.powerdown().is_ok();
            }
            let again = deadline.min(Instant::now() + PRESS_AGAIN);
            while self.vm.exit().is_none() && Instant::now() < again {
                self.tick(again)?;
            }
        }
        if self.vm.exit().is_none() {
            self.vm.kill();
        }
        Ok(())
    }

    /// Waits for the threads that ask, and takes what they have to tell.
    fn end_asking(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        for asker in self.askers.drain(..) {
            let _ = asker.join();
        }
        for (at, answer) in self.told.iter().flat_map(Receiver::try_iter) {
            self.answers[at] = Some(answer);
        }
    }

    fn outcome(mut self, begin: Instant, limit: Duration) -> Outcome {
        // an end that was seen here is its own; one that is still to come is that of the kill
        let machine = self.vm.exit().map(|exit| exit.stop.clone());
        let console = self.vm.console();
        let last_line = console
            .lines()
            .map(str::trim_end)
            .rfind(|line| !line.is_empty());
        let acceleration = self.vm.acceleration();
        let accelerator = acceleration.name().to_owned();
        let refusal = acceleration.refusal.as_ref().map(ToString::to_string);
        Outcome {
            seen: Observed {
                ready: self.witness.ready().is_some(),
                loopback_only: self.witness.loopback_only().to_vec(),
                answers: std::mem::take(&mut self.answers),
                stop_requested: self.stop_requested,
                ending: self.witness.ending().cloned(),
                machine,
                panic: self.witness.panic().map(str::to_owned),
                last_line: last_line.map(str::to_owned),
                limit,
            },
            called: self.witness.called().clone(),
            denied: self.witness.denied().clone(),
            took: begin.elapsed(),
            accelerator,
            refusal,
            console,
        }
    }
}
