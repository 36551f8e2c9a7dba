//! What is in an image, read from its bytes alone.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use ampoule_init::seccomp;
use ampoule_init::wire::{self, Setting};
use serde::Serialize;

use crate::boot::uki::Section;
use crate::digest::Digest;
use crate::disk::Partition;
use crate::initramfs::{self, Entry};
use crate::units::{Arch, Bytes};

use super::PipelineError;
use super::filter::Allowed;
use super::open::Opened;
use super::provenance::{self, Provenance};

/// The longest configuration that is read back.
const CONFIGURATION_MAX: usize = 16 << 20;

/// Everything that is in an image. The JSON of `ampoule inspect` is this.
#[derive(Debug, Clone, Serialize)]
pub struct Inspection {
    /// The appliance's name.
    pub name: String,
    /// The architecture.
    pub arch: Arch,
    /// Digest of the image's bytes.
    pub sha256: Digest,
    /// Length of the image in bytes.
    pub size: Bytes,
    /// Least memory to boot it by BIOS or directly and to start the app, in MiB.
    pub memory_mib: u64,
    /// The same to boot it by UEFI.
    pub memory_uefi_mib: u64,
    /// Digest of the kit that it was made with.
    pub kit: Digest,
    /// The kit was made from other than the pinned sources.
    pub unpinned: bool,
    /// The app is, or brings, a shell.
    pub shell: bool,
    /// The kernel.
    pub kernel: KernelInfo,
    /// The disk's partitions.
    pub partitions: Vec<Partition>,
    /// The UKI.
    pub uki: UkiInfo,
    /// Init's configuration.
    pub config: Config,
    /// What was added to the app by itself, and what its owner accepted.
    #[serde(flatten)]
    pub provenance: Provenance,
    /// The files of the initramfs.
    pub files: Vec<Entry>,
}

/// The kernel in an image.
#[derive(Debug, Clone, Serialize)]
pub struct KernelInfo {
    /// What `uname -r` prints.
    pub version: String,
    /// The command line.
    pub cmdline: String,
}

/// The UKI in an image.
#[derive(Debug, Clone, Serialize)]
pub struct UkiInfo {
    /// Its path on the ESP, with slashes.
    pub path: String,
    /// Where it begins on the disk, in bytes.
    pub offset: Bytes,
    /// Its length in bytes.
    pub size: Bytes,
    /// Its sections; offsets count from the UKI's beginning.
    pub sections: Vec<Section>,
}

/// Init's configuration as it stands in the image.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Config {
    /// The app's path in the guest.
    pub app: String,
    /// Its arguments, `argv[0]` first.
    pub args: Vec<String>,
    /// Its environment.
    pub env: BTreeMap<String, String>,
    /// Its working directory.
    pub workdir: String,
    /// The user that it runs as.
    pub uid: u32,
    /// The group that it runs as.
    pub gid: u32,
    /// The machine's name.
    pub hostname: String,
    /// `dhcp`, `none`, or `static ADDRESS/PREFIX [GATEWAY]`.
    pub network: String,
    /// Name servers.
    pub dns: Vec<String>,
    /// Declared TCP ports.
    pub ports: Vec<u16>,
    /// `poweroff` or `reboot`.
    pub on_exit: String,
    /// Seconds between SIGTERM and SIGKILL.
    pub grace_seconds: u32,
    /// Seconds that the app waits for an address.
    pub dhcp_wait_seconds: u32,
    /// Which system calls the app may make.
    pub seccomp: Allowed,
}

/// Reads the whole image at `path`.
///
/// # Errors
/// [`PipelineError`] when it cannot be read, is damaged, or is none of ours.
pub fn inspect(path: &Path) -> Result<Inspection, PipelineError> {
    let mut image = Opened::open(path)?;
    let (files, config, provenance) = unpack(&mut image).map_err(|source| image.error(source))?;
    let read = |source| PipelineError::Read {
        path: path.to_owned(),
        source,
    };
    let sha256 = File::open(path).and_then(Digest::of_reader).map_err(read)?;
    let Opened {
        disk, uki, summary, ..
    } = image;
    Ok(Inspection {
        name: summary.name,
        arch: summary.arch,
        sha256,
        size: disk.len,
        memory_mib: summary.memory_mib,
        memory_uefi_mib: summary.memory_uefi_mib,
        kit: summary.kit,
        unpinned: summary.unpinned,
        shell: summary.shell,
        kernel: KernelInfo {
            version: summary.kernel,
            cmdline: summary.cmdline,
        },
        partitions: disk.partitions,
        uki: UkiInfo {
            path: disk.efi_path,
            offset: disk.uki.offset,
            size: disk.uki.len,
            sections: uki.sections,
        },
        config,
        provenance,
        files,
    })
}

/// Goes through the initramfs once: its entries, init's configuration, and what the
/// build says of itself.
fn unpack(image: &mut Opened) -> Result<(Vec<Entry>, Config, Provenance), PipelineError> {
    let Unpacked {
        files,
        configuration,
        filter,
        provenance,
    } = Unpacked::read(image)?;
    let mut config = Config::read(&configuration)?;
    config.seccomp.read(&filter, image.summary.arch)?;
    Ok((files, config, Provenance::read(&provenance)?))
}

/// Init's configuration as it stands in the image.
pub(super) fn configuration(image: &mut Opened) -> Result<Vec<u8>, PipelineError> {
    Ok(Unpacked::read(image)?.configuration)
}

/// The initramfs's entries, and the content of init's and our own files.
struct Unpacked {
    files: Vec<Entry>,
    configuration: Vec<u8>,
    filter: Vec<u8>,
    provenance: Vec<u8>,
}

impl Unpacked {
    fn read(image: &mut Opened) -> Result<Unpacked, PipelineError> {
        let (mut configuration, mut filter, mut provenance) = (Vec::new(), Vec::new(), Vec::new());
        let mut see = |guest: &str, chunk: &[u8]| {
            let file = match guest {
                wire::PATH => &mut configuration,
                seccomp::PATH => &mut filter,
                provenance::PATH => &mut provenance,
                _ => return,
            };
            if file.len() + chunk.len() <= CONFIGURATION_MAX {
                file.extend_from_slice(chunk);
            }
        };
        let files = initramfs::read(image.section(".initrd")?, &mut see)?;
        Ok(Unpacked {
            files,
            configuration,
            filter,
            provenance,
        })
    }
}

impl Config {
    fn read(file: &[u8]) -> Result<Config, PipelineError> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut config = Config::default();
        for setting in wire::parse(file)? {
            match setting? {
                Setting::App(path) => config.app = text(path),
                Setting::Arg(arg) => config.args.push(text(arg)),
                Setting::Env(env) => {
                    let env = text(env);
                    let (name, value) = env.split_once('=').unwrap_or((&env, ""));
                    config.env.insert(name.to_owned(), value.to_owned());
                }
                Setting::Workdir(dir) => config.workdir = text(dir),
                Setting::Uid(uid) => config.uid = uid,
                Setting::Gid(gid) => config.gid = gid,
                Setting::Hostname(name) => config.hostname = text(name),
                Setting::Network(network) => config.network = network.to_string(),
                Setting::Nameserver(address) => config.dns.push(address.to_string()),
                Setting::Port(port) => config.ports.push(port),
                Setting::OnExit(policy) => config.on_exit = policy.as_str().to_owned(),
                Setting::Grace(seconds) => config.grace_seconds = seconds,
                Setting::DhcpWait(seconds) => config.dhcp_wait_seconds = seconds,
                Setting::Seccomp(kind) => config.seccomp.policy = kind.as_str().to_owned(),
                // a later init's setting: this command is too old to name it
                _ => {}
            }
        }
        Ok(config)
    }
}
