//! Starts the program: pipes, a new process, its confinement, execution.

use core::ffi::CStr;

use ampoule_init::report::Failure;

use crate::config::Config;
use crate::relay::Relay;
use crate::sys::fd::{self, Fd};
use crate::sys::process::{self, Resource, Side, Strings};
use crate::sys::{Errno, Result, fs, signal};
use crate::trouble::{Shown, Trouble};

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

/// What the child does, in order; a failure is told by its place in this table.
const STEPS: [(&str, fn(&Child) -> Result<()>); 9] = [
    ("take the standard descriptors", |child| {
        child.take_descriptors()
    }),
    ("start a session", |_| process::new_session()),
    ("set the limits", |_| set_limits()),
    ("give up the bounding capabilities", |_| {
        process::drop_bounding_capabilities()
    }),
    ("become the user", |child| {
        process::become_user(child.uid, child.gid)
    }),
    ("give up the capabilities", |_| process::drop_capabilities()),
    ("refuse new privileges", |_| process::no_new_privileges()),
    ("enter the working directory", |child| {
        fs::change_directory(child.workdir)
    }),
    ("release the signals", |_| signal::release_all()),
];

/// What the child needs: everything is prepared before the fork.
struct Child<'a> {
    path: &'a CStr,
    workdir: &'a CStr,
    uid: u32,
    gid: u32,
    arguments: Strings,
    environment: Strings,
    descriptors: [Fd; 3],
}

impl Program {
    /// Starts it; it has been executed when this returns.
    pub fn start(config: &Config) -> core::result::Result<Program, Trouble> {
        let (mut path, mut workdir) = ([0; PATH_MAX], [0; PATH_MAX]);
        let path = terminated(config.app, &mut path)?;
        let workdir = terminated(config.workdir, &mut workdir)?;
        let prepared = |error: Errno| {
            Trouble::new(
                Failure::Prepare,
                format_args!("prepare to start the app: {error}"),
            )
        };
        let (input, silence) = fd::pipe().map_err(prepared)?;
        let (output, out) = fd::pipe().map_err(prepared)?;
        let (errors, err) = fd::pipe().map_err(prepared)?;
        for end in [&input, &out, &err] {
            // so that the program can open /dev/stdout and the like by name
            end.set_owner(config.uid, config.gid).map_err(prepared)?;
        }
        for end in [&output, &errors] {
            end.set_non_blocking(true).map_err(prepared)?;
        }
        let child = Child {
            path,
            workdir,
            uid: config.uid,
            gid: config.gid,
            arguments: config.arguments().map_err(prepared)?,
            environment: config.environment().map_err(prepared)?,
            descriptors: [input, out, err],
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
    fn start(self) -> core::result::Result<u32, Trouble> {
        let forked = |error: Errno| {
            Trouble::new(Failure::Prepare, format_args!("fork for the app: {error}"))
        };
        let (told, tell) = fd::pipe().map_err(forked)?;
        match process::fork().map_err(forked)? {
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
        let path = Shown(self.path.to_bytes());
        match STEPS.get(usize::from(place)) {
            Some((step, _)) => Trouble::new(Failure::Exec, format_args!("{step}: {error}")),
            None => Trouble::new(Failure::Exec, format_args!("execve {path}: {error}")),
        }
    }

    fn take_descriptors(&self) -> Result<()> {
        (0..)
            .zip(&self.descriptors)
            .try_for_each(|(number, end)| end.install_as(number))
    }
}

fn set_limits() -> Result<()> {
    process::set_limit(Resource::Core, 0, 0)?;
    process::set_limit(Resource::Files, FILES.0, FILES.1)
}

/// A path of the configuration as system calls take it.
fn terminated<'b>(
    path: &[u8],
    room: &'b mut [u8; PATH_MAX],
) -> core::result::Result<&'b CStr, Trouble> {
    if path.len() < PATH_MAX {
        room[..path.len()].copy_from_slice(path);
        if let Ok(path) = CStr::from_bytes_until_nul(room) {
            return Ok(path);
        }
    }
    Err(Trouble::new(
        Failure::Config,
        format_args!("a path of the configuration is too long"),
    ))
}
