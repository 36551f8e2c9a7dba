//! The configuration: read from the initramfs, and from nowhere else.

use core::ffi::CStr;
use core::net::{IpAddr, Ipv4Addr};

use ampoule_init::report::{Failure, Ports, Servers};
use ampoule_init::seccomp::{self, Policy};
use ampoule_init::wire::{self, Network, OnExit, Seccomp, Setting, Settings};

use crate::end;
use crate::sys;
use crate::sys::fd::{Fd, Flags};
use crate::sys::memory::Map;
use crate::sys::process::Strings;
use crate::trouble::{Result, Trouble};

/// Variables that a program finds unless the configuration sets them. Programs that nobody
/// here wrote fail without a home; PATH is what container images are made for.
const ENVIRONMENT: [&[u8]; 2] = [
    b"HOME=/tmp",
    b"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
];

/// The settings, with their defaults where the file has none.
pub struct Config {
    file: &'static [u8],
    /// Path of the program.
    pub app: &'static [u8],
    /// Directory that it starts in.
    pub workdir: &'static [u8],
    /// User that it runs as.
    pub uid: u32,
    /// Group that it runs as.
    pub gid: u32,
    /// Name of the machine.
    pub hostname: Option<&'static [u8]>,
    /// How the machine gets its address.
    pub network: Network,
    /// Name servers of the configuration.
    pub nameservers: Servers,
    /// Ports that the program is expected to listen on.
    pub ports: Ports,
    /// What follows the program's end.
    pub on_exit: OnExit,
    /// Milliseconds between SIGTERM and SIGKILL.
    pub grace: u64,
    /// Milliseconds that the program waits for an address; none: for ever.
    pub dhcp_wait: Option<u64>,
    /// Which filter of system calls the program gets.
    pub seccomp: Seccomp,
    /// The filter; none with `off`.
    pub policy: Option<Policy<'static>>,
}

impl Config {
    /// Reads the file.
    pub fn read() -> Result<Config> {
        // the name in the library has no NUL for the kernel
        const PATH: &CStr = c"/ampoule/config";
        const _: () = assert!(PATH.to_bytes().len() == wire::PATH.len());
        let mut config = Config::parse(open(PATH)?).map_err(Trouble::of_config)?;
        end::set_policy(config.on_exit);
        if config.app.is_empty() {
            return Err(Trouble::new(
                Failure::Config,
                "the configuration names no app",
            ));
        }
        config.read_policy()?;
        Ok(config)
    }

    /// Reads the filter. One that is missing or damaged ends the machine: an app never runs
    /// with less than it was sealed with.
    fn read_policy(&mut self) -> Result<()> {
        const PATH: &CStr = c"/ampoule/seccomp";
        const _: () = assert!(PATH.to_bytes().len() == seccomp::PATH.len());
        if self.seccomp != Seccomp::Off {
            self.policy = seccomp::parse(open(PATH)?);
            if self.policy.is_none() {
                return Err(Trouble::new(
                    Failure::Config,
                    "/ampoule/seccomp is cut short",
                ));
            }
        }
        Ok(())
    }

    fn parse(file: &'static [u8]) -> core::result::Result<Config, wire::ParseError> {
        let mut config = Config {
            file,
            app: b"",
            workdir: b"/",
            uid: 65532,
            gid: 65532,
            hostname: None,
            network: Network::Dhcp,
            nameservers: Servers::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            ports: Ports::new(0),
            on_exit: OnExit::PowerOff,
            grace: 10_000,
            dhcp_wait: Some(60_000),
            seccomp: Seccomp::Off,
            policy: None,
        };
        for setting in wire::parse(file)? {
            config.take(setting?);
        }
        Ok(config)
    }

    fn take(&mut self, setting: Setting<'static>) {
        match setting {
            Setting::App(path) => self.app = path,
            Setting::Workdir(path) => self.workdir = path,
            Setting::Uid(uid) => self.uid = uid,
            Setting::Gid(gid) => self.gid = gid,
            Setting::Hostname(name) => self.hostname = Some(name),
            Setting::Network(network) => self.network = network,
            Setting::OnExit(on_exit) => self.on_exit = on_exit,
            Setting::Grace(seconds) => self.grace = u64::from(seconds) * 1000,
            Setting::DhcpWait(seconds) => {
                self.dhcp_wait = (seconds != 0).then_some(u64::from(seconds) * 1000);
            }
            Setting::Seccomp(filter) => self.seccomp = filter,
            // the host allows no more than there is room for
            Setting::Nameserver(address) => _ = self.nameservers.push(address),
            Setting::Port(port) => _ = self.ports.push(port),
            // Arg and Env stay in the file until they are needed
            _ => {}
        }
    }

    /// The program's arguments. Without any it gets its own file name, as a shell would
    /// give it.
    pub fn arguments(&self) -> sys::Result<Strings> {
        collect(&|each| {
            let mut none = true;
            for setting in self.settings() {
                if let Ok(Setting::Arg(argument)) = setting {
                    each(argument);
                    none = false;
                }
            }
            if none {
                each(
                    self.app
                        .rsplit(|byte| *byte == b'/')
                        .next()
                        .unwrap_or(self.app),
                );
            }
        })
    }

    /// The program's environment.
    pub fn environment(&self) -> sys::Result<Strings> {
        collect(&|each| {
            let mut missing = ENVIRONMENT;
            for setting in self.settings() {
                if let Ok(Setting::Env(variable)) = setting {
                    each(variable);
                    for default in &mut missing {
                        if name_of(default) == name_of(variable) {
                            *default = b"";
                        }
                    }
                }
            }
            for default in missing {
                if !default.is_empty() {
                    each(default);
                }
            }
        })
    }

    /// The file was understood once; it is read again for what was left in it.
    fn settings(&self) -> Settings<'static> {
        wire::parse(self.file).unwrap_or_default()
    }
}

/// A file of the configuration, whole.
fn open(path: &'static CStr) -> Result<&'static [u8]> {
    let file = Fd::open(path, Flags::READ).and_then(|file| Map::of_file(&file));
    let file = file.map_err(Trouble::met(Failure::Config, "open", path.to_bytes()))?;
    Ok(file.leak())
}

fn name_of(variable: &[u8]) -> &[u8] {
    variable
        .split(|byte| *byte == b'=')
        .next()
        .unwrap_or_default()
}

/// Calls its argument with one string after the other.
type EachOf<'a> = dyn Fn(&mut dyn FnMut(&[u8])) + 'a;

/// Strings are gone through twice: counted, and then copied.
fn collect(all: &EachOf<'_>) -> sys::Result<Strings> {
    let (mut count, mut bytes) = (0, 0);
    all(&mut |string| {
        count += 1;
        bytes += string.len();
    });
    let mut collected = Strings::with_room(count, bytes)?;
    all(&mut |string| collected.push(string));
    Ok(collected)
}
