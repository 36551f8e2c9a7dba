//! Starts the program: pipes, a new process, its confinement, execution.

use core::ffi::CStr;

use ampoule_init::report::Failure;

use crate::config::Config;
use crate::relay::Relay;
use crate::sys::fd::{self, Fd};
use crate::sys::process::{self, Resource, Side, Strings};
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
    /// The writing end of its standard input: never written to, and never closed.
    _silence: Fd,
}

/// A step of the child's: what it is called when it fails, and what it does.
type Step = (&'static str, fn(&Child) -> sys::Result<()>);

/// What the child does, in order; a failure is told by its place in this table.
const STEPS: [Step; 10] = [
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
];

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
        };
        let pid = child.start()?;
        Ok(Program {
            pid,
            relay: Relay::new(output, errors),
            _silence: silence,
        })
    }
}

impl Child<'_> {
    /// Forks and waits until the program is executed or that has failed.
    fn start(self) -> Result<u32> {
        let forked = || Trouble::met(Failure::Prepare, "fork for", self.app);
        let (told, tell) = fd::pipe().map_err(forked())?;
        match process::fork().map_err(forked())? {
            Side::Child => self.run(&tell),
            Side::Parent(pid) => {
                drop(tell);
                // execution closes the pipe; a failure writes to it first
                let mut failure = [0; 5];
                match told.read(&mut failure) {
                    Ok(0) => Ok(pid),
                    _ => Err(self.trouble(failure)),
                }
            }
        }
    }

    fn run(&self, tell: &Fd) -> ! {
        let failure = STEPS
            .iter()
            .zip(0_u8..)
            .find_map(|((_, step), place)| step(self).err().map(|error| (place, error)));
        let (place, error) = failure.unwrap_or_else(|| {
            let error = process::execute(self.path, &self.arguments, &self.environment);
            (u8::MAX, error)
        });
        let [a, b, c, d] = error.0.to_le_bytes();
        // PID 1 waits for these five bytes or the end of the pipe
        let _ = tell.write(&[place, a, b, c, d]);
        process::exit(127)
    }

    fn trouble(&self, [place, a, b, c, d]: [u8; 5]) -> Trouble {
        let error = Errno(i32::from_le_bytes([a, b, c, d]));
        let what = STEPS
            .get(usize::from(place))
            .map_or("execute", |(step, _)| step);
        Trouble::met(Failure::Exec, what, self.app)(error)
    }

    fn take_descriptors(&self) -> sys::Result<()> {
        (0..)
            .zip(&self.descriptors)
            .try_for_each(|(number, end)| end.install_as(number))
    }
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
