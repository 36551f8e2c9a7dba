//! The machine that builds: its release, its tools, and what it lacks.

use std::path::{Path, PathBuf};

use super::error::KitError;
use super::lock::Tools;
use super::process::{output, tool};

/// A program or header that the build uses, and the Debian package that has it.
struct Need {
    what: &'static str,
    package: &'static str,
}

const fn need(what: &'static str, package: &'static str) -> Need {
    Need { what, package }
}

/// What fetching and unpacking takes.
const TO_FETCH: &[Need] = &[
    need("dpkg-deb", "dpkg"),
    need("apt-get", "apt"),
    need("tar", "tar"),
    need("xz", "xz-utils"),
];

/// What compiling the kernel takes besides.
const TO_COMPILE: &[Need] = &[
    need("make", "make"),
    need("gcc", "gcc"),
    need("ld", "binutils"),
    need("flex", "flex"),
    need("bison", "bison"),
    need("bc", "bc"),
    need("perl", "perl"),
    need("zstd", "zstd"),
    // objtool, which places the processor mitigations, reads ELF with it
    need("/usr/include/libelf.h", "libelf-dev"),
    need("/usr/include/stdio.h", "libc6-dev"),
];

/// Fails naming everything that the build needs and the machine lacks.
pub(super) fn check_tools(compile: bool) -> Result<(), KitError> {
    let lacking: Vec<&Need> = TO_FETCH
        .iter()
        .chain(if compile { TO_COMPILE } else { &[] })
        .filter(|need| !present(need.what))
        .collect();
    if lacking.is_empty() {
        return Ok(());
    }
    let list = |of: fn(&Need) -> &str, between: &str| {
        let names: Vec<&str> = lacking.iter().map(|need| of(need)).collect();
        names.join(between)
    };
    Err(KitError::Tools {
        what: list(|need| need.what, ", "),
        packages: list(|need| need.package, " "),
    })
}

fn present(what: &str) -> bool {
    if what.starts_with('/') {
        return Path::new(what).exists();
    }
    ["/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        .iter()
        .any(|dir| Path::new(dir).join(what).exists())
}

/// The release's name: VERSION_CODENAME of os-release(5).
pub(super) fn release() -> String {
    let text = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    codename(&text).unwrap_or_else(|| "unknown".to_owned())
}

fn codename(os_release: &str) -> Option<String> {
    os_release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .map(|name| name.trim_matches(['"', '\'']).to_owned())
        .filter(|name| !name.is_empty())
}

/// The versions of the tools whose output the kernel's bytes are.
pub(super) fn tools() -> Result<Tools, KitError> {
    Ok(Tools {
        gcc: version("gcc")?,
        ld: version("ld")?,
        zstd: version("zstd")?,
    })
}

fn version(program: &str) -> Result<String, KitError> {
    first_line(output(tool(program).arg("--version"), program)?)
}

fn first_line(text: Vec<u8>) -> Result<String, KitError> {
    let text = String::from_utf8_lossy(&text);
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}

/// The machine's cargo: `$CARGO`, else the first one on the caller's PATH, else
/// where rustup puts it.
pub(super) fn cargo() -> Result<PathBuf, KitError> {
    let on_path = std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).collect::<Vec<_>>())
        .unwrap_or_default()
        .into_iter()
        .chain(std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo/bin")))
        .map(|dir| dir.join("cargo"));
    std::env::var_os("CARGO")
        .map(PathBuf::from)
        .into_iter()
        .chain(on_path)
        .find(|path| path.is_absolute() && path.is_file())
        .ok_or_else(|| KitError::Tools {
            what: "cargo (Rust 1.85 or newer)".into(),
            packages: "cargo-web rustc-web (Debian 12) or cargo rustc (Debian 13)".into(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_is_read_with_and_without_quotes() {
        assert_eq!(
            codename("ID=debian\nVERSION_CODENAME=bookworm\n").as_deref(),
            Some("bookworm")
        );
        assert_eq!(
            codename("VERSION_CODENAME=\"noble\"\n").as_deref(),
            Some("noble")
        );
        assert_eq!(codename("ID=arch\n"), None);
    }

    #[test]
    fn a_tool_that_is_not_there_is_not_present() {
        assert!(present("sh"));
        assert!(!present("no-such-tool-of-ampoule"));
        assert!(!present("/usr/include/no-such-header-of-ampoule.h"));
    }
}
