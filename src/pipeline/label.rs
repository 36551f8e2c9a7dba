//! What an image says of itself in its UKI's `.osrel` section: readable without
//! unpacking the initramfs, and by every tool that reads os-release(5).
//!
//! `IMAGE_ID` and `IMAGE_VERSION` are os-release's own; the `AMPOULE_` keys are
//! ours, as os-release(5) invites vendors to add.

use std::fmt::Write as _;

use crate::digest::Digest;

/// The facts in `.osrel`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The appliance's name.
    pub name: String,
    /// Digest of the initramfs, the part that holds app, files and configuration.
    pub content: Digest,
    /// Digest of the kit that the image was made with.
    pub kit: Digest,
    /// The kit was made from sources other than the pinned ones.
    pub unpinned: bool,
    /// The app is, or brings, a shell, and its owner allowed that.
    pub shell: bool,
    /// Least memory to boot by BIOS or directly and to start the app, in MiB.
    pub memory_mib: u64,
    /// The same to boot by UEFI, whose firmware takes more.
    pub memory_uefi_mib: u64,
    /// Declared TCP ports.
    pub ports: Vec<u16>,
}

impl Label {
    /// The section's bytes.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = format!(
            "ID=ampoule\nNAME=ampoule\nVERSION_ID={version}\n\
             PRETTY_NAME=\"{name}, sealed by ampoule {version}\"\n\
             IMAGE_ID={name}\nIMAGE_VERSION={content}\n\
             AMPOULE_KIT={kit}\nAMPOULE_MEMORY_MIB={memory}\n\
             AMPOULE_MEMORY_UEFI_MIB={uefi}\n",
            version = env!("CARGO_PKG_VERSION"),
            name = self.name,
            content = self.content,
            kit = self.kit,
            memory = self.memory_mib,
            uefi = self.memory_uefi_mib,
        );
        if !self.ports.is_empty() {
            let ports: Vec<String> = self.ports.iter().map(u16::to_string).collect();
            let _ = writeln!(text, "AMPOULE_PORTS=\"{}\"", ports.join(" "));
        }
        for (set, key) in [(self.unpinned, "UNPINNED"), (self.shell, "SHELL")] {
            if set {
                let _ = writeln!(text, "AMPOULE_{key}=1");
            }
        }
        text
    }

    /// Reads a section back; `None` if it is not one that [`Label::encode`] wrote.
    #[must_use]
    pub fn parse(section: &[u8]) -> Option<Label> {
        let text = std::str::from_utf8(section).ok()?;
        let value = |key: &str| {
            text.lines().find_map(|line| {
                let (name, value) = line.split_once('=')?;
                (name == key).then(|| value.trim_matches('"'))
            })
        };
        if value("ID")? != "ampoule" {
            return None;
        }
        let ports = value("AMPOULE_PORTS").unwrap_or_default();
        Some(Label {
            name: value("IMAGE_ID")?.to_owned(),
            content: value("IMAGE_VERSION")?.parse().ok()?,
            kit: value("AMPOULE_KIT")?.parse().ok()?,
            unpinned: value("AMPOULE_UNPINNED").is_some(),
            shell: value("AMPOULE_SHELL").is_some(),
            memory_mib: value("AMPOULE_MEMORY_MIB")?.parse().ok()?,
            memory_uefi_mib: value("AMPOULE_MEMORY_UEFI_MIB")?.parse().ok()?,
            ports: ports
                .split_whitespace()
                .map(|port| port.parse().ok())
                .collect::<Option<_>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label() -> Label {
        Label {
            name: "caddy".into(),
            content: Digest::of(b"content"),
            kit: Digest::of(b"kit"),
            unpinned: true,
            shell: false,
            memory_mib: 48,
            memory_uefi_mib: 112,
            ports: vec![80, 8080],
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mut label = label();
        assert_eq!(
            Label::parse(label.encode().as_bytes()).as_ref(),
            Some(&label)
        );
        label.ports.clear();
        label.unpinned = false;
        label.shell = true;
        assert_eq!(
            Label::parse(label.encode().as_bytes()).as_ref(),
            Some(&label)
        );
    }

    #[test]
    fn somebody_elses_os_release_is_no_label() {
        assert_eq!(Label::parse(b"ID=debian\nVERSION_ID=12\n"), None);
        let foreign = label()
            .encode()
            .replace("AMPOULE_PORTS=\"80", "AMPOULE_PORTS=\"x80");
        assert_eq!(Label::parse(foreign.as_bytes()), None);
    }
}
