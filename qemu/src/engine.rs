//! The thread that owns QEMU and all its sockets, from its start to its end.
//!
//! One thread, since the kernel's death signal goes by the *thread* that started the child: it
//! lives exactly as long as the child does. It waits in one `poll` for everything that can
//! happen, and hands it on as [`Event`]s.

mod dialogue;
mod messages;

use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::event::{Event, Exit, Source, Stop};
use crate::lines::Lines;
use crate::vm::Control;
use crate::{Error, Forward, forward};

pub(crate) use dialogue::FIRST_FREE_ID;
use messages::Messages;

/// What QEMU connects to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Channel {
    Qmp,
    Console,
    Report,
}

/// A machine about to be started.
pub(crate) struct Launch {
    pub command: Command,
    pub listeners: Vec<(Channel, UnixListener)>,
    pub forwards: Vec<Forward>,
    /// When QEMU must have answered on its control connection.
    pub deadline: Instant,
}

/// A machine that runs.
pub(crate) struct Started {
    pub control: Control,
    pub forwards: Vec<Forward>,
}

/// The events on their way, and how many bytes of console are in them.
pub(crate) struct Queue {
    pub events: Receiver<Event>,
    pub bytes: Arc<AtomicUsize>,
}

/// Console bytes that may wait to be taken. Past it the console is not read, and the guest's
/// output blocks, as it would on a slow terminal.
const QUEUE_LIMIT: usize = 4 << 20;

/// Runs a machine to its end. What happens before it runs is told through `started`.
pub(crate) fn run(
    launch: Launch,
    started: Sender<Result<Started, Error>>,
    events: Sender<Event>,
    queued: Arc<AtomicUsize>,
) {
    match Engine::spawn(launch, started.clone(), events, queued) {
        Ok(mut engine) => engine.run(),
        // the receiver waits for this as long as there is a sender
        Err(error) => drop(started.send(Err(error))),
    }
}

struct Engine {
    child: Child,
    pidfd: Arc<OwnedFd>,
    messages: Messages,
    listeners: Vec<(Channel, UnixListener)>,
    streams: Vec<Stream>,
    /// Some until the machine runs.
    started: Option<Sender<Result<Started, Error>>>,
    deadline: Instant,
    forwards: Vec<Forward>,
    control: Option<Control>,
    events: Sender<Event>,
    queued: Arc<AtomicUsize>,
    stop: Option<Stop>,
    panicked: bool,
}

struct Stream {
    channel: Channel,
    socket: UnixStream,
    lines: Lines,
}

#[derive(Clone, Copy)]
enum Token {
    Child,
    Messages,
    Listener(usize),
    Stream(usize),
}

impl Engine {
    fn spawn(
        launch: Launch,
        started: Sender<Result<Started, Error>>,
        events: Sender<Event>,
        queued: Arc<AtomicUsize>,
    ) -> Result<Engine, Error> {
        let Launch {
            mut command,
            listeners,
            forwards,
            deadline,
        } = launch;
        // its own process group: a terminal's Ctrl-C is for us to act on
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0);
        let mut child = command.spawn().map_err(Error::host("start qemu"))?;
        let pidfd = match open_pidfd(&child) {
            Ok(pidfd) => Arc::new(pidfd),
            Err(error) => {
                // not reaped yet, so the number is still its own
                let _ = child.kill();
                let _ = child.wait();
                return Err(error);
            }
        };
        let messages = Messages::from(child.stderr.take());
        Ok(Engine {
            child,
            pidfd,
            messages,
            listeners,
            streams: Vec::new(),
            started: Some(started),
            deadline,
            forwards,
            control: None,
            events,
            queued,
            stop: None,
            panicked: false,
        })
    }

    fn run(&mut self) {
        loop {
            let ready = match self.wait() {
                Ok(ready) => ready,
                Err(error) => {
                    self.fail(Error::Host {
                        what: "wait for qemu",
                        source: error.into(),
                    });
                    break;
                }
            };
            let ended = ready.iter().any(|token| matches!(token, Token::Child));
            for token in ready {
                self.serve(token);
            }
            if ended {
                break;
            }
            if self.started.is_some() && Instant::now() >= self.deadline {
                self.fail(Error::Qmp(self.messages.after("no answer in time")));
            }
        }
        self.finish();
    }

    /// Waits until something can be read.
    fn wait(&self) -> rustix::io::Result<Vec<Token>> {
        let throttled = self.queued.load(Ordering::Relaxed) > QUEUE_LIMIT;
        let mut tokens = vec![Token::Child];
        let mut fds = vec![readable(self.pidfd.as_fd())];
        if let Some(source) = self.messages.source() {
            tokens.push(Token::Messages);
            fds.push(readable(source));
        }
        for (at, (_, listener)) in self.listeners.iter().enumerate() {
            tokens.push(Token::Listener(at));
            fds.push(readable(listener.as_fd()));
        }
        for (at, stream) in self.streams.iter().enumerate() {
            if !(throttled && stream.channel == Channel::Console) {
                tokens.push(Token::Stream(at));
                fds.push(readable(stream.socket.as_fd()));
            }
        }
        let timeout = match (&self.started, throttled) {
            (Some(_), _) => Some(self.deadline.saturating_duration_since(Instant::now())),
            (None, true) => Some(Duration::from_millis(20)),
            (None, false) => None,
        };
        let timeout = timeout.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error),
        }
        // later ones first, so that taking one out does not move those still to be served
        let ready = fds
            .iter()
            .zip(tokens)
            .filter(|(fd, _)| !fd.revents().is_empty());
        Ok(ready.map(|(_, token)| token).rev().collect())
    }

    fn serve(&mut self, token: Token) {
        match token {
            Token::Child => {}
            Token::Messages => self.messages.read(),
            Token::Listener(at) => self.accept(at),
            Token::Stream(at) => {
                if !self.read(at) {
                    self.last_line(at);
                    self.streams.remove(at);
                }
            }
        }
    }

    fn accept(&mut self, at: usize) {
        let (channel, listener) = self.listeners.remove(at);
        let accepted = listener.accept().and_then(|(socket, _)| {
            socket.set_nonblocking(true)?;
            Ok(socket)
        });
        match accepted {
            Ok(socket) => self.streams.push(Stream {
                channel,
                socket,
                lines: Lines::default(),
            }),
            Err(source) => self.fail(Error::Host {
                what: "accept qemu's connection",
                source,
            }),
        }
    }

    /// Reads all that is there; false at the stream's end.
    fn read(&mut self, at: usize) -> bool {
        let mut buffer = [0; 16 << 10];
        loop {
            match self.streams[at].socket.read(&mut buffer) {
                Ok(0) => return false,
                Ok(count) => self.take(at, &buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // a reset is how a killed process' connection ends
                Err(_) => return false,
            }
            if self.queued.load(Ordering::Relaxed) > QUEUE_LIMIT {
                return true;
            }
        }
    }

    fn take(&mut self, at: usize, bytes: &[u8]) {
        let channel = self.streams[at].channel;
        let mut lines = Vec::new();
        self.streams[at]
            .lines
            .feed(bytes, |line| lines.push(line.to_vec()));
        if channel == Channel::Console {
            self.queued.fetch_add(bytes.len(), Ordering::Relaxed);
            self.send(Event::Console(bytes.to_vec()));
        }
        for line in lines {
            self.line(channel, &line);
        }
    }

    /// Tells what came after the last line's end.
    fn last_line(&mut self, at: usize) {
        let channel = self.streams[at].channel;
        let mut rest = Vec::new();
        self.streams[at]
            .lines
            .finish(|line| rest.extend_from_slice(line));
        if !rest.is_empty() && channel != Channel::Qmp {
            self.line(channel, &rest);
        }
    }

    fn line(&mut self, channel: Channel, line: &[u8]) {
        let source = match channel {
            Channel::Qmp => return self.message(line),
            Channel::Console => Source::Console,
            Channel::Report => Source::Report,
        };
        self.send(Event::Line(
            source,
            String::from_utf8_lossy(line).into_owned(),
        ));
    }

    /// Acts on a message of QEMU's: the handshake, replies, events.
    fn send(&self, event: Event) {
        // nobody may listen any more: the handle is being dropped
        let _ = self.events.send(event);
    }
    /// Gives up: tells why, if the machine did not run yet, and kills it.
    fn fail(&mut self, error: Error) {
        match self.started.take() {
            Some(started) => drop(started.send(Err(error))),
            None => drop(self.stop.get_or_insert(Stop::Failed(error.to_string()))),
        }
        self.kill();
    }

    fn kill(&self) {
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
    }

    /// Reaps the child, hands out what it left in the sockets, and tells of its end.
    fn finish(&mut self) {
        let status = self.child.wait();
        self.messages.read();
        // a connection may have been made and never been seen
        for at in (0..self.listeners.len()).rev() {
            if self.listeners[at].1.set_nonblocking(true).is_ok() {
                self.accept_left(at);
            }
        }
        self.queued.store(0, Ordering::Relaxed);
        for at in 0..self.streams.len() {
            while self.read(at) && self.queued.swap(0, Ordering::Relaxed) > QUEUE_LIMIT {}
            self.last_line(at);
        }
        if let Some(control) = &self.control {
            control.close();
        }
        if let Some(started) = self.started.take() {
            let _ = started.send(Err(self.refusal()));
        }
        let stop = self
            .stop
            .take()
            .unwrap_or_else(|| self.unexplained(status.ok()));
        let exit = Exit {
            stop,
            panicked: self.panicked,
            messages: self.messages.line(),
        };
        self.send(Event::Exit(exit));
    }

    fn accept_left(&mut self, at: usize) {
        if let Ok((socket, _)) = self.listeners[at].1.accept() {
            if socket.set_nonblocking(true).is_ok() {
                let channel = self.listeners[at].0;
                self.streams.push(Stream {
                    channel,
                    socket,
                    lines: Lines::default(),
                });
            }
        }
    }

    /// Why QEMU ended before the machine ran.
    fn refusal(&self) -> Error {
        let text = self.messages.text();
        if let Some(forward) = forward::refused(&self.forwards, &text) {
            return forward
                .check_free()
                .err()
                .unwrap_or_else(|| Error::PortInUse {
                    address: forward.address.to_string(),
                    port: forward.host,
                });
        }
        match self.messages.line() {
            messages if messages.is_empty() => Error::Refused("it ended without a word".to_owned()),
            messages => Error::Refused(messages),
        }
    }

    /// The end of a QEMU that told no reason.
    fn unexplained(&self, status: Option<ExitStatus>) -> Stop {
        let how = match status {
            Some(status) if status.signal() == Some(Signal::KILL.as_raw()) => return Stop::Host,
            Some(status) => status.to_string(),
            None => "its end was not seen".to_owned(),
        };
        Stop::Failed(self.messages.after(&how))
    }
}

fn open_pidfd(child: &Child) -> Result<OwnedFd, Error> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let opened = pid
        .ok_or(rustix::io::Errno::SRCH)
        .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()));
    opened.map_err(|error| Error::Host {
        what: "watch qemu",
        source: error.into(),
    })
}

fn readable(fd: BorrowedFd<'_>) -> PollFd<'_> {
    PollFd::from_borrowed_fd(fd, PollFlags::IN)
}
