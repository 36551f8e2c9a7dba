//! Source packages: through apt by exact version, or a local copy, and always held
//! against the pinned digest.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::{KitError, OnPath};
use super::lock::Package;
use super::manifest::digest_of;
use super::process::{output, run, tool};
use super::{Event, Watch};

/// A source package at hand.
#[derive(Debug)]
pub(super) struct Source {
    /// The .deb file.
    pub file: PathBuf,
    /// What it is; not the pinned one if `unpinned`.
    pub package: Package,
    /// It is not the pinned one.
    pub unpinned: bool,
}

/// How a package may be got.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// The lock's pin.
    pub pin: &'a Package,
    /// A local copy instead of the archive's.
    pub local: Option<&'a Path>,
    /// Take what there is when the pinned version is not to be had.
    pub unpinned: bool,
    /// The option that takes a local copy, for messages.
    pub flag: &'static str,
}

/// Gets a package into `folder`.
pub(super) fn fetch(
    wanted: Wanted<'_>,
    folder: &Path,
    watch: &dyn Watch,
) -> Result<Source, KitError> {
    match wanted.local {
        Some(file) => local(wanted, file, watch),
        None => from_archive(wanted, folder, watch),
    }
}

fn local(wanted: Wanted<'_>, file: &Path, watch: &dyn Watch) -> Result<Source, KitError> {
    let file = fs::canonicalize(file).on("open", file)?;
    let found = digest_of(&file)?;
    if found == wanted.pin.sha256 {
        return Ok(Source {
            file,
            package: wanted.pin.clone(),
            unpinned: false,
        });
    }
    if !wanted.unpinned {
        return Err(KitError::WrongSource {
            path: file,
            wanted: format!("{} {}", wanted.pin.package, wanted.pin.version),
            expected: wanted.pin.sha256,
            found,
        });
    }
    let field = output(
        tool("dpkg-deb").arg("--field").arg(&file).arg("Version"),
        "dpkg-deb",
    )?;
    let package = Package {
        package: wanted.pin.package.clone(),
        version: String::from_utf8_lossy(&field).trim().to_owned(),
        sha256: found,
    };
    tell_unpinned(wanted.pin, &package, watch);
    Ok(Source {
        file,
        package,
        unpinned: true,
    })
}

fn from_archive(wanted: Wanted<'_>, folder: &Path, watch: &dyn Watch) -> Result<Source, KitError> {
    let pin = wanted.pin;
    let there = versions(&pin.package)?;
    let newest = there
        .first()
        .ok_or_else(|| KitError::NoPackage(pin.package.clone()))?;
    let version = match there.contains(&pin.version) {
        true => &pin.version,
        false if wanted.unpinned => newest,
        false => {
            return Err(KitError::LeftArchive {
                package: pin.package.clone(),
                version: pin.version.clone(),
                newest: newest.clone(),
                flag: wanted.flag,
            });
        }
    };
    let file = download(&pin.package, version, folder, watch)?;
    let found = digest_of(&file)?;
    let package = Package {
        package: pin.package.clone(),
        version: version.clone(),
        sha256: found,
    };
    if package == *pin {
        return Ok(Source {
            file,
            package,
            unpinned: false,
        });
    }
    if !wanted.unpinned {
        return Err(KitError::WrongSource {
            path: file,
            wanted: format!("{} {}", pin.package, pin.version),
            expected: pin.sha256,
            found,
        });
    }
    tell_unpinned(pin, &package, watch);
    Ok(Source {
        file,
        package,
        unpinned: true,
    })
}

fn tell_unpinned(pin: &Package, instead: &Package, watch: &dyn Watch) {
    watch.event(&Event::Unpinned {
        package: &pin.package,
        pinned: &pin.version,
        taken: &instead.version,
    });
}

fn download(
    package: &str,
    version: &str,
    folder: &Path,
    watch: &dyn Watch,
) -> Result<PathBuf, KitError> {
    watch.event(&Event::Fetching { package, version });
    let folder = folder.join(package);
    fs::create_dir(&folder).on("create", &folder)?;
    let mut apt = tool("apt-get");
    apt.args(["download", "-q", &format!("{package}={version}")])
        .current_dir(&folder);
    if rustix::process::geteuid().is_root() {
        // apt's own user cannot write here; what it fetches is checked all the same
        apt.args(["-o", "APT::Sandbox::User=root"]);
    }
    run(&mut apt, "apt-get download", watch, |_| {})?;
    let entries = fs::read_dir(&folder).on("list", &folder)?;
    entries
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|end| end == "deb"))
        .ok_or_else(|| KitError::NoPackage(package.to_owned()))
}

/// The versions that apt can get, newest first.
pub(super) fn versions(package: &str) -> Result<Vec<String>, KitError> {
    let text = output(
        tool("apt-cache").args(["madison", package]),
        "apt-cache madison",
    )?;
    Ok(parse_madison(&String::from_utf8_lossy(&text)))
}

/// Reads `package | version | where` (apt-cache(8)); a version in two suites counts once.
fn parse_madison(text: &str) -> Vec<String> {
    let mut versions: Vec<String> = Vec::new();
    for version in text.lines().filter_map(|line| line.split('|').nth(1)) {
        let version = version.trim().to_owned();
        if !versions.contains(&version) {
            versions.push(version);
        }
    }
    versions
}

/// The package as the archive's signed index describes it.
pub(super) fn describe(package: &str, version: &str) -> Result<Package, KitError> {
    let asked = format!("{package}={version}");
    let text = output(tool("apt-cache").args(["show", &asked]), "apt-cache show")?;
    String::from_utf8_lossy(&text)
        .lines()
        .find_map(|line| line.strip_prefix("SHA256: "))
        .and_then(|digest| digest.trim().parse().ok())
        .map(|sha256| Package {
            package: package.to_owned(),
            version: version.to_owned(),
            sha256,
        })
        .ok_or(KitError::NoPackage(asked))
}

/// Unpacks a .deb into `folder`.
pub(super) fn unpack(deb: &Path, folder: &Path, watch: &dyn Watch) -> Result<(), KitError> {
    let mut dpkg = tool("dpkg-deb");
    run(
        dpkg.arg("-x").arg(deb).arg(folder),
        "dpkg-deb -x",
        watch,
        |_| {},
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn madison_is_read_newest_first_and_each_once() {
        let text = " linux-source-6.12 | 6.12.117-1 | http://a trixie-security/main amd64 Packages\n \
                    linux-source-6.12 | 6.12.107-1 | http://b trixie/main amd64 Packages\n \
                    linux-source-6.12 | 6.12.107-1 | http://a trixie-security/main amd64 Packages\n";
        assert_eq!(parse_madison(text), ["6.12.117-1", "6.12.107-1"]);
        assert!(parse_madison("").is_empty());
    }

    #[test]
    fn a_local_copy_that_is_not_the_pinned_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("linux.deb");
        fs::write(&file, "not it").unwrap();
        let pin = Package {
            package: "linux".into(),
            version: "1".into(),
            sha256: crate::digest::Digest::of(b"it"),
        };
        let wanted = Wanted {
            pin: &pin,
            local: Some(&file),
            unpinned: false,
            flag: "--source",
        };
        let refused = fetch(wanted, folder.path(), &crate::kit::Silent).unwrap_err();
        assert!(matches!(refused, KitError::WrongSource { .. }), "{refused}");
        fs::write(&file, "it").unwrap();
        let source = fetch(wanted, folder.path(), &crate::kit::Silent).unwrap();
        assert!(!source.unpinned);
    }
}
