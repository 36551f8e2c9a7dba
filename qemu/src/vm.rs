//! The handle on a machine.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Signal, pidfd_send_signal};
use serde_json::{Value, json};

use crate::accel::{self, Acceleration};
use crate::argv::{Host, argv};
use crate::engine::{self, Channel, FIRST_FREE_ID, Launch, Queue, Started};
use crate::event::{Event, Exit, Source, Stop};
use crate::machine::{Boot, Console, Machine};
use crate::relay::{self, Relay};
use crate::{Error, Forward, firmware, qmp, screen, tools};

/// How long QEMU may take from exec to its first answer. Reading a kernel of some MiB from a
/// cold disk is the longest part.
const START: Duration = Duration::from_secs(60);

/// How long QEMU may take to answer a question.
const ANSWER: Duration = Duration::from_secs(10);

/// How much of the console's end is kept, in bytes.
const CONSOLE_KEPT: usize = 1 << 20;

/// A running machine. Dropping it kills the machine and waits for its end.
#[derive(Debug)]
pub struct Vm {
    control: Control,
    queue: QueueHandle,
    console: Vec<u8>,
    forwards: Vec<Forward>,
    relays: Vec<Relay>,
    acceleration: Acceleration,
    exit: Option<Exit>,
    engine: Option<JoinHandle<()>>,
    directory: tempfile::TempDir,
}

struct QueueHandle(Queue);

impl std::fmt::Debug for QueueHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Queue")
    }
}

impl Vm {
    /// Starts a machine. It runs when this returns.
    ///
    /// # Errors
    /// QEMU or its firmware missing, a port in use, a file that cannot be read, a machine that
    /// QEMU does not make, and whatever else QEMU refuses, in its own words.
    pub fn start(machine: &Machine) -> Result<Vm, Error> {
        let qemu = tools::find_qemu(machine.arch)?;
        for path in inputs(machine) {
            fs::File::open(path).map_err(|source| Error::Unreadable {
                path: path.to_owned(),
                source,
            })?;
        }
        let mut machine = machine.clone();
        let fronts = relay::listen(&mut machine.forwards)?;
        let machine = &machine;
        for forward in &machine.forwards {
            forward.check_free()?;
        }
        let acceleration = accel::choose(machine, &qemu)?;
        let directory = tools::socket_directory()?;
        let host = host(machine, directory.path(), &acceleration)?;
        let mut command = tools::bound_to_us(&qemu);
        command.args(argv(machine, acceleration.accel, &host)?);

        let mut listeners = vec![(Channel::Qmp, listen(&host.qmp)?)];
        if machine.console == Console::Serial {
            listeners.push((Channel::Console, listen(&host.console)?));
        }
        if machine.report {
            listeners.push((Channel::Report, listen(&host.report)?));
        }
        let forwards = machine.forwards.clone();
        let launch = Launch {
            command,
            listeners,
            forwards,
            deadline: Instant::now() + START,
        };
        let mut vm = launch_engine(launch, acceleration, directory)?;
        vm.relays = relay::open(fronts, &mut vm.forwards)?;
        Ok(vm)
    }

    /// The forwards, with the ports that QEMU chose.
    pub fn forwards(&self) -> &[Forward] {
        &self.forwards
    }

    /// How the guest's instructions are run, and why so.
    pub fn acceleration(&self) -> &Acceleration {
        &self.acceleration
    }

    /// A handle for other threads, as a signal handler's.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// What the console said so far, as far as events have been taken; its last MiB.
    pub fn console(&self) -> String {
        String::from_utf8_lossy(&self.console).into_owned()
    }

    /// The number of QEMU's process.
    pub fn pid(&self) -> u32 {
        self.control.pid()
    }

    /// How the machine ended, if its end has been seen.
    pub fn exit(&self) -> Option<&Exit> {
        self.exit.as_ref()
    }

    /// The next event, or none by the deadline or after the last one.
    pub fn next_event(&mut self, deadline: Instant) -> Option<Event> {
        if self.exit.is_some() {
            return None;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let event = match self.queue.0.events.recv_timeout(left) {
            Ok(event) => event,
            Err(RecvTimeoutError::Timeout) => return None,
            // the engine never ends without telling, unless it panicked
            Err(RecvTimeoutError::Disconnected) => Event::Exit(Exit {
                stop: Stop::Failed("its watcher is gone".to_owned()),
                panicked: false,
                messages: String::new(),
            }),
        };
        match &event {
            Event::Console(bytes) => self.keep(bytes),
            Event::Exit(exit) => self.exit = Some(exit.clone()),
            Event::Line(..) | Event::Panicked => {}
        }
        Some(event)
    }

    fn keep(&mut self, bytes: &[u8]) {
        // after the end the engine has set it to 0 itself
        let _ = self
            .queue
            .0
            .bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |queued| {
                Some(queued.saturating_sub(bytes.len()))
            });
        self.console.extend_from_slice(bytes);
        // cut rarely, not at every chunk
        if self.console.len() > 2 * CONSOLE_KEPT {
            self.console.drain(..self.console.len() - CONSOLE_KEPT);
        }
    }

    /// Takes events until `pick` chooses one; `what` names it in errors ("line", "verdict").
    ///
    /// # Errors
    /// [`Error::TimedOut`] after `timeout`, [`Error::Ended`] when the machine ends before.
    pub fn wait_for<T>(
        &mut self,
        what: &str,
        timeout: Duration,
        mut pick: impl FnMut(&Event) -> Option<T>,
    ) -> Result<T, Error> {
        let deadline = Instant::now() + timeout;
        loop {
            match self.next_event(deadline) {
                Some(event) => {
                    if let Some(picked) = pick(&event) {
                        return Ok(picked);
                    }
                }
                None if self.exit.is_some() => {
                    return Err(Error::Ended {
                        console: self.console(),
                    });
                }
                None => {
                    let console = self.console();
                    return Err(Error::TimedOut {
                        what: what.to_owned(),
                        after: timeout,
                        console,
                    });
                }
            }
        }
    }

    /// Waits for a line, of the console or of the report port, that `wanted` accepts.
    ///
    /// # Errors
    /// As [`Vm::wait_for`].
    pub fn wait_line(
        &mut self,
        mut wanted: impl FnMut(&str) -> bool,
        timeout: Duration,
    ) -> Result<String, Error> {
        self.wait_for("such line", timeout, |event| match event {
            Event::Line(_, text) if wanted(text) => Some(text.clone()),
            _ => None,
        })
    }

    /// Waits for a line of the report port that `wanted` accepts.
    ///
    /// # Errors
    /// As [`Vm::wait_for`].
    pub fn wait_report(
        &mut self,
        mut wanted: impl FnMut(&str) -> bool,
        timeout: Duration,
    ) -> Result<String, Error> {
        self.wait_for("such report", timeout, |event| match event {
            Event::Line(Source::Report, text) if wanted(text) => Some(text.clone()),
            _ => None,
        })
    }

    /// Waits for the machine's end.
    ///
    /// # Errors
    /// [`Error::TimedOut`] after `timeout`.
    pub fn wait_exit(&mut self, timeout: Duration) -> Result<Exit, Error> {
        match self.exit.clone() {
            Some(exit) => Ok(exit),
            None => self.wait_for("end of the machine", timeout, |event| match event {
                Event::Exit(exit) => Some(exit.clone()),
                _ => None,
            }),
        }
    }

    /// Presses the power button.
    ///
    /// # Errors
    /// [`Error::Ended`] when the machine is at its end.
    pub fn powerdown(&self) -> Result<(), Error> {
        self.control.powerdown()
    }

    /// Kills the machine. Its end is still to be waited for.
    pub fn kill(&self) {
        self.control.kill();
    }

    /// What stands on a screen in VGA text mode: 25 rows of 80 characters, blanks at the ends of
    /// rows and empty rows at the end left out. Nonsense when the screen is in graphics mode.
    ///
    /// # Errors
    /// As [`Control::execute`], and when the host's file cannot be read.
    pub fn screen_text(&self) -> Result<String, Error> {
        let path = self.directory.path().join("screen");
        let arguments = json!({ "val": screen::ADDRESS, "size": screen::LENGTH, "filename": path });
        self.control.execute("pmemsave", arguments)?;
        let memory = fs::read(&path).map_err(|source| Error::Unreadable { path, source })?;
        Ok(screen::decode(&memory))
    }

    /// Writes what the screen shows into `path`, as a portable pixmap.
    ///
    /// # Errors
    /// As [`Control::execute`].
    pub fn screendump(&self, path: &Path) -> Result<(), Error> {
        self.control
            .execute("screendump", json!({ "filename": path }))
            .map(drop)
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        self.control.kill();
        if let Some(engine) = self.engine.take() {
            let _ = engine.join();
        }
    }
}

fn launch_engine(
    launch: Launch,
    acceleration: Acceleration,
    directory: tempfile::TempDir,
) -> Result<Vm, Error> {
    let (started_in, started) = mpsc::channel();
    let (events_in, events) = mpsc::channel();
    let bytes = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&bytes);
    let engine = thread::Builder::new()
        .name("qemu".to_owned())
        .spawn(move || engine::run(launch, started_in, events_in, counter))
        .map_err(Error::host("start a thread"))?;
    // the engine keeps the deadline itself, and always tells
    let told = started
        .recv()
        .unwrap_or_else(|_| Err(Error::Qmp("its watcher is gone".to_owned())));
    match told {
        Ok(Started { control, forwards }) => Ok(Vm {
            control,
            queue: QueueHandle(Queue { events, bytes }),
            console: Vec::new(),
            forwards,
            relays: Vec::new(),
            acceleration,
            exit: None,
            engine: Some(engine),
            directory,
        }),
        Err(error) => {
            let _ = engine.join();
            Err(error)
        }
    }
}

/// The files that QEMU will read.
fn inputs(machine: &Machine) -> Vec<&Path> {
    let mut paths: Vec<&Path> = machine
        .disks
        .iter()
        .map(|disk| disk.path.as_path())
        .collect();
    if let Boot::Direct(direct) = &machine.boot {
        paths.push(&direct.kernel);
        paths.extend(direct.initrd.as_deref());
    }
    paths
}

fn host(machine: &Machine, directory: &Path, acceleration: &Acceleration) -> Result<Host, Error> {
    let firmware = match machine.boot {
        Boot::Uefi => Some(firmware_for(machine, directory)?),
        Boot::Bios | Boot::Direct(_) => None,
    };
    Ok(Host {
        qmp: directory.join("qmp"),
        console: directory.join("console"),
        report: directory.join("report"),
        firmware,
        tsc_khz: acceleration.tsc_khz,
    })
}

/// The firmware, its variables copied so that nothing outside of `directory` is written to.
fn firmware_for(machine: &Machine, directory: &Path) -> Result<(PathBuf, Option<PathBuf>), Error> {
    let firmware::Firmware { code, vars } = firmware::find(machine.arch)?;
    let copy = vars.map(|vars| {
        let copy = directory.join("vars.fd");
        // read and written, not copied: the copy must not be read-only
        let bytes = fs::read(&vars).map_err(|source| Error::Unreadable { path: vars, source })?;
        fs::write(&copy, bytes).map_err(Error::host("copy the firmware's variables"))?;
        Ok(copy)
    });
    Ok((code, copy.transpose()?))
}

fn listen(path: &Path) -> Result<UnixListener, Error> {
    UnixListener::bind(path).map_err(Error::host("listen for qemu"))
}

/// A handle on a machine that other threads can use. It does not keep the machine alive.
#[derive(Debug, Clone)]
pub struct Control(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pid: u32,
    pidfd: Arc<OwnedFd>,
    socket: Mutex<UnixStream>,
    next: AtomicU64,
    /// Who waits for which reply; none once the machine has ended.
    waiting: Mutex<Option<HashMap<u64, mpsc::Sender<Reply>>>>,
}

/// A command's result, or QEMU's words on why there is none.
type Reply = Result<Value, String>;

impl Control {
    pub(crate) fn new(pid: u32, pidfd: Arc<OwnedFd>, socket: UnixStream) -> Control {
        Control(Arc::new(Inner {
            pid,
            pidfd,
            socket: Mutex::new(socket),
            next: AtomicU64::new(FIRST_FREE_ID),
            waiting: Mutex::new(Some(HashMap::new())),
        }))
    }

    pub(crate) fn deliver(&self, id: u64, result: Reply) {
        let waiter = lock(&self.0.waiting)
            .as_mut()
            .and_then(|waiting| waiting.remove(&id));
        if let Some(waiter) = waiter {
            let _ = waiter.send(result);
        }
    }

    /// Nobody will answer any more: wakes all who wait.
    pub(crate) fn close(&self) {
        lock(&self.0.waiting).take();
    }

    /// Runs a command of QEMU's machine protocol and gives its result.
    ///
    /// # Errors
    /// [`Error::Qmp`] with QEMU's words, or when it does not answer; [`Error::Ended`].
    pub fn execute(&self, command: &str, arguments: Value) -> Result<Value, Error> {
        let ended = || Error::Ended {
            console: String::new(),
        };
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = mpsc::channel();
        match lock(&self.0.waiting).as_mut() {
            Some(waiting) => drop(waiting.insert(id, sender)),
            None => return Err(ended()),
        }
        let line = qmp::command(command, arguments, id);
        let written = lock(&self.0.socket).write_all(&line);
        written.map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => Error::Qmp("it takes no commands".to_owned()),
            _ => ended(),
        })?;
        match receiver.recv_timeout(ANSWER) {
            Ok(result) => result.map_err(Error::Qmp),
            Err(RecvTimeoutError::Disconnected) => Err(ended()),
            Err(RecvTimeoutError::Timeout) => {
                self.deliver(id, Err(String::new()));
                Err(Error::Qmp(format!("no answer to {command}")))
            }
        }
    }

    /// Presses the power button.
    ///
    /// # Errors
    /// As [`Control::execute`].
    pub fn powerdown(&self) -> Result<(), Error> {
        self.execute("system_powerdown", Value::Null).map(drop)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.pid
    }

    /// Kills QEMU, if it still is there.
    pub fn kill(&self) {
        let _ = pidfd_send_signal(&self.0.pidfd, Signal::KILL);
    }
}

/// What these locks guard is whole at any time, so a panic of another holder does not matter.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
