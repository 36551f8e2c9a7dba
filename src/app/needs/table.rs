//! What strings, crates and modules tell of needs.
//!
//! A string is in this table when no runtime and no C library carries it for every
//! program: `/proc/self/exe`, `/dev/urandom` or `/sys/fs/cgroup` say nothing. In a
//! program of Go strings say nothing at all, since its linker drops functions one by
//! one: there the functions that are linked in decide (the file `go.rs`).

use crate::need::Confidence::{self, Certain, Likely, Possible};
use crate::need::NeedKind;

/// A kind of need, as a constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    Ca,
    Zones,
    Users,
    Names,
    Mime,
    Device(&'static str),
    Proc(&'static str),
    Sys(&'static str),
    Writable(&'static str),
    Kernel(&'static str),
}

impl What {
    pub fn kind(self) -> NeedKind {
        match self {
            What::Ca => NeedKind::CaCertificates,
            What::Zones => NeedKind::TimeZones,
            What::Users => NeedKind::Users,
            What::Names => NeedKind::NameResolution,
            What::Mime => NeedKind::MimeTypes,
            What::Device(path) => NeedKind::Device(path.to_owned()),
            What::Proc(path) => NeedKind::Proc(path.to_owned()),
            What::Sys(path) => NeedKind::Sys(path.to_owned()),
            What::Writable(path) => NeedKind::Writable(path.to_owned()),
            What::Kernel(option) => NeedKind::Kernel(option.to_owned()),
        }
    }
}

/// How a string has to stand in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stands {
    /// Anywhere: Rust puts strings one behind the other.
    Anywhere,
    /// As a whole string of C, NUL before and behind.
    Whole,
}

/// A string and what it tells in a program that is not of Go.
pub struct Text {
    pub text: &'static str,
    pub stands: Stands,
    pub what: What,
    pub confidence: Confidence,
}

const fn anywhere(text: &'static str, what: What, confidence: Confidence) -> Text {
    Text {
        text,
        stands: Stands::Anywhere,
        what,
        confidence,
    }
}

const fn whole(text: &'static str, what: What, confidence: Confidence) -> Text {
    Text {
        text,
        stands: Stands::Whole,
        what,
        confidence,
    }
}

const fn device(text: &'static str) -> Text {
    whole(text, What::Device(text), Likely)
}

const fn proc(text: &'static str) -> Text {
    whole(text, What::Proc(text), Likely)
}

const fn sys(text: &'static str) -> Text {
    whole(text, What::Sys(text), Possible)
}

pub const TEXTS: &[Text] = &[
    // rustls-platform-verifier and hyper-rustls give up with these words, and most
    // callers with them
    anywhere(
        "No CA certificates were loaded from the system",
        What::Ca,
        Certain,
    ),
    anywhere("no native root CA certificates found", What::Ca, Certain),
    anywhere("/etc/ssl/certs/ca-certificates.crt", What::Ca, Likely),
    anywhere("/etc/pki/tls/certs/ca-bundle.crt", What::Ca, Likely),
    // where OpenSSL was configured to look: each program with it has these
    whole("/usr/local/ssl/cert.pem", What::Ca, Possible),
    whole("/usr/lib/ssl/cert.pem", What::Ca, Possible),
    whole("/etc/ssl/cert.pem", What::Ca, Possible),
    // localtime(3) of each C library looks there when TZ names a zone
    anywhere("/usr/share/zoneinfo", What::Zones, Possible),
    // getpwnam(3), getgrnam(3) and relatives
    whole("/etc/passwd", What::Users, Likely),
    whole("/etc/group", What::Users, Likely),
    // getaddrinfo(3) and relatives
    whole("/etc/resolv.conf", What::Names, Likely),
    whole("/etc/hosts", What::Names, Likely),
    whole("/etc/mime.types", What::Mime, Likely),
    anywhere("/usr/share/mime/globs2", What::Mime, Possible),
    device("/dev/net/tun"),
    device("/dev/fuse"),
    device("/dev/kvm"),
    device("/dev/vhost-net"),
    device("/dev/vhost-vsock"),
    device("/dev/vsock"),
    device("/dev/loop-control"),
    device("/dev/ptmx"),
    device("/dev/watchdog"),
    device("/dev/rtc"),
    device("/dev/nvidiactl"),
    device("/dev/dri/card0"),
    device("/dev/dri/renderD128"),
    device("/dev/uinput"),
    device("/dev/i2c-1"),
    device("/dev/kmsg"),
    device("/dev/mem"),
    // glibc and GHC's runtime look there by themselves
    whole("/proc/mounts", What::Proc("/proc/mounts"), Possible),
    whole("/proc/cpuinfo", What::Proc("/proc/cpuinfo"), Possible),
    whole(
        "/proc/self/status",
        What::Proc("/proc/self/status"),
        Possible,
    ),
    proc("/proc/self/mounts"),
    proc("/proc/loadavg"),
    proc("/proc/uptime"),
    proc("/proc/diskstats"),
    proc("/proc/partitions"),
    proc("/proc/filesystems"),
    proc("/proc/modules"),
    proc("/proc/cmdline"),
    proc("/proc/vmstat"),
    proc("/proc/version"),
    proc("/proc/net/dev"),
    proc("/proc/net/route"),
    proc("/proc/net/tcp"),
    proc("/proc/self/statm"),
    proc("/proc/self/smaps"),
    proc("/proc/self/stat"),
    proc("/proc/self/limits"),
    proc("/proc/self/cmdline"),
    proc("/proc/self/oom_score_adj"),
    sys("/sys/class/net"),
    sys("/sys/block"),
    sys("/sys/class/hwmon"),
    sys("/sys/class/dmi/id"),
    sys("/sys/class/thermal"),
    sys("/sys/class/power_supply"),
    sys("/sys/devices/system/node"),
    sys("/sys/kernel/debug"),
    sys("/sys/fs/bpf"),
    sys("/sys/bus/pci/devices"),
];

/// A package of Rust or Go that is there for one thing only.
pub struct Package {
    pub name: &'static str,
    pub what: What,
    pub confidence: Confidence,
}

const fn package(name: &'static str, what: What, confidence: Confidence) -> Package {
    Package {
        name,
        what,
        confidence,
    }
}

/// Crates, by their names.
pub const CRATES: &[Package] = &[
    package("rustls-native-certs", What::Ca, Likely),
    package("openssl-probe", What::Ca, Likely),
    package("rustls-platform-verifier", What::Ca, Likely),
    package("procfs", What::Proc("/proc"), Likely),
    package("sysinfo", What::Proc("/proc"), Likely),
    package("tokio-vsock", What::Kernel("VSOCKETS"), Likely),
    package("vsock", What::Kernel("VSOCKETS"), Likely),
    package("aya", What::Kernel("BPF_SYSCALL"), Likely),
    package("libbpf-rs", What::Kernel("BPF_SYSCALL"), Likely),
    package("fuser", What::Kernel("FUSE_FS"), Likely),
    package("fanotify-rs", What::Kernel("FANOTIFY"), Likely),
];

/// Modules, by the start of their paths. Those of ACME call authorities of the world.
pub const MODULES: &[Package] = &[
    package("github.com/caddyserver/certmagic", What::Ca, Likely),
    package("github.com/go-acme/lego", What::Ca, Likely),
    package("github.com/mholt/acmez", What::Ca, Likely),
    package("github.com/prometheus/procfs", What::Proc("/proc"), Likely),
    package("github.com/shirou/gopsutil", What::Proc("/proc"), Likely),
    package(
        "github.com/moby/sys/mountinfo",
        What::Proc("/proc/self/mountinfo"),
        Likely,
    ),
    package(
        "github.com/mdlayher/vsock",
        What::Kernel("VSOCKETS"),
        Likely,
    ),
    package(
        "github.com/cilium/ebpf",
        What::Kernel("BPF_SYSCALL"),
        Likely,
    ),
    package("github.com/hanwen/go-fuse", What::Kernel("FUSE_FS"), Likely),
    package("bazil.org/fuse", What::Kernel("FUSE_FS"), Likely),
    package(
        "github.com/google/nftables",
        What::Kernel("NF_TABLES"),
        Likely,
    ),
    package(
        "github.com/songgao/water",
        What::Device("/dev/net/tun"),
        Likely,
    ),
    package(
        "golang.zx2c4.com/wireguard",
        What::Device("/dev/net/tun"),
        Likely,
    ),
    package(
        "github.com/opencontainers/runc",
        What::Kernel("NAMESPACES"),
        Likely,
    ),
];
