//! What an app needs of its machine, and how one knows.

use serde::Serialize;

/// How sure a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// A trace that many programs carry without using it. Told, never acted on.
    Possible,
    /// A trace that programs carry which use it on some of their ways.
    Likely,
    /// The app cannot do without.
    Certain,
}

/// What says so: a place in the file and what stands there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Evidence {
    /// The section, where the file has sections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub section: Option<String>,
    /// Bytes from the start of the file.
    pub offset: u64,
    /// The string, symbol, module or call.
    pub what: String,
}

/// What is needed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(tag = "kind", content = "name", rename_all = "kebab-case")]
pub enum NeedKind {
    /// Certificates of the public authorities, as one bundle in PEM.
    CaCertificates,
    /// Compiled time zones under /usr/share/zoneinfo.
    TimeZones,
    /// /etc/passwd and /etc/group.
    Users,
    /// /etc/resolv.conf and /etc/hosts.
    NameResolution,
    /// Modules of glibc's name service, loaded at run time into a static program.
    NameServiceModules,
    /// /etc/mime.types or one of its relatives.
    MimeTypes,
    /// A node in /dev.
    Device(String),
    /// A file in /proc.
    Proc(String),
    /// A file in /sys.
    Sys(String),
    /// A place that it writes to.
    Writable(String),
    /// A program that it starts: a path, or a name for PATH.
    Program(String),
    /// A feature of the kernel that is no system call of its own, such as an address
    /// family of sockets, by the name of its option without `CONFIG_`.
    Kernel(String),
}

/// One thing that an app needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Need {
    /// What.
    #[serde(flatten)]
    pub kind: NeedKind,
    /// How sure that is.
    pub confidence: Confidence,
    /// Why, the strongest first; never empty.
    pub evidence: Vec<Evidence>,
}

impl std::fmt::Display for Evidence {
    /// For people: `"/etc/mime.types" in .rodata at 0x1f00`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\"{}\"", self.what)?;
        if let Some(section) = &self.section {
            write!(f, " in {section}")?;
        }
        match self.offset {
            // nothing that says so lies in a file's header: it is the file as a whole
            0 => Ok(()),
            offset => write!(f, " at {offset:#x}"),
        }
    }
}
