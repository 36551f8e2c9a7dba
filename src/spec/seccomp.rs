//! Which system calls the app may make, as file and flags say it.

use std::collections::BTreeSet;

use toml_edit::{Array, DocumentMut, Item, Table, TomlError, Value, value};

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

/// Puts a list of calls into the text of a file, in the place of the policy that is there.
/// All else stays as it is, comments included. An empty text is a file to begin with.
///
/// # Errors
/// The reason in words, when the text is no TOML.
pub fn write(text: &str, calls: &BTreeSet<String>) -> Checked<String> {
    let mut document: DocumentMut = text
        .parse()
        .map_err(|error: TomlError| error.message().trim().replace('\n', ", "))?;
    let mut list = Array::new();
    for call in calls {
        let mut item = Value::from(call.as_str());
        item.decor_mut().set_prefix("\n    ");
        list.push_formatted(item);
    }
    list.set_trailing_comma(true);
    list.set_trailing("\n");
    // a table at the end, where a value was or nothing: top-level keys cannot follow one
    if !document.get("seccomp").is_some_and(Item::is_table_like) {
        document.remove("seccomp");
        document["seccomp"] = Item::Table(Table::new());
    }
    document["seccomp"]["calls"] = value(list);
    Ok(document.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::load;
    use std::path::Path;

    fn calls(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_list_is_written_and_the_rest_left_alone() {
        let wanted = calls(&["read", "openat"]);
        for (before, kept) in [
            ("", ""),
            (
                "# mine\nname = 'a' # short\n",
                "# mine\nname = 'a' # short\n",
            ),
            (
                "seccomp = 'derived'\nname = 'a' # short\n",
                "name = 'a' # short\n",
            ),
            ("# mine\n[env]\nA = 'b'\n", "# mine\n[env]\nA = 'b'\n"),
            (
                "[seccomp] # old\ncalls = ['mmap']\n[env]\nA = 'b'\n",
                "[seccomp] # old\n",
            ),
            (
                "seccomp = { calls = ['mmap'] }\nports = [80]\n",
                "ports = [80]\n",
            ),
            ("seccomp.calls = ['mmap']\nports = [80]\n", "ports = [80]\n"),
        ] {
            let after = write(before, &wanted).unwrap();
            assert!(after.contains(kept), "{after}");
            assert!(
                after.contains("calls = [\n    \"openat\",\n    \"read\",\n]"),
                "{after}"
            );
            let settings = load(&after, Path::new("x")).unwrap();
            assert_eq!(
                settings.seccomp,
                Some(Seccomp::Calls(wanted.clone())),
                "{after}"
            );
            // again, and nothing changes
            assert_eq!(write(&after, &wanted).unwrap(), after);
        }
        assert!(write("= 3", &wanted).is_err());
    }

    #[test]
    fn policies_and_calls_are_known_by_name() {
        assert_eq!(named("off"), Ok(Seccomp::Off));
        assert!(named("on").unwrap_err().contains("derived"));
        assert!(call("openat").is_ok() && call("open").is_ok());
        assert!(call("opnat").is_err() && call("").is_err());
    }
}
