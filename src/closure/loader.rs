//! Where a dynamic linker looks for libraries: ld.so(8) of glibc, musl's
//! ldso/dynlink.c. Both as they behave without a cache, since a guest has none unless
//! its root brings one.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read as _};

use crate::root::{Node, Root, Walk, walk};

/// Bytes of a linker, of its configuration and of its cache that are read.
const FILE_MAX: u64 = 16 << 20;
/// Files of ld.so.conf that are read: an honest system has a handful, and one may
/// include itself.
const INCLUDES_MAX: usize = 64;
/// glibc's configuration of directories beside the default ones (ldconfig(8)).
const CONFIGURATION: &str = "/etc/ld.so.conf";
/// What ldconfig(8) makes of them.
const CACHE: &str = "/etc/ld.so.cache";
/// Where musl looks unless told otherwise (ldso/dynlink.c, load_library).
const MUSL_DEFAULT: &str = "/lib:/usr/local/lib:/usr/lib";
/// Where linkers look that do not say it themselves.
const COMMON_DEFAULT: &[&str] = &["/lib64", "/usr/lib64", "/lib", "/usr/lib"];
/// Names that musl takes for itself when they stand behind `lib` (ldso/dynlink.c).
const MUSL_OWN: &[&str] = &["c.", "pthread.", "rt.", "m.", "dl.", "util.", "xnet."];

/// Which linker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The GNU C library's.
    Glibc,
    /// musl's.
    Musl,
    /// Another one, taken to look where most do.
    Other,
}

/// A linker and where it looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loader {
    /// Which one.
    pub kind: Kind,
    /// Its own directories, in its order.
    pub defaults: Vec<String>,
    /// Directories that the root's configuration adds: glibc finds what is in them by
    /// its cache alone.
    pub configured: Vec<String>,
    /// The file that gave `defaults`, when it must come along.
    pub configuration: Option<Walk>,
    /// The cache of the root.
    cache: Vec<u8>,
}

impl Loader {
    /// The linker at the path `interpreter`, which leads to `found`.
    ///
    /// # Errors
    /// What the root says.
    pub fn of(root: &dyn Root, interpreter: &str, found: &Walk) -> io::Result<Loader> {
        let (folder, name) = interpreter.rsplit_once('/').unwrap_or(("", interpreter));
        let mut loader = Loader {
            kind: Kind::Other,
            defaults: COMMON_DEFAULT.iter().map(|dir| (*dir).to_owned()).collect(),
            configured: Vec::new(),
            configuration: None,
            cache: Vec::new(),
        };
        if let Some(arch) = name.strip_prefix("ld-musl-") {
            loader.kind = Kind::Musl;
            loader.musl(root, folder, arch.split('.').next().unwrap_or(arch))?;
        } else if name.starts_with("ld-linux") || name.starts_with("ld-2.") {
            loader.kind = Kind::Glibc;
            let own = own_directories(&content(found)?);
            if !own.is_empty() {
                loader.defaults = own;
            }
            let mut seen = BTreeSet::new();
            loader.configured = configured(root, CONFIGURATION, &mut seen)?;
            loader.cache = content(&walk(root, CACHE)?)?;
        }
        Ok(loader)
    }

    /// musl reads a file below the directory that its own stands in: for
    /// `/lib/ld-musl-x86_64.so.1` that is `/etc/ld-musl-x86_64.path`.
    fn musl(&mut self, root: &dyn Root, folder: &str, arch: &str) -> io::Result<()> {
        let prefix = folder.rsplit_once('/').map_or("", |(prefix, _)| prefix);
        let file = walk(root, &format!("{prefix}/etc/ld-musl-{arch}.path"))?;
        let text = match file.is_file() {
            true => String::from_utf8_lossy(&content(&file)?).into_owned(),
            false => MUSL_DEFAULT.to_owned(),
        };
        self.defaults = text
            .split([':', '\n'])
            .filter(|dir| dir.starts_with('/'))
            .map(str::to_owned)
            .collect();
        self.configuration = file.is_file().then_some(file);
        Ok(())
    }

    /// Whether a library of this name is the linker itself.
    #[must_use]
    pub fn is_own(&self, name: &str) -> bool {
        let behind = name.strip_prefix("lib");
        self.kind == Kind::Musl
            && behind.is_some_and(|rest| MUSL_OWN.iter().any(|own| rest.starts_with(own)))
    }

    /// Whether the root's cache leads the linker to the library at `path`.
    #[must_use]
    pub fn caches(&self, path: &str) -> bool {
        let wanted = [path.as_bytes(), b"\0"].concat();
        memchr::memmem::find(&self.cache, &wanted).is_some()
    }

    /// A directory of a search path, with what stands for `$ORIGIN` and `$LIB` put in.
    /// None for what has other variables in it, and for what is not absolute: it
    /// would be looked for where the app happens to be.
    #[must_use]
    pub fn expand(&self, entry: &str, origin: &str) -> Option<String> {
        let mut text = entry
            .replace("${ORIGIN}", origin)
            .replace("$ORIGIN", origin);
        if self.kind == Kind::Glibc {
            let first = self.defaults.first().map_or("lib", String::as_str);
            let first = first.trim_start_matches('/');
            let lib = first.strip_prefix("usr/").unwrap_or(first);
            text = text.replace("${LIB}", lib).replace("$LIB", lib);
        }
        (text.starts_with('/') && !text.contains('$')).then_some(text)
    }
}

/// The bytes of the file that a way ends at, as far as they are looked at.
fn content(found: &Walk) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(Node::File {
        host: Some(host), ..
    }) = &found.node
    {
        File::open(host)?.take(FILE_MAX).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// The directories that are compiled into glibc's linker (elf/dl-load.c, system_dirs):
/// the longest run of strings that begin and end with a slash and name a `lib`.
fn own_directories(linker: &[u8]) -> Vec<String> {
    let mut longest: Vec<&str> = Vec::new();
    let mut run: Vec<&str> = Vec::new();
    for string in linker.split(|octet| *octet == 0) {
        let directory = std::str::from_utf8(string).ok().filter(|text| {
            let plain = text.bytes().all(|c| c.is_ascii_graphic());
            plain && text.starts_with('/') && text.ends_with('/') && text.contains("/lib")
        });
        match directory {
            Some(text) => run.push(text),
            None => run.clear(),
        }
        if run.len() > longest.len() {
            longest.clone_from(&run);
        }
    }
    let bare = longest.iter().map(|dir| dir.trim_end_matches('/'));
    bare.map(str::to_owned).collect()
}

/// The directories that the configuration at `path` names, as ldconfig(8) reads it.
fn configured(root: &dyn Root, path: &str, seen: &mut BTreeSet<String>) -> io::Result<Vec<String>> {
    let mut all = Vec::new();
    if seen.len() >= INCLUDES_MAX || !seen.insert(path.to_owned()) {
        return Ok(all);
    }
    let text = content(&walk(root, path)?)?;
    for line in String::from_utf8_lossy(&text).lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        let mut words = line.split_whitespace();
        match words.next() {
            Some("include") => {
                for pattern in words {
                    for file in matching(root, path, pattern)? {
                        all.extend(configured(root, &file, seen)?);
                    }
                }
            }
            // of old: hardware capabilities
            Some("hwcap") | None => {}
            Some(_) => all.extend(
                line.split([':', ',', ' ', '\t'])
                    // of old: TYPE=directory
                    .map(|dir| dir.split('=').next().unwrap_or(dir).trim_end_matches('/'))
                    .filter(|dir| dir.starts_with('/'))
                    .map(str::to_owned),
            ),
        }
    }
    Ok(all)
}

/// The files that an `include` in the file at `from` names, sorted.
fn matching(root: &dyn Root, from: &str, pattern: &str) -> io::Result<Vec<String>> {
    let pattern = match pattern.starts_with('/') {
        true => pattern.to_owned(),
        false => {
            let folder = from.rsplit_once('/').map_or("", |(folder, _)| folder);
            format!("{folder}/{pattern}")
        }
    };
    let (folder, last) = pattern.rsplit_once('/').unwrap_or(("", &pattern));
    let names = root.names(folder)?;
    let hit = names.iter().filter(|name| fits(name, last));
    Ok(hit.map(|name| format!("{folder}/{name}")).collect())
}

/// Whether `name` fits a pattern in which `*` stands for anything.
fn fits(name: &str, pattern: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return name == pattern;
    };
    let Some(mut left) = name.strip_prefix(head) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let tail = parts.pop().unwrap_or_default();
    for part in parts {
        match left.find(part) {
            Some(at) => left = &left[at + part.len()..],
            None => return false,
        }
    }
    left.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linker_tells_its_own_directories() {
        let linker = b"\x05\0/etc/ld.so.cache\0/usr/lib/locale\0\
            /lib/x86_64-linux-gnu/\0/usr/lib/x86_64-linux-gnu/\0/lib/\0/usr/lib/\0\0x";
        assert_eq!(
            own_directories(linker),
            [
                "/lib/x86_64-linux-gnu",
                "/usr/lib/x86_64-linux-gnu",
                "/lib",
                "/usr/lib"
            ]
        );
        assert!(own_directories(b"\0no linker\0").is_empty());
    }

    #[test]
    fn variables_of_a_search_path_are_put_in() {
        let loader = Loader {
            kind: Kind::Glibc,
            defaults: vec!["/lib/x86_64-linux-gnu".into()],
            configured: Vec::new(),
            configuration: None,
            cache: b"xx/opt/lib/a.so\0".to_vec(),
        };
        let told = |entry| loader.expand(entry, "/opt/app");
        assert_eq!(told("$ORIGIN/../lib").as_deref(), Some("/opt/app/../lib"));
        assert_eq!(told("${ORIGIN}").as_deref(), Some("/opt/app"));
        assert_eq!(
            told("/opt/$LIB").as_deref(),
            Some("/opt/lib/x86_64-linux-gnu")
        );
        for other in ["", "lib", "/opt/$PLATFORM"] {
            assert_eq!(told(other), None, "{other}");
        }
        assert!(loader.caches("/opt/lib/a.so") && !loader.caches("/opt/lib/a.s"));
    }

    #[test]
    fn patterns_fit_as_a_shell_has_it() {
        for (name, pattern) in [
            ("a.conf", "*.conf"),
            ("a.conf", "a*"),
            ("a.conf", "*"),
            ("a-b-c", "a*b*c"),
            ("x", "x"),
        ] {
            assert!(fits(name, pattern), "{name} {pattern}");
        }
        for (name, pattern) in [("a.con", "*.conf"), ("ab", "a*b*b"), ("x", "y")] {
            assert!(!fits(name, pattern), "{name} {pattern}");
        }
    }
}
