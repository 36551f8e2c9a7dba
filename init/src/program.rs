//! Starts the program: pipes, a new process, its confinement, execution.
//!
//! The filter of system calls comes last. From then on the new process makes two calls: it
//! writes down the number of the filter's listener, which every filter allows, and executes
//! the program, which every filter hands over. So PID 1 is told, takes the listener, and
//! lets the program begin; there is no moment at which nobody listens.

use core::ffi::CStr;

use ampoule_init::report::Failure;

use crate::config::Config;
use crate::relay::Relay;
use crate::sys::fd::{self, Fd};
use crate::sys::process::{self, Resource, Side, Strings};
use crate::sys::seccomp::{self, Answer, Listener};
use crate::sys::{self, Errno, fs, signal};
use crate::trouble::{Result, Trouble};

/// Descriptors that a program may have open: at first, and when it asks for more. Servers
/// that ask get what Linux gives a service (fs.nr_open); others walk through all numbers
/// below the first, so that stays moderate.
const FILES: (u64, u64) = (65_536, 1_048_576);

/// The longest path that execve(2) takes, with its NUL: include/uapi/linux/limits.h.
const PATH_MAX: usize = 4096;

/// The running program.
pub struct Program {
    /// Its process number, which is also its process group's and session's.
    pub pid: u32,
    /// Its output.
    pub relay: Relay,
    /// Hears of the calls that its filter hands over.
    pub listener: Option<Listener>,
    /// The writing end of its standard input: never written to, and never closed.
    _silence: Fd,
}

/// A step of the child's: what it is called when it fails, and what it does.
type Step = (&'static str, fn(&Child) -> sys::Result<()>);

/// What the child does, in order; a failure is told by its place in this table.
const STEPS: [Step; 11] = [
    ("give the standard descriptors to", |child| {
        child.take_descriptors()
    }),
    ("start a session for", |_| process::new_session()),
    ("set the limits of", |_| set_limits()),
    ("drop the bounding capabilities of", |_| {
        process::drop_bounding_capabilities()
    }),
    ("change the user of", |child| {
        process::become_user(child.uid, child.gid)
    }),
    ("drop the capabilities of", |_| process::drop_capabilities()),
    ("refuse new privileges to", |_| process::no_new_privileges()),
    ("enter the working directory of", |child| {
        fs::change_directory(child.workdir)
    }),
    ("release the signals of", |_| signal::release_all()),
    ("clear the file mode mask of", |_| process::set_umask(0o022)),
    ("filter the system calls of", |child| child.filter_calls()),
];

/// In the place of a step: the child tells the number of its listener.
const LISTENS: u8 = u8::MAX - 1;

/// What the child needs: everything is prepared before the fork.
struct Child<'a> {
    /// The path, for messages.
    app: &'static [u8],
    path: &'a CStr,
    workdir: &'a CStr,
    uid: u32,
    gid: u32,
    arguments: Strings,
    environment: Strings,
    descriptors: [Fd; 3],
    filter: &'static [u8],
    /// What the child tells PID 1 through: a place and a number.
    tell: Fd,
}

/// The ends of the three pipes, each in the order input, output, errors.
struct Pipes {
    program: [Fd; 3],
    own: [Fd; 3],
}

impl Pipes {
    fn make(config: &Config) -> sys::Result<Pipes> {
        let ((input, silence), (output, out), (errors, err)) =
            (fd::pipe()?, fd::pipe()?, fd::pipe()?);
        let pipes = Pipes {
            program: [input, out, err],
            own: [silence, output, errors],
        };
        for end in &pipes.program {
            // so that the program can open /dev/stdout and the like by name
            end.set_owner(config.uid, config.gid)?;
        }
        for end in &pipes.own {
            end.set_non_blocking()?;
        }
        Ok(pipes)
    }
}

impl Program {
    /// Starts it; it has been executed when this returns.
    pub fn start(config: &Config) -> Result<Program> {
        let prepared = || Trouble::met(Failure::Prepare, "make ready to start", config.app);
        let (mut path, mut workdir) = ([0; PATH_MAX], [0; PATH_MAX]);
        let (told, tell) = fd::pipe().map_err(prepared())?;
        let Pipes {
            program,
            own: [silence, output, errors],
        } = Pipes::make(config).map_err(prepared())?;
        let child = Child {
            app: config.app,
            path: terminated(config.app, &mut path)?,
            workdir: terminated(config.workdir, &mut workdir)?,
            uid: config.uid,
            gid: config.gid,
            arguments: config.arguments().map_err(prepared())?,
            environment: config.environment().map_err(prepared())?,
            descriptors: program,
            filter: config.policy.map_or(b"", |policy| policy.filter),
            tell,
        };
        let (pid, listener) = child.start(&told)?;
        Ok(Program {
            pid,
            listener,
            relay: Relay::new(output, errors),
            _silence: silence,
        })
    }
}

impl Child<'_> {
    /// Forks and waits until the program is executed or that has failed.
    fn start(self, told: &Fd) -> Result<(u32, Option<Listener>)> {
        let app = self.app;
        let forked = Trouble::met(Failure::Prepare, "fork for", app);
        let pid = match process::fork().map_err(forked)? {
            Side::Child => self.run(),
            Side::Parent(pid) => pid,
        };
        // the child's own is the last writing end now
        drop(self);
        let mut listener = None;
        loop {
            let mut word = [0; 5];
            // execution closes the pipe; a failure writes to it first
            match told.read(&mut word) {
                Ok(0) => return Ok((pid, listener)),
                Ok(_) if word[0] == LISTENS => {
                    let taken = Listener::take(pid, number(word));
                    let taken = taken.map_err(Trouble::met(
                        Failure::Prepare,
                        "listen to the filter of",
                        app,
                    ))?;
                    // the execution; a child that was killed meanwhile has closed the pipe
                    if let Ok(notice) = taken.receive() {
                        taken.answer(&notice, Answer::GoOn);
                    }
                    listener = Some(taken);
                }
                _ => return Err(trouble(word, app)),
            }
        }
    }

    fn run(&self) -> ! {
        let failure = STEPS
            .iter()
            .zip(0_u8..)
            .find_map(|((_, step), place)| step(self).err().map(|error| (place, error)));
        let (place, error) = failure.unwrap_or_else(|| {
            let error = process::execute(self.path, &self.arguments, &self.environment);
            (u8::MAX, error)
        });
        // PID 1 waits for this or the end of the pipe
        let _ = self.tell(place, error.0);
        process::exit(127)
    }

    fn tell(&self, place: u8, number: i32) -> sys::Result<()> {
        let [a, b, c, d] = number.to_le_bytes();
        self.tell.write(&[place, a, b, c, d]).map(drop)
    }

    fn filter_calls(&self) -> sys::Result<()> {
        if self.filter.is_empty() {
            return Ok(());
        }
        self.tell(LISTENS, seccomp::install(self.filter)?)
    }

    fn take_descriptors(&self) -> sys::Result<()> {
        (0..)
            .zip(&self.descriptors)
            .try_for_each(|(number, end)| end.install_as(number))
    }
}

fn number([_, a, b, c, d]: [u8; 5]) -> i32 {
    i32::from_le_bytes([a, b, c, d])
}

fn trouble(word: [u8; 5], app: &'static [u8]) -> Trouble {
    let step = STEPS.get(usize::from(word[0]));
    let what = step.map_or("execute", |(what, _)| what);
    Trouble::met(Failure::Exec, what, app)(Errno(number(word)))
}

fn set_limits() -> sys::Result<()> {
    process::set_limit(Resource::Core, 0, 0)?;
    process::set_limit(Resource::Files, FILES.0, FILES.1)
}

/// A path of the configuration as system calls take it.
fn terminated<'b>(path: &'static [u8], room: &'b mut [u8; PATH_MAX]) -> Result<&'b CStr> {
    if path.len() < PATH_MAX {
        room[..path.len()].copy_from_slice(path);
        if let Ok(path) = CStr::from_bytes_until_nul(room) {
            return Ok(path);
        }
    }
    Err(Trouble::met(Failure::Config, "use the path", path)(
        Errno::ENAMETOOLONG,
    ))
}
