//! Which system calls the app may make, as file and flags say it.

use std::collections::BTreeSet;

use super::value::Checked;
use crate::sysno;
use crate::units::Arch;

/// Which system calls the app may make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seccomp {
    /// Those that its code holds; where that cannot be told, as `Default`.
    Derived,
    /// All but those that no server in a sealed machine needs.
    Default,
    /// All.
    Off,
    /// These, by name, and the few that every app makes. `ampoule learn` writes them.
    Calls(BTreeSet<String>),
}

/// The policies that have a name.
const NAMED: [(&str, Seccomp); 3] = [
    ("derived", Seccomp::Derived),
    ("default", Seccomp::Default),
    ("off", Seccomp::Off),
];

/// A policy by its name.
///
/// # Errors
/// The reason in words.
pub fn named(text: &str) -> Checked<Seccomp> {
    let found = NAMED.into_iter().find(|(name, _)| *name == text);
    found
        .map(|(_, policy)| policy)
        .ok_or_else(|| format!("`{text}` is none of \"derived\", \"default\" and \"off\""))
}

/// The name of a system call, of any architecture: one file serves all of them.
///
/// # Errors
/// The reason in words.
pub fn call(text: &str) -> Checked<String> {
    let known = |arch: &Arch| sysno::number(*arch, text).is_some();
    if [Arch::X86_64, Arch::Aarch64].iter().any(known) {
        Ok(text.to_owned())
    } else {
        Err(format!("`{text}` is no system call of Linux"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_and_calls_are_known_by_name() {
        assert_eq!(named("off"), Ok(Seccomp::Off));
        assert!(named("on").unwrap_err().contains("derived"));
        assert!(call("openat").is_ok() && call("open").is_ok());
        assert!(call("opnat").is_err() && call("").is_err());
    }
}
