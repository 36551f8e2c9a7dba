//! Where the UEFI firmware is.
//!
//! First what `AMPOULE_OVMF` names, then what the host's firmware descriptors say
//! (docs/interop/firmware.json in QEMU's sources), then the places where distributions put it.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::Error;
use crate::machine::Arch;
use crate::profile::{self, Emulator};

/// UEFI firmware for a pair of flash chips.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firmware {
    /// The program, never written to.
    pub code: PathBuf,
    /// The variables as they are in a new machine; a copy of it is what a machine gets. None
    /// where the code file holds them too.
    pub vars: Option<PathBuf>,
}

/// Finds the firmware for `arch`.
pub fn find(arch: Arch) -> Result<Firmware, Error> {
    let emulator = profile::emulator(arch);
    if let Some(named) = env::var_os("AMPOULE_OVMF") {
        return named_by_user(PathBuf::from(named));
    }
    let files = emulator.firmware_files.iter().map(|(code, vars)| Firmware {
        code: PathBuf::from(code),
        vars: Some(PathBuf::from(vars)),
    });
    described(emulator, &descriptor_folders())
        .into_iter()
        .chain(files)
        .find(Firmware::is_there)
        .ok_or(Error::NoFirmware {
            arch: emulator.name,
            package: emulator.firmware_package,
        })
}

impl Firmware {
    fn is_there(&self) -> bool {
        self.code.is_file() && self.vars.as_ref().is_none_or(|vars| vars.is_file())
    }
}

/// The VARS file stands beside the CODE file, under a name that differs in that word.
fn named_by_user(code: PathBuf) -> Result<Firmware, Error> {
    if !code.is_file() {
        return Err(Error::BadFirmware {
            path: code,
            reason: "which is no file".to_owned(),
        });
    }
    let vars = vars_name(&code).map(|name| code.with_file_name(name));
    Ok(Firmware {
        vars: vars.filter(|path| path.is_file()),
        code,
    })
}

fn vars_name(code: &Path) -> Option<String> {
    let name = code.file_name()?.to_str()?;
    let vars = name.replace("CODE", "VARS").replace("code", "vars");
    // signed builds share the variables' layout, not the name
    (vars != name).then(|| vars.replace(".secboot", "").replace(".secure", ""))
}

/// The folders of descriptors, the weightiest first, as the specification orders them.
fn descriptor_folders() -> Vec<PathBuf> {
    let home = env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".config")));
    home.map(|home| home.join("qemu/firmware"))
        .into_iter()
        .chain(["/etc/qemu/firmware", "/usr/share/qemu/firmware"].map(PathBuf::from))
        .collect()
}

/// What the descriptors offer, best first: by file name over all folders. A file in a weightier
/// folder replaces the one of the same name in another, and an empty one masks it.
fn described(emulator: &Emulator, folders: &[PathBuf]) -> Vec<Firmware> {
    let mut files: BTreeMap<_, PathBuf> = BTreeMap::new();
    for folder in folders.iter().rev() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.path().extension().is_some_and(|ext| ext == "json") {
                files.insert(entry.file_name(), entry.path());
            }
        }
    }
    let texts = files
        .values()
        .filter_map(|path| fs::read_to_string(path).ok());
    texts.filter_map(|text| usable(&text, emulator)).collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Descriptor {
    interface_types: Vec<String>,
    mapping: Mapping,
    targets: Vec<Target>,
    features: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Mapping {
    device: String,
    #[serde(default)]
    mode: Option<String>,
    executable: Option<FlashFile>,
    nvram_template: Option<FlashFile>,
}

#[derive(Deserialize)]
struct FlashFile {
    filename: PathBuf,
    format: String,
}

#[derive(Deserialize)]
struct Target {
    architecture: String,
    machines: Vec<String>,
}

/// The firmware of a descriptor, if it is one that boots what is not signed, on our machines,
/// without System Management Mode.
fn usable(text: &str, emulator: &Emulator) -> Option<Firmware> {
    let descriptor: Descriptor = serde_json::from_str(text).ok()?;
    let unwanted = ["requires-smm", "enrolled-keys", "secure-boot"];
    let fits = descriptor.interface_types.iter().any(|kind| kind == "uefi")
        && descriptor.targets.iter().any(|target| {
            target.architecture == emulator.name
                && target
                    .machines
                    .iter()
                    .any(|name| name.starts_with(emulator.firmware_machine))
        })
        && !descriptor
            .features
            .iter()
            .any(|feature| unwanted.contains(&feature.as_str()));
    let Mapping {
        device,
        mode,
        executable,
        nvram_template,
    } = descriptor.mapping;
    let stateless = matches!(mode.as_deref(), Some("stateless" | "combined"));
    if !fits || device != "flash" || stateless {
        return None;
    }
    let (code, vars) = (executable?, nvram_template?);
    let raw = code.format == "raw" && vars.format == "raw";
    raw.then_some(Firmware {
        code: code.filename,
        vars: Some(vars.filename),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(features: &str, machines: &str, format: &str) -> String {
        format!(
            r#"{{"description": "x", "interface-types": ["uefi"], "mapping": {{"device": "flash",
            "executable": {{"filename": "/f/CODE.fd", "format": "{format}"}},
            "nvram-template": {{"filename": "/f/VARS.fd", "format": "{format}"}}}},
            "targets": [{{"architecture": "x86_64", "machines": ["{machines}"]}}],
            "features": [{features}], "tags": []}}"#
        )
    }

    #[test]
    fn descriptors_are_chosen_by_what_they_say() {
        let emulator = profile::emulator(Arch::X86_64);
        let expected = Firmware {
            code: "/f/CODE.fd".into(),
            vars: Some("/f/VARS.fd".into()),
        };
        let plain = descriptor("\"acpi-s3\", \"verbose-dynamic\"", "pc-q35-*", "raw");
        assert_eq!(usable(&plain, emulator), Some(expected));
        for other in [
            descriptor("\"secure-boot\"", "pc-q35-*", "raw"),
            descriptor("\"requires-smm\"", "pc-q35-*", "raw"),
            descriptor("", "virt-*", "raw"),
            descriptor("", "pc-q35-*", "qcow2"),
            "{}".to_owned(),
            "not json".to_owned(),
        ] {
            assert_eq!(usable(&other, emulator), None, "{other}");
        }
    }

    #[test]
    fn a_weightier_folder_replaces_and_masks() {
        let emulator = profile::emulator(Arch::X86_64);
        let (home, system) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let plain = descriptor("", "pc-q35-*", "raw");
        fs::write(system.path().join("40-a.json"), &plain).unwrap();
        fs::write(system.path().join("50-b.json"), plain.replace("/f/", "/g/")).unwrap();
        let folders = [home.path().to_owned(), system.path().to_owned()];
        let codes = || -> Vec<PathBuf> {
            described(emulator, &folders)
                .into_iter()
                .map(|firmware| firmware.code)
                .collect()
        };
        assert_eq!(codes(), [Path::new("/f/CODE.fd"), Path::new("/g/CODE.fd")]);
        fs::write(home.path().join("40-a.json"), "").unwrap();
        assert_eq!(codes(), [Path::new("/g/CODE.fd")]);
    }

    #[test]
    fn the_vars_file_has_the_name_of_the_code_file() {
        let name = |code: &str| vars_name(Path::new(code));
        assert_eq!(
            name("/a/OVMF_CODE_4M.fd").as_deref(),
            Some("OVMF_VARS_4M.fd")
        );
        assert_eq!(
            name("/a/OVMF_CODE_4M.secboot.fd").as_deref(),
            Some("OVMF_VARS_4M.fd")
        );
        assert_eq!(
            name("/a/ovmf-x86_64-code.bin").as_deref(),
            Some("ovmf-x86_64-vars.bin")
        );
        assert_eq!(name("/a/OVMF.fd"), None);
    }
}
