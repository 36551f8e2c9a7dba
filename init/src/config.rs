//! The configuration: read from the initramfs, and from nowhere else.

use core::net::{IpAddr, Ipv4Addr};

use ampoule_init::report::{Failure, Ports, Servers};
use ampoule_init::wire::{self, Network, OnExit, Setting};

use crate::end;
use crate::sys::fd::{Fd, Flags};
use crate::sys::memory::Map;
use crate::sys::process::Strings;
use crate::trouble::Trouble;

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
}

impl Config {
    /// Reads the file.
    pub fn read() -> Result<Config, Trouble> {
        let trouble = |what: core::fmt::Arguments<'_>| Trouble::new(Failure::Config, what);
        // opened by the name that the host writes it under
        const PATH: &core::ffi::CStr = c"/ampoule/config";
        const _: () = assert!(PATH.to_bytes().len() == wire::PATH.len());
        let file = Fd::open(PATH, Flags::READ)
            .and_then(|file| Map::of_file(&file))
            .map_err(|error| trouble(format_args!("{}: {error}", wire::PATH)))?;
        let config =
            Config::parse(file.leak()).map_err(|error| trouble(format_args!("{error}")))?;
        if config.app.is_empty() {
            return Err(trouble(format_args!("the configuration names no app")));
        }
        end::set_policy(config.on_exit);
        Ok(config)
    }

    fn parse(file: &'static [u8]) -> Result<Config, wire::ParseError> {
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
            // the host allows no more than there is room for
            Setting::Nameserver(address) => _ = self.nameservers.push(address),
            Setting::Port(port) => _ = self.ports.push(port),
            // Arg and Env stay in the file until they are needed
            _ => {}
        }
    }

    fn settings(&self) -> impl Iterator<Item = Setting<'static>> {
        wire::parse(self.file).into_iter().flatten().flatten()
    }

    /// The program's arguments. Without any it gets its own file name, as a shell would
    /// give it.
    pub fn arguments(&self) -> crate::sys::Result<Strings> {
        let arguments = || {
            self.settings().filter_map(|setting| match setting {
                Setting::Arg(argument) => Some(argument),
                _ => None,
            })
        };
        let own = self
            .app
            .rsplit(|byte| *byte == b'/')
            .next()
            .unwrap_or(self.app);
        let own = arguments().next().is_none().then_some(own);
        collect(|| arguments().chain(own))
    }

    /// The program's environment.
    pub fn environment(&self) -> crate::sys::Result<Strings> {
        let variables = || {
            self.settings().filter_map(|setting| match setting {
                Setting::Env(variable) => Some(variable),
                _ => None,
            })
        };
        let defaults = || {
            ENVIRONMENT.into_iter().filter(|default| {
                !variables().any(|variable| name_of(variable) == name_of(default))
            })
        };
        collect(|| variables().chain(defaults()))
    }
}

fn name_of(variable: &[u8]) -> &[u8] {
    variable
        .split(|byte| *byte == b'=')
        .next()
        .unwrap_or_default()
}

fn collect<'a, I: Iterator<Item = &'a [u8]>>(
    strings: impl Fn() -> I,
) -> crate::sys::Result<Strings> {
    let (count, bytes) =
        strings().fold((0, 0), |(count, bytes), one| (count + 1, bytes + one.len()));
    let mut collected = Strings::with_room(count, bytes)?;
    strings().for_each(|string| collected.push(string));
    Ok(collected)
}
