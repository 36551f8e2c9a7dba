//! Whether KVM truly runs guests here.
//!
//! That /dev/kvm is there, opens and answers proves nothing: nested and emulated ones are known
//! that set up a machine and then never run it. So a small guest is run, with a deadline, on the
//! machine and processor that real guests get: SeaBIOS starts, loads a boot sector through PCI
//! and virtio, and that one goes on into 64-bit mode and writes a number to a port.

use std::env;
use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant, SystemTime};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::{Deserialize, Serialize};

use crate::machine::{Accel, Arch, Machine};
use crate::{Error, tools};

/// How long the probe's guest may take. On working hardware it takes a few tenths of a second.
const DEADLINE: Duration = Duration::from_secs(5);

/// How long a "no" is believed: the machine may just have been too busy.
const NO_IS_BELIEVED: Duration = Duration::from_secs(12 * 3600);

/// How a machine's instructions are run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acceleration {
    /// [`Accel::Kvm`] or [`Accel::Tcg`].
    pub accel: Accel,
    /// Why it is not KVM although that would have been taken.
    pub refusal: Option<Refusal>,
    pub(crate) tsc_khz: Option<u64>,
}

impl Acceleration {
    /// `kvm` or `tcg`.
    pub fn name(&self) -> &'static str {
        match self.accel {
            Accel::Kvm => "kvm",
            Accel::Tcg | Accel::Auto => "tcg",
        }
    }
}

/// Why KVM is not used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no /dev/kvm.
    Absent,
    /// /dev/kvm may not be opened.
    NotPermitted,
    /// /dev/kvm cannot be opened for another reason.
    Unusable(String),
    /// It opens, and runs no guest; with what was seen.
    RunsNoGuest(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Absent => f.write_str("there is no /dev/kvm"),
            Refusal::NotPermitted => {
                f.write_str("/dev/kvm may not be opened (does the user belong to the group kvm?)")
            }
            Refusal::Unusable(reason) => write!(f, "/dev/kvm cannot be opened ({reason})"),
            Refusal::RunsNoGuest(seen) => write!(f, "/dev/kvm is there and runs no guest ({seen})"),
        }
    }
}

/// Settles what a machine asks for.
pub(crate) fn choose(machine: &Machine, qemu: &Path) -> Result<Acceleration, Error> {
    let (accel, refusal) = match machine.accel {
        _ if machine.icount => (Accel::Tcg, None),
        Accel::Tcg => (Accel::Tcg, None),
        Accel::Kvm => (Accel::Kvm, None),
        Accel::Auto => match probe(machine.arch, qemu)? {
            None => (Accel::Kvm, None),
            refusal => (Accel::Tcg, refusal),
        },
    };
    Ok(Acceleration {
        accel,
        refusal,
        tsc_khz: tsc_khz(),
    })
}

/// Finds out whether KVM runs guests: none means that it does. The answer is kept until the next
/// boot or another QEMU; a "no" for half a day at most.
///
/// # Errors
/// When the probe itself cannot be made.
pub fn probe(arch: Arch, qemu: &Path) -> Result<Option<Refusal>, Error> {
    match OpenOptions::new().read(true).write(true).open("/dev/kvm") {
        Ok(_) => {}
        Err(error) => {
            return Ok(Some(match error.kind() {
                io::ErrorKind::NotFound => Refusal::Absent,
                io::ErrorKind::PermissionDenied => Refusal::NotPermitted,
                _ => Refusal::Unusable(error.to_string()),
            }));
        }
    }
    let key = Key::of_this_host(qemu);
    let memory = memory_file(arch);
    if let Some(known) = memory
        .as_deref()
        .zip(key.as_ref())
        .and_then(|(file, key)| recall(file, key))
    {
        return Ok(known);
    }
    let refusal = run_guest(qemu, Accel::Kvm, DEADLINE)?;
    if let (Some(file), Some(key)) = (memory, key) {
        // only a convenience: the next run probes again
        let _ = remember(
            &file,
            &Answer {
                key,
                refusal: refusal.clone(),
            },
        );
    }
    Ok(refusal)
}

/// What an answer holds for.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Key {
    boot: String,
    qemu: PathBuf,
    /// Length and time of change of the program.
    version: (u64, i64),
    user: u32,
}

#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    key: Key,
    refusal: Option<Refusal>,
}

impl Key {
    fn of_this_host(qemu: &Path) -> Option<Key> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let data = fs::metadata(qemu).ok()?;
        Some(Key {
            boot: boot.trim().to_owned(),
            qemu: qemu.to_owned(),
            version: (data.len(), data.mtime()),
            user: rustix::process::geteuid().as_raw(),
        })
    }
}

fn memory_file(arch: Arch) -> Option<PathBuf> {
    let cache = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))?;
    Some(
        cache
            .join("ampoule")
            .join(format!("kvm-{arch:?}.json").to_lowercase()),
    )
}

fn recall(file: &Path, key: &Key) -> Option<Option<Refusal>> {
    let answer: Answer = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
    let age = SystemTime::now().duration_since(fs::metadata(file).ok()?.modified().ok()?);
    let stale = answer.refusal.is_some() && age.is_ok_and(|age| age > NO_IS_BELIEVED);
    (answer.key == *key && !stale).then_some(answer.refusal)
}

/// Written beside and renamed: another run may read it at any time.
fn remember(file: &Path, answer: &Answer) -> io::Result<()> {
    let folder = file.parent().ok_or(io::ErrorKind::InvalidInput)?;
    fs::create_dir_all(folder)?;
    let mut beside = tempfile::NamedTempFile::new_in(folder)?;
    serde_json::to_writer(&mut beside, answer)?;
    beside.persist(file).map(drop).map_err(|error| error.error)
}

/// The number that the guest writes.
const ALIVE: u8 = 0x31;

/// What QEMU's `isa-debug-exit` makes of it (hw/misc/debugexit.c): `value << 1 | 1`.
const ALIVE_STATUS: i32 = ((ALIVE as i32) << 1) | 1;

/// The boot sector, as `objdump -d` shows it.
#[rustfmt::skip]
const GUEST: &[u8] = &[
    // 7c00: real mode, flat segments, a stack
    0xfa,                               // cli
    0x31, 0xc0,                         // xor ax, ax
    0x8e, 0xd8,                         // mov ds, ax
    0x8e, 0xc0,                         // mov es, ax
    0x8e, 0xd0,                         // mov ss, ax
    0xbc, 0x00, 0x7c,                   // mov sp, 0x7c00
    // page tables at 0x1000: the first 2 MiB mapped to themselves
    0xbf, 0x00, 0x10,                   // mov di, 0x1000
    0xb9, 0x00, 0x18,                   // mov cx, 0x1800
    0xf3, 0xab,                         // rep stosw
    0xc7, 0x06, 0x00, 0x10, 0x03, 0x20, // mov word [0x1000], 0x2003
    0xc7, 0x06, 0x00, 0x20, 0x03, 0x30, // mov word [0x2000], 0x3003
    0xc7, 0x06, 0x00, 0x30, 0x83, 0x00, // mov word [0x3000], 0x0083
    0x0f, 0x01, 0x16, 0x88, 0x7c,       // lgdt [gdtr]
    // 64-bit mode: PAE, the tables, EFER.LME, then paging and protection at once
    0x66, 0xb8, 0x20, 0x00, 0x00, 0x00, // mov eax, 0x20
    0x0f, 0x22, 0xe0,                   // mov cr4, eax
    0x66, 0xb8, 0x00, 0x10, 0x00, 0x00, // mov eax, 0x1000
    0x0f, 0x22, 0xd8,                   // mov cr3, eax
    0x66, 0xb9, 0x80, 0x00, 0x00, 0xc0, // mov ecx, 0xc0000080
    0x0f, 0x32,                         // rdmsr
    0x0d, 0x00, 0x01,                   // or ax, 0x100
    0x0f, 0x30,                         // wrmsr
    0x0f, 0x20, 0xc0,                   // mov eax, cr0
    0x66, 0x0d, 0x01, 0x00, 0x00, 0x80, // or eax, 0x80000001
    0x0f, 0x22, 0xc0,                   // mov cr0, eax
    0xea, 0x5b, 0x7c, 0x08, 0x00,       // jmp 8:long
    // 7c5b long: what a kernel asks first, and a million rounds
    0xb8, 0x00, 0x00, 0x00, 0x00,       // mov eax, 0
    0x0f, 0xa2,                         // cpuid
    0x0f, 0x31,                         // rdtsc
    0xb9, 0x40, 0x42, 0x0f, 0x00,       // mov ecx, 1000000
    0xff, 0xc9,                         // dec ecx
    0x75, 0xfc,                         // jnz -4
    0xb0, ALIVE,                        // mov al, ALIVE
    0xe6, 0xf4,                         // out 0xf4, al
    0xf4,                               // hlt
    0xeb, 0xfd,                         // jmp -3
    0x0f, 0x1f, 0x40, 0x00,             // padding
    // 7c78: the null descriptor, and a 64-bit code segment
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0xff, 0xff, 0x00, 0x00, 0x00, 0x9a, 0xaf, 0x00,
    // 7c88 gdtr: limit, base
    0x0f, 0x00, 0x78, 0x7c, 0x00, 0x00,
];

/// SeaBIOS reads no disk of one sector.
const GUEST_DISK: u64 = 1 << 20;

/// Runs the guest; none if it did what it should.
fn run_guest(qemu: &Path, accel: Accel, deadline: Duration) -> Result<Option<Refusal>, Error> {
    let directory = tools::socket_directory()?;
    let disk = directory.path().join("probe");
    write_disk(&disk).map_err(Error::host("write the probe's disk"))?;
    let (accel, cpu) = match accel {
        Accel::Kvm => ("kvm", "host"),
        Accel::Tcg | Accel::Auto => ("tcg", "max"),
    };
    let mut command = tools::bound_to_us(qemu);
    command.args([
        "-nodefaults",
        "-no-user-config",
        "-no-reboot",
        "-display",
        "none",
    ]);
    command.args(["-machine", "q35", "-m", "64M", "-accel", accel, "-cpu", cpu]);
    command.args([
        "-drive",
        "if=none,id=disk0,format=raw,readonly=on,file=probe",
    ]);
    command.args(["-device", "virtio-blk-pci,drive=disk0,bootindex=0"]);
    command.args(["-device", "isa-debug-exit,iobase=0xf4,iosize=1"]);
    command.current_dir(directory.path());
    let (status, messages) = run_until(command, deadline)?;
    Ok(match status {
        Some(status) if status.code() == Some(ALIVE_STATUS) => None,
        Some(status) => Some(Refusal::RunsNoGuest(first_message(
            &messages,
            &status.to_string(),
        ))),
        None => {
            let seen = format!("no sign of life within {} s", deadline.as_secs());
            Some(Refusal::RunsNoGuest(first_message(&messages, &seen)))
        }
    })
}

fn write_disk(path: &Path) -> io::Result<()> {
    let mut sector = GUEST.to_vec();
    sector.resize(510, 0);
    sector.extend_from_slice(&[0x55, 0xaa]);
    fs::write(path, &sector)?;
    OpenOptions::new()
        .write(true)
        .open(path)?
        .set_len(GUEST_DISK)
}

/// The first of QEMU's messages that tells something.
fn first_message(messages: &str, otherwise: &str) -> String {
    let said = messages
        .lines()
        .find(|line| !line.is_empty() && !line.contains("warning: "));
    let said = said.map(|line| line.split_once(": ").map_or(line, |(_, rest)| rest));
    said.unwrap_or(otherwise).to_owned()
}

/// Runs a program to its end or to the deadline, then kills it. None if it was killed.
fn run_until(mut command: Command, limit: Duration) -> Result<(Option<ExitStatus>, String), Error> {
    let deadline = Instant::now() + limit;
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0);
    let mut child = command.spawn().map_err(Error::host("start qemu"))?;
    let mut messages = Vec::new();
    let ended = drain(&mut child, deadline, &mut messages);
    // not reaped yet: the number is still its own
    if !ended {
        let _ = child.kill();
    }
    let status = child.wait().map_err(Error::host("wait for qemu"))?;
    Ok((
        ended.then_some(status),
        String::from_utf8_lossy(&messages).into_owned(),
    ))
}

/// Reads messages until they end, as they do when the program does; false at the deadline.
fn drain(child: &mut Child, deadline: Instant, messages: &mut Vec<u8>) -> bool {
    let Some(stderr) = &mut child.stderr else {
        return true;
    };
    let mut buffer = [0; 4096];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).ok();
        let mut fds = [PollFd::from_borrowed_fd(stderr.as_fd(), PollFlags::IN)];
        match poll(&mut fds, timeout.as_ref()) {
            Ok(0) => return false,
            Ok(_) => match stderr.read(&mut buffer) {
                Ok(0) | Err(_) => return true,
                Ok(count) => messages.extend_from_slice(&buffer[..count]),
            },
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}

/// The speed of the host's time stamp counter as the kernel tells it, in kHz. Under TCG it is
/// the guest's too (`cpu_get_ticks` hands the host's counter through).
fn tsc_khz() -> Option<u64> {
    let info = fs::read_to_string("/proc/cpuinfo").ok()?;
    parse_tsc_khz(&info)
}

fn parse_tsc_khz(info: &str) -> Option<u64> {
    let line = info.lines().find(|line| line.starts_with("cpu MHz"))?;
    let (_, value) = line.split_once(':')?;
    let (mhz, fraction) = value.trim().split_once('.')?;
    let khz: u64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    Some(mhz.parse::<u64>().ok()? * 1000 + khz)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(boot: &str) -> Key {
        Key {
            boot: boot.to_owned(),
            qemu: "/q".into(),
            version: (1, 2),
            user: 0,
        }
    }

    // the guest itself, on the accelerator that works everywhere
    #[test]
    fn the_guest_shows_that_an_accelerator_works() {
        let qemu = tools::find_qemu(Arch::X86_64).unwrap();
        assert_eq!(
            run_guest(&qemu, Accel::Tcg, Duration::from_secs(120)).unwrap(),
            None
        );
    }

    #[test]
    fn a_guest_that_does_not_run_is_seen_by_the_deadline() {
        let folder = tempfile::tempdir().unwrap();
        let qemu = folder.path().join("qemu");
        fs::write(&qemu, "#!/bin/sh\nexec sleep 1000\n").unwrap();
        fs::set_permissions(&qemu, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let refusal = run_guest(&qemu, Accel::Kvm, Duration::from_millis(50)).unwrap();
        assert!(
            matches!(refusal, Some(Refusal::RunsNoGuest(seen)) if seen.contains("no sign of life"))
        );
    }

    #[test]
    fn a_qemu_that_fails_is_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let qemu = folder.path().join("qemu");
        let script = "#!/bin/sh\necho 'qemu-system-x86_64: warning: x' >&2\necho 'qemu-system-x86_64: error: failed to set MSR 0x10a' >&2\nexit 1\n";
        fs::write(&qemu, script).unwrap();
        fs::set_permissions(&qemu, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let refusal = run_guest(&qemu, Accel::Kvm, Duration::from_secs(60)).unwrap();
        let seen = "error: failed to set MSR 0x10a".to_owned();
        assert_eq!(refusal, Some(Refusal::RunsNoGuest(seen)));
    }

    #[test]
    fn an_answer_is_kept_for_its_host_only() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("deep/kvm.json");
        assert_eq!(recall(&file, &key("a")), None);
        remember(
            &file,
            &Answer {
                key: key("a"),
                refusal: None,
            },
        )
        .unwrap();
        assert_eq!(recall(&file, &key("a")), Some(None));
        assert_eq!(recall(&file, &key("b")), None);
    }

    #[test]
    fn a_no_is_forgotten_in_time() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("kvm.json");
        let refusal = Some(Refusal::RunsNoGuest("x".to_owned()));
        remember(
            &file,
            &Answer {
                key: key("a"),
                refusal: refusal.clone(),
            },
        )
        .unwrap();
        assert_eq!(recall(&file, &key("a")), Some(refusal));
        let old = SystemTime::now() - NO_IS_BELIEVED - Duration::from_secs(60);
        OpenOptions::new()
            .write(true)
            .open(&file)
            .unwrap()
            .set_modified(old)
            .unwrap();
        assert_eq!(recall(&file, &key("a")), None);
    }

    #[test]
    fn the_speed_of_the_counter_is_read() {
        assert_eq!(
            parse_tsc_khz("processor\t: 0\ncpu MHz\t\t: 2596.148\n"),
            Some(2_596_148)
        );
        assert_eq!(parse_tsc_khz("cpu MHz\t\t: 800.0\n"), Some(800_000));
        assert_eq!(parse_tsc_khz(""), None);
    }
}
