//! Whether an app is a shell, or a multi-call program that has one.
//!
//! Told by strings that the program's own code carries, several together, so that
//! a program that merely talks about shells is not taken for one; and by the file
//! name. A packed program shows its name only.

use std::collections::BTreeSet;
use std::io;
use std::sync::LazyLock;

use regex::bytes::Regex;

use super::content::Content;

/// What gives a shell away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shell {
    /// Which shell.
    pub name: &'static str,
    /// A string found in it, or nothing if its file name told.
    pub sign: Option<&'static str>,
}

/// Strings that only occur together in the shell's own code. Taken from the
/// programs themselves. The first of each is searched for in every app, so it is
/// one that is rare elsewhere.
const SIGNS: &[(&str, &[&str])] = &[
    ("busybox", &["BusyBox is a multi-call binary", "BusyBox v"]),
    (
        "toybox",
        &["landley.net/toybox", "multicall binary", "Toybox "],
    ),
    (
        "bash",
        &["GNU bash, version ", "BASH_VERSINFO", "HISTFILESIZE"],
    ),
    // also Almquist's others, klibc's sh among them
    (
        "dash",
        &["Illegal option -%c", "Syntax error: %s", "PS4=+ "],
    ),
    ("mksh", &["MIRBSD KSH R", "${PS4=+ }"]),
    // also the other heirs of the public domain Korn shell
    ("posh", &["${PS4=+ }", "CDPATH", "bad substitution"]),
    ("ksh93", &["@(#)$Id: whence (", "@(#)$Id: typeset ("]),
    (
        "zsh",
        &["ZSH_EXECUTION_STRING", "zsh: job can't be suspended"],
    ),
    (
        "yash",
        &["the here-document content is not closed", "yash -c"],
    ),
    ("tcsh", &["tcsh %d.%.2d.%.2d", "in this shell"]),
    ("fish", &["__fish_print_help", "fish_default_key_bindings"]),
    ("sash", &["Stand-alone shell (version"]),
    ("nushell", &["NU_LIB_DIRS", "NU_PLUGIN_DIRS", "nu_cli"]),
];

/// File names of shells, and of programs that are one among other things.
const NAMES: &[&str] = &[
    "ash", "bash", "busybox", "csh", "dash", "elvish", "fish", "ksh", "ksh93", "lksh", "mksh",
    "nu", "oksh", "posh", "pwsh", "rbash", "sash", "sh", "tcsh", "toybox", "yash", "zsh",
];

/// Bytes looked at in one go.
const STEP: usize = 1 << 20;

static FIRST: LazyLock<Search> =
    LazyLock::new(|| Search::new(SIGNS.iter().map(|(_, signs)| signs[0])));
static ALL: LazyLock<Search> =
    LazyLock::new(|| Search::new(SIGNS.iter().flat_map(|(_, signs)| *signs).copied()));

/// A search for several strings at once.
struct Search {
    signs: BTreeSet<&'static str>,
    any: Regex,
}

impl Search {
    fn new(signs: impl Iterator<Item = &'static str>) -> Search {
        let signs: BTreeSet<_> = signs.collect();
        let any: Vec<String> = signs.iter().map(|sign| regex::escape(sign)).collect();
        let any = Regex::new(&any.join("|")).expect("escaped literals are a pattern");
        Search { signs, any }
    }

    /// The strings that are in `content`.
    fn run(&self, content: &impl Content) -> io::Result<BTreeSet<&'static str>> {
        let longest = self.signs.iter().map(|sign| sign.len()).max().unwrap_or(0);
        let mut seen = BTreeSet::new();
        let mut window: Vec<u8> = Vec::new();
        let mut offset = 0;
        loop {
            let piece = content.at_most(offset, STEP)?;
            if piece.is_empty() {
                return Ok(seen);
            }
            offset += u64::try_from(piece.len()).map_err(io::Error::other)?;
            // a string may begin in one piece and end in the next
            window.drain(..window.len().saturating_sub(longest));
            window.extend_from_slice(&piece);
            for found in self.any.find_iter(&window) {
                let sign = self
                    .signs
                    .iter()
                    .find(|sign| sign.as_bytes() == found.as_bytes());
                seen.extend(sign);
            }
        }
    }
}

/// Looks for a shell's strings in the whole of `content`.
///
/// # Errors
/// What reading says.
pub fn find(content: &impl Content) -> io::Result<Option<Shell>> {
    if FIRST.run(content)?.is_empty() {
        return Ok(None);
    }
    Ok(judge(&ALL.run(content)?))
}

fn judge(seen: &BTreeSet<&'static str>) -> Option<Shell> {
    SIGNS
        .iter()
        .find(|(_, signs)| signs.iter().all(|sign| seen.contains(sign)))
        .map(|(name, signs)| Shell {
            name,
            sign: Some(signs[0]),
        })
}

/// Whether a file of this name is a shell, as `bash` and `zsh-static` are.
pub fn by_name(file_name: &str) -> Option<Shell> {
    let name = file_name.to_ascii_lowercase();
    let name = name.strip_suffix("-static").unwrap_or(&name);
    NAMES
        .iter()
        .find(|known| **known == name)
        .map(|name| Shell { name, sign: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_count_only_together() {
        let told = |bytes: &[u8]| find(&bytes).unwrap().map(|shell| shell.name);
        assert_eq!(told(b"see BusyBox v1.36 for details"), None);
        assert_eq!(
            told(b"BusyBox is a multi-call binary ... BusyBox v1.35.0"),
            Some("busybox")
        );
        assert_eq!(told(b""), None);
    }

    #[test]
    fn a_sign_across_two_pieces_is_found() {
        let mut bytes = vec![b'x'; STEP - 7];
        bytes.extend_from_slice(b"Stand-alone shell (version 3.8)");
        let shell = find(&bytes.as_slice()).unwrap().unwrap();
        assert_eq!(shell.name, "sash");
        assert_eq!(shell.sign, Some("Stand-alone shell (version"));
    }

    #[test]
    fn names_tell_with_and_without_static() {
        for name in ["sh", "bash-static", "BusyBox", "zsh"] {
            assert!(by_name(name).is_some(), "{name}");
        }
        for name in ["shell", "bash.png", "caddy", ""] {
            assert!(by_name(name).is_none(), "{name}");
        }
    }
}
