//! What to build: `ampoule.toml` and flags become one validated [`Appliance`].
//!
//! [`document`] reads the file, [`value`] the single values that file and flags
//! share, [`files`] looks at the host's files. Here the two sources meet: see
//! [`Settings::or`] for which one wins.

pub mod document;
mod error;
pub mod files;
pub mod seccomp;
pub mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

pub use ampoule_init::wire::{Network, OnExit};

pub use document::load;
pub use error::{Origin, SpecError};
pub use seccomp::Seccomp;
pub use value::User;

/// The user that an app runs as unless told otherwise, in many container images
/// the one named `nonroot`.
pub const DEFAULT_USER: User = User {
    uid: 65532,
    gid: 65532,
};
/// Seconds between SIGTERM and SIGKILL unless told otherwise.
pub const DEFAULT_GRACE: u32 = 10;
/// Seconds that the app waits for an address unless told otherwise.
pub const DEFAULT_DHCP_WAIT: u32 = 60;

/// Everything that decides what an image does, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appliance {
    /// The app's file on this machine.
    pub app: PathBuf,
    /// Where the image goes.
    pub output: PathBuf,
    /// The image's name, a host name's label (RFC 1123).
    pub name: String,
    /// The app's `argv[0]`; its own file name if none is given.
    pub argv0: Option<String>,
    /// The app's arguments after `argv[0]`.
    pub args: Vec<String>,
    /// The app's environment.
    pub env: BTreeMap<String, String>,
    /// Guest path to the host's file or directory.
    pub files: BTreeMap<String, PathBuf>,
    /// TCP ports that the app listens on, each once.
    pub ports: Vec<u16>,
    /// Whom the app runs as.
    pub user: User,
    /// The app's working directory in the guest.
    pub workdir: String,
    /// The machine's name; the image's unless given.
    pub hostname: String,
    /// How the machine gets its address.
    pub network: Network,
    /// Name servers: all of them with a static address, additions with DHCP.
    pub dns: Vec<IpAddr>,
    /// Seconds that the app waits for an address before it starts anyway; 0 is for ever.
    pub dhcp_wait: u32,
    /// Seconds between SIGTERM and SIGKILL.
    pub grace: u32,
    /// What the machine does when the app has ended.
    pub on_exit: OnExit,
    /// MiB of memory for the app, on top of what the image needs by itself.
    pub memory_extra: u32,
    /// Whether an app that is a shell may go in.
    pub allow_shell: bool,
    /// The root that a dynamic app's libraries are taken from.
    pub libs: Option<PathBuf>,
    /// Where the app stands in the guest, when it comes from the root.
    pub app_at: Option<String>,
    /// What comes from a root, once it is read.
    pub root: Option<files::Root>,
    /// Which system calls the app may make.
    pub seccomp: Seccomp,
    /// What a refusal names and is taken as it is.
    pub accept: BTreeSet<String>,
}

impl Appliance {
    /// The app's file name, under which it lies in the guest.
    #[must_use]
    pub fn app_name(&self) -> String {
        file_name(self.app_shown()).unwrap_or_else(|| self.name.clone())
    }

    /// The app's path in the guest.
    #[must_use]
    pub fn app_guest_path(&self) -> String {
        let own = || format!("/app/{}", self.app_name());
        self.app_at.clone().unwrap_or_else(own)
    }

    /// The app by the name that its user knows: its file, or its path in the root.
    #[must_use]
    pub fn app_shown(&self) -> &Path {
        self.app_at.as_deref().map_or(&self.app, Path::new)
    }

    /// `argv[0]`: what was asked for, or the app's own file name, since
    /// multi-call programs look at it.
    #[must_use]
    pub fn argv0(&self) -> String {
        self.argv0.clone().unwrap_or_else(|| self.app_name())
    }
}

/// What one source, a file or the flags, says; each value is checked by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs)] // the same fields as Appliance's
pub struct Settings {
    pub app: Option<PathBuf>,
    pub output: Option<PathBuf>,
    pub name: Option<String>,
    pub argv0: Option<String>,
    pub args: Option<Vec<String>>,
    pub env: BTreeMap<String, String>,
    pub files: BTreeMap<String, PathBuf>,
    pub ports: Option<Vec<u16>>,
    pub user: Option<User>,
    pub workdir: Option<String>,
    pub hostname: Option<String>,
    pub network: Option<Network>,
    pub dns: Option<Vec<IpAddr>>,
    pub dhcp_wait: Option<u32>,
    pub grace: Option<u32>,
    pub on_exit: Option<OnExit>,
    pub memory_extra: Option<u32>,
    pub allow_shell: Option<bool>,
    pub libs: Option<PathBuf>,
    /// The root directory or container image that the guest's files come from.
    pub rootfs: Option<PathBuf>,
    pub app_at: Option<String>,
    pub seccomp: Option<Seccomp>,
    pub accept: BTreeSet<String>,
}

impl Settings {
    /// These settings, and `under` where they say nothing. `env` and `files` are
    /// merged key by key, `accept` is of both; lists (`args`, `ports`, `dns`) are taken whole.
    #[must_use]
    pub fn or(self, under: Settings) -> Settings {
        let (mut env, mut files) = (under.env, under.files);
        env.extend(self.env);
        files.extend(self.files);
        let accept = self.accept.into_iter().chain(under.accept).collect();
        Settings {
            app: self.app.or(under.app),
            output: self.output.or(under.output),
            name: self.name.or(under.name),
            argv0: self.argv0.or(under.argv0),
            args: self.args.or(under.args),
            env,
            files,
            ports: self.ports.or(under.ports),
            user: self.user.or(under.user),
            workdir: self.workdir.or(under.workdir),
            hostname: self.hostname.or(under.hostname),
            network: self.network.or(under.network),
            dns: self.dns.or(under.dns),
            dhcp_wait: self.dhcp_wait.or(under.dhcp_wait),
            grace: self.grace.or(under.grace),
            on_exit: self.on_exit.or(under.on_exit),
            memory_extra: self.memory_extra.or(under.memory_extra),
            allow_shell: self.allow_shell.or(under.allow_shell),
            libs: self.libs.or(under.libs),
            rootfs: self.rootfs.or(under.rootfs),
            app_at: self.app_at.or(under.app_at),
            seccomp: self.seccomp.or(under.seccomp),
            accept,
        }
    }

    /// Fills in the defaults and checks what spans several settings.
    ///
    /// # Errors
    /// [`SpecError`] when there is no app, no name can be made from its file
    /// name, or a file would lie where the app does.
    pub fn resolve(self) -> Result<Appliance, SpecError> {
        let app = self.app.ok_or(SpecError::NoApp)?;
        let named = self.app_at.as_deref().map_or(app.as_path(), Path::new);
        let app_name = file_name(named).ok_or_else(|| SpecError::AppName(app.clone()))?;
        let name = match self.name {
            Some(name) => name,
            None => {
                value::name_from(&app_name).ok_or_else(|| SpecError::NoName(app_name.clone()))?
            }
        };
        let appliance = Appliance {
            output: self
                .output
                .unwrap_or_else(|| PathBuf::from(format!("{name}.img"))),
            argv0: self.argv0,
            args: self.args.unwrap_or_default(),
            env: self.env,
            files: self.files,
            ports: self.ports.unwrap_or_default(),
            user: self.user.unwrap_or(DEFAULT_USER),
            workdir: self.workdir.unwrap_or_else(|| "/".to_owned()),
            hostname: self.hostname.unwrap_or_else(|| name.clone()),
            network: self.network.unwrap_or(Network::Dhcp),
            dns: self.dns.unwrap_or_default(),
            dhcp_wait: self.dhcp_wait.unwrap_or(DEFAULT_DHCP_WAIT),
            grace: self.grace.unwrap_or(DEFAULT_GRACE),
            on_exit: self.on_exit.unwrap_or(OnExit::PowerOff),
            memory_extra: self.memory_extra.unwrap_or(0),
            allow_shell: self.allow_shell.unwrap_or(false),
            libs: self.libs,
            app_at: self.app_at,
            root: None,
            seccomp: self.seccomp.unwrap_or(Seccomp::Default),
            accept: self.accept,
            app,
            name,
        };
        let guest = appliance.app_guest_path();
        if appliance.files.contains_key(&guest) {
            return Err(SpecError::OverApp(guest));
        }
        Ok(appliance)
    }
}

/// The last component of `path` as text; none for `/`, `..` and what is no UTF-8.
fn file_name(path: &Path) -> Option<String> {
    Some(path.file_name()?.to_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(path: &str) -> Settings {
        Settings {
            app: Some(path.into()),
            ..Settings::default()
        }
    }

    #[test]
    fn defaults_come_from_the_apps_name() {
        let appliance = app("/srv/My_Server.bin").resolve().unwrap();
        assert_eq!(appliance.name, "my-server-bin");
        assert_eq!(appliance.hostname, "my-server-bin");
        assert_eq!(appliance.output, Path::new("my-server-bin.img"));
        assert_eq!(appliance.app_guest_path(), "/app/My_Server.bin");
        assert_eq!(appliance.argv0(), "My_Server.bin");
        assert_eq!(appliance.user, DEFAULT_USER);
        assert_eq!(appliance.network, Network::Dhcp);
    }

    #[test]
    fn an_app_without_a_usable_name_needs_one() {
        assert!(matches!(
            app("/srv/---").resolve(),
            Err(SpecError::NoName(name)) if name == "---"
        ));
        assert!(matches!(app("..").resolve(), Err(SpecError::AppName(_))));
        assert!(matches!(
            Settings::default().resolve(),
            Err(SpecError::NoApp)
        ));
    }

    #[test]
    fn flags_go_over_the_file_by_key_or_whole() {
        let file = Settings {
            env: [("A", "1"), ("B", "1")]
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .into(),
            ports: Some(vec![80, 443]),
            args: Some(vec!["x".into()]),
            grace: Some(3),
            accept: ["/bin/sh".to_owned()].into(),
            ..app("/a")
        };
        let flags = Settings {
            env: [("B".to_owned(), "2".to_owned())].into(),
            ports: Some(vec![8080]),
            accept: ["git".to_owned()].into(),
            ..Settings::default()
        };
        let merged = flags.or(file);
        assert_eq!(merged.env["A"], "1");
        assert_eq!(merged.env["B"], "2");
        assert_eq!(merged.ports, Some(vec![8080]));
        assert_eq!(merged.args, Some(vec!["x".into()]));
        assert_eq!(merged.grace, Some(3));
        assert_eq!(merged.accept.len(), 2);
    }

    #[test]
    fn no_file_lies_over_the_app() {
        let mut settings = app("/srv/server");
        settings.files.insert("/app/server".into(), "x".into());
        assert!(matches!(settings.resolve(), Err(SpecError::OverApp(_))));
    }
}
