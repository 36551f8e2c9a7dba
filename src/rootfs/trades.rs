//! Programs that a sealed machine has no use for, by their names: nobody logs in, and
//! nothing is installed. Shells are told elsewhere, by what is in them.

/// A trade, and the names of its programs.
type Trade = (&'static str, &'static [&'static str]);

const SSH: &str = "SSH: nobody comes into a sealed machine, or goes on from it";
const LOGIN: &str = "logins, accounts, changes of user: a sealed machine has none";
const PACKAGES: &str = "a package manager: a change is a new image";

const PROGRAMS: &[Trade] = &[
    (
        SSH,
        &[
            "autossh",
            "dbclient",
            "dropbear",
            "dropbearconvert",
            "dropbearkey",
            "dropbearmulti",
            "mosh",
            "mosh-server",
            "scp",
            "sftp",
            "sftp-server",
            "slogin",
            "ssh",
            "ssh-add",
            "ssh-agent",
            "ssh-argv0",
            "ssh-copy-id",
            "ssh-keygen",
            "ssh-keyscan",
            "ssh-keysign",
            "ssh-pkcs11-helper",
            "ssh-sk-helper",
            "sshd",
            "sshd-auth",
            "sshd-session",
            "sshpass",
            "tinysshd",
        ],
    ),
    (
        LOGIN,
        &[
            "agetty",
            "chage",
            "chfn",
            "chgpasswd",
            "chpasswd",
            "chsh",
            "doas",
            "expiry",
            "faillog",
            "getty",
            "gpasswd",
            "groupadd",
            "groupdel",
            "groupmems",
            "groupmod",
            "grpck",
            "grpconv",
            "grpunconv",
            "in.telnetd",
            "login",
            "mingetty",
            "newgrp",
            "newusers",
            "passwd",
            "pkexec",
            "pwck",
            "pwconv",
            "pwunconv",
            "rlogin",
            "rlogind",
            "rsh",
            "rshd",
            "runuser",
            "sg",
            "su",
            "sudo",
            "sudoedit",
            "sulogin",
            "telnetd",
            "useradd",
            "userdel",
            "usermod",
            "utelnetd",
            "vigr",
            "vipw",
        ],
    ),
    (
        PACKAGES,
        &[
            "apk",
            "apt",
            "apt-cache",
            "apt-cdrom",
            "apt-config",
            "apt-get",
            "apt-key",
            "apt-mark",
            "aptitude",
            "brew",
            "conda",
            "corepack",
            "debconf",
            "dnf",
            "dpkg",
            "dpkg-deb",
            "dpkg-divert",
            "dpkg-preconfigure",
            "dpkg-query",
            "dpkg-reconfigure",
            "dpkg-split",
            "dpkg-statoverride",
            "dpkg-trigger",
            "easy_install",
            "emerge",
            "flatpak",
            "gem",
            "mamba",
            "micromamba",
            "microdnf",
            "nix",
            "nix-build",
            "nix-channel",
            "nix-env",
            "nix-store",
            "npm",
            "npx",
            "opkg",
            "pacman",
            "pip",
            "pip-compile",
            "pipenv",
            "pipx",
            "pnpm",
            "pnpx",
            "poetry",
            "rpm",
            "rpm2archive",
            "rpm2cpio",
            "rpmdb",
            "rpmkeys",
            "snap",
            "tdnf",
            "uv",
            "uvx",
            "xbps-install",
            "xbps-remove",
            "yarn",
            "yarnpkg",
            "yum",
            "zypper",
        ],
    ),
];

/// Directories that hold programs: a file elsewhere that is called `ssh` may be a
/// table of completions.
const FOLDERS: &[&str] = &["bin", "sbin", "libexec", "openssh", "ssh"];

/// Directories that are a package manager's alone.
const BELONGINGS: &[&str] = &[
    "/etc/apk",
    "/etc/apt",
    "/etc/dpkg",
    "/etc/yum.repos.d",
    "/usr/lib/apt",
    "/usr/lib/dpkg",
    "/usr/lib/rpm",
    "/usr/lib/sysimage/rpm",
    "/lib/apk",
    "/usr/lib/apk",
    "/usr/lib/node_modules/corepack",
    "/usr/lib/node_modules/npm",
    "/usr/local/lib/node_modules/corepack",
    "/usr/local/lib/node_modules/npm",
    "/usr/share/dpkg",
    "/var/cache/apk",
    "/var/cache/apt",
    "/var/cache/debconf",
    "/var/cache/dnf",
    "/var/cache/yum",
    "/var/lib/apk",
    "/var/lib/apt",
    "/var/lib/dnf",
    "/var/lib/dpkg",
    "/var/lib/rpm",
    "/var/lib/yum",
];

/// Where Python keeps what was installed, and the packages there that install.
const PYTHON: &[&str] = &["/dist-packages/", "/site-packages/"];
const PYTHON_INSTALLERS: &[&str] = &["pip", "ensurepip", "pipx"];

/// Why what stands at `path` has no place in a sealed machine. `program` tells whether
/// it can be executed, or is a link.
#[must_use]
pub fn trade(path: &str, program: bool) -> Option<&'static str> {
    let below = |top: &&&str| {
        let rest = path.strip_prefix(**top);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    if BELONGINGS.iter().any(|top| below(&top)) || is_python_installer(path) {
        return Some(PACKAGES);
    }
    let (folder, name) = path.rsplit_once('/')?;
    let folder = folder.rsplit('/').next()?;
    if !program || !FOLDERS.contains(&folder) {
        return None;
    }
    // pip3, pip3.11
    let bare = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    let known = |names: &[&str]| names.contains(&name) || names.contains(&bare);
    let found = PROGRAMS.iter().find(|(_, names)| known(names));
    found.map(|(reason, _)| *reason)
}

/// The package itself, or the note of its version beside it.
fn is_python_installer(path: &str) -> bool {
    let inside = PYTHON.iter().find_map(|folder| path.split_once(folder));
    inside.is_some_and(|(_, rest)| {
        let name = rest.split('/').next().unwrap_or(rest);
        let name = name.split('-').next().unwrap_or(name);
        PYTHON_INSTALLERS.contains(&name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_known_by_name_where_programs_lie() {
        for (path, trade_of) in [
            ("/usr/sbin/sshd", SSH),
            ("/usr/lib/openssh/sftp-server", SSH),
            ("/bin/su", LOGIN),
            ("/usr/bin/apt-get", PACKAGES),
            ("/usr/local/bin/pip3.11", PACKAGES),
            ("/opt/venv/bin/pip", PACKAGES),
        ] {
            assert_eq!(trade(path, true), Some(trade_of), "{path}");
        }
        for path in [
            "/usr/share/bash-completion/completions/ssh",
            "/usr/bin/openssl",
            "/srv/apt",
            "/usr/bin/pipe",
            "/",
        ] {
            assert_eq!(trade(path, true), None, "{path}");
        }
        assert_eq!(trade("/usr/bin/ssh", false), None);
    }

    #[test]
    fn what_belongs_to_a_manager_goes_with_it() {
        for path in [
            "/var/lib/dpkg",
            "/var/lib/dpkg/status",
            "/usr/lib/python3/dist-packages/pip/__init__.py",
            "/usr/local/lib/python3.11/site-packages/pip-23.0.dist-info/METADATA",
        ] {
            assert_eq!(trade(path, false), Some(PACKAGES), "{path}");
        }
        for path in ["/var/lib/dpkg2", "/usr/lib/python3/dist-packages/pipe/x"] {
            assert_eq!(trade(path, false), None, "{path}");
        }
    }
}
