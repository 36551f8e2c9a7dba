//! What stands behind which option of Linux 6.12, and what becomes of a program
//! where it is missing.
//!
//! Calls: kernel/sys_ni.c lists those that an option can take away, by the file that
//! they are in; the Makefile beside that file names the option. Paths: the driver's
//! or file system's own Kconfig entry.
//!
//! `missing` is judged by what programs do when the call fails with ENOSYS. A call
//! that no program is for, and that run-times and libraries try on the way, is a note;
//! one that is the purpose of whoever makes it is an error.

use super::Level;

/// System calls that one option brings.
pub(super) struct Calls {
    pub(super) calls: &'static [&'static str],
    pub(super) option: &'static str,
    pub(super) missing: Level,
    pub(super) what: &'static str,
}

/// A device, or a file of /proc or /sys, that one option brings, with all under it.
pub(super) struct Path {
    pub(super) path: &'static str,
    pub(super) option: &'static str,
    pub(super) missing: Level,
    pub(super) what: &'static str,
}

/// A feature without a call or path of its own.
pub(super) struct Feature {
    pub(super) option: &'static str,
    pub(super) missing: Level,
    pub(super) what: &'static str,
}

const fn calls(
    calls: &'static [&'static str],
    option: &'static str,
    missing: Level,
    what: &'static str,
) -> Calls {
    Calls {
        calls,
        option,
        missing,
        what,
    }
}

const fn path(
    path: &'static str,
    option: &'static str,
    missing: Level,
    what: &'static str,
) -> Path {
    Path {
        path,
        option,
        missing,
        what,
    }
}

const fn feature(option: &'static str, missing: Level, what: &'static str) -> Feature {
    Feature {
        option,
        missing,
        what,
    }
}

use Level::{Error, Note, Warning};

#[rustfmt::skip]
pub(super) const CALLS: &[Calls] = &[
    // nothing takes their place: who makes them looks into other processes
    calls(&["process_vm_readv", "process_vm_writev"], "CROSS_MEMORY_ATTACH", Error, "reading and writing the memory of other processes"),
    // the machine's owner's tools: pointless here, and beyond an app's rights
    calls(&["fanotify_init", "fanotify_mark"], "FANOTIFY", Error, "watching whole file systems"),
    calls(&["kexec_load"], "KEXEC", Error, "starting another kernel"),
    calls(&["kexec_file_load"], "KEXEC_FILE", Error, "starting another kernel"),
    calls(&["init_module", "finit_module", "delete_module"], "MODULES", Error, "loading kernel modules"),
    calls(&["swapon", "swapoff"], "SWAP", Error, "swap space"),
    calls(&["quotactl", "quotactl_fd"], "QUOTACTL", Error, "disk quotas"),
    calls(&["acct"], "BSD_PROCESS_ACCT", Error, "process accounting"),
    calls(&["io_setup", "io_submit", "io_getevents", "io_pgetevents", "io_cancel", "io_destroy"], "AIO", Warning, "asynchronous disk I/O"),
    calls(&["epoll_create", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2"], "EPOLL", Error, "event loops"),
    calls(&["eventfd", "eventfd2"], "EVENTFD", Error, "event loops"),
    calls(&["signalfd", "signalfd4"], "SIGNALFD", Error, "signals as files"),
    calls(&["timerfd_create", "timerfd_settime", "timerfd_gettime"], "TIMERFD", Error, "timers as files"),
    calls(&["timer_create", "timer_settime", "timer_gettime", "timer_delete", "timer_getoverrun"], "POSIX_TIMERS", Error, "timers"),
    calls(&["socket", "bind", "listen", "accept", "accept4", "connect"], "NET", Error, "the network"),
    calls(&["futex", "futex_waitv", "set_robust_list"], "FUTEX", Error, "threads"),
    calls(&["setuid", "setgid", "setgroups", "setresuid", "setresgid"], "MULTIUSER", Error, "users"),
    calls(&["flock"], "FILE_LOCKING", Error, "file locks"),
    calls(&["inotify_init", "inotify_init1", "inotify_add_watch", "inotify_rm_watch"], "INOTIFY_USER", Error, "watching files"),
    calls(&["shmget", "shmat", "shmctl", "shmdt", "semget", "semop", "semctl", "semtimedop", "msgget", "msgsnd", "msgrcv", "msgctl"], "SYSVIPC", Error, "shared memory, semaphores and queues of System V"),
    calls(&["mq_open", "mq_unlink", "mq_timedsend", "mq_timedreceive", "mq_notify", "mq_getsetattr"], "POSIX_MQUEUE", Warning, "POSIX message queues"),
    // language run-times and libraries carry these for the programs that ask for them
    calls(&["bpf"], "BPF_SYSCALL", Warning, "programs in the kernel"),
    calls(&["userfaultfd"], "USERFAULTFD", Warning, "page faults handled by programs"),
    calls(&["perf_event_open"], "PERF_EVENTS", Warning, "performance counters"),
    calls(&["add_key", "request_key", "keyctl"], "KEYS", Warning, "the kernel's key rings"),
    calls(&["open_by_handle_at", "name_to_handle_at"], "FHANDLE", Warning, "files by handle"),
    calls(&["seccomp"], "SECCOMP", Warning, "an own filter of system calls"),
    calls(&["landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"], "SECURITY_LANDLOCK", Note, "an own sandbox"),
    calls(&["io_uring_setup", "io_uring_enter", "io_uring_register"], "IO_URING", Warning, "io_uring"),
    calls(&["memfd_create"], "MEMFD_CREATE", Warning, "files in memory"),
    calls(&["modify_ldt"], "MODIFY_LDT_SYSCALL", Warning, "own segment descriptors"),
    calls(&["iopl", "ioperm"], "X86_IOPL_IOPERM", Warning, "I/O ports"),
    // tried on the way; ENOSYS is an answer that every caller knows
    calls(&["memfd_secret"], "SECRETMEM", Note, "memory that the kernel does not map"),
    calls(&["membarrier"], "MEMBARRIER", Note, "cheap memory barriers"),
    calls(&["rseq"], "RSEQ", Note, "restartable sequences"),
    calls(&["madvise", "process_madvise", "fadvise64"], "ADVISE_SYSCALLS", Note, "advice on memory and files"),
    calls(&["mbind", "get_mempolicy", "set_mempolicy", "set_mempolicy_home_node", "migrate_pages", "move_pages"], "NUMA", Note, "placing memory on nodes of a large machine"),
    calls(&["pkey_alloc", "pkey_free", "pkey_mprotect"], "ARCH_HAS_PKEYS", Note, "memory protection keys"),
    calls(&["kcmp"], "KCMP", Note, "comparing processes"),
    calls(&["cachestat"], "CACHESTAT_SYSCALL", Note, "statistics of the page cache"),
    calls(&["lsm_get_self_attr", "lsm_set_self_attr", "lsm_list_modules"], "SECURITY", Note, "security modules"),
    calls(&["map_shadow_stack"], "X86_USER_SHADOW_STACK", Note, "shadow stacks"),
    calls(&["sysfs"], "SYSFS_SYSCALL", Note, "an old list of file systems"),
    calls(&["uselib"], "USELIB", Note, "libraries of 1995"),
];

#[rustfmt::skip]
pub(super) const PATHS: &[Path] = &[
    path("/dev/fuse", "FUSE_FS", Error, "file systems in programs (FUSE)"),
    path("/dev/cuse", "CUSE", Error, "devices in programs"),
    path("/dev/kvm", "KVM", Error, "virtual machines"),
    path("/dev/vhost-net", "VHOST_NET", Warning, "virtual machines' network"),
    path("/dev/vhost-vsock", "VHOST_VSOCK", Warning, "virtual machines' sockets"),
    path("/dev/vsock", "VSOCKETS", Error, "sockets to the host (AF_VSOCK)"),
    path("/dev/net/tun", "TUN", Error, "network tunnels"),
    path("/dev/ppp", "PPP", Error, "point-to-point links"),
    path("/dev/loop", "BLK_DEV_LOOP", Error, "files as disks"),
    path("/dev/loop-control", "BLK_DEV_LOOP", Error, "files as disks"),
    path("/dev/nbd", "BLK_DEV_NBD", Error, "disks over the network"),
    path("/dev/mapper/control", "BLK_DEV_DM", Error, "mapped disks"),
    path("/dev/mem", "DEVMEM", Error, "physical memory"),
    path("/dev/kmsg", "PRINTK", Warning, "the kernel's log"),
    path("/dev/port", "DEVPORT", Error, "I/O ports"),
    path("/dev/cpu", "X86_MSR", Warning, "model-specific registers"),
    path("/dev/ptmx", "UNIX98_PTYS", Error, "pseudo-terminals"),
    path("/dev/pts", "UNIX98_PTYS", Error, "pseudo-terminals"),
    path("/dev/dri", "DRM", Error, "graphics"),
    path("/dev/snd", "SOUND", Error, "sound"),
    path("/dev/dsp", "SOUND", Error, "sound"),
    path("/dev/video", "MEDIA_SUPPORT", Error, "cameras"),
    path("/dev/input", "INPUT_EVDEV", Error, "input devices"),
    path("/dev/uinput", "INPUT_UINPUT", Error, "input devices of programs"),
    path("/dev/bus/usb", "USB", Error, "USB devices"),
    path("/dev/ttyUSB", "USB_SERIAL", Error, "serial ports by USB"),
    path("/dev/i2c", "I2C_CHARDEV", Error, "I2C devices"),
    path("/dev/spidev", "SPI_SPIDEV", Error, "SPI devices"),
    path("/dev/gpiochip", "GPIOLIB", Error, "GPIO pins"),
    path("/dev/watchdog", "WATCHDOG", Error, "a watchdog"),
    path("/dev/tpm", "TCG_TPM", Error, "a TPM"),
    path("/dev/tpmrm", "TCG_TPM", Error, "a TPM"),
    path("/dev/hugepages", "HUGETLBFS", Warning, "huge pages"),
    path("/dev/mqueue", "POSIX_MQUEUE", Warning, "POSIX message queues"),
    path("/dev/binder", "ANDROID_BINDER_IPC", Error, "Android's binder"),
    path("/dev/userfaultfd", "USERFAULTFD", Warning, "page faults handled by programs"),
    path("/proc/kcore", "PROC_KCORE", Warning, "the kernel's memory"),
    path("/proc/vmcore", "CRASH_DUMP", Warning, "a crashed kernel's memory"),
    path("/proc/config.gz", "IKCONFIG_PROC", Note, "the kernel's configuration"),
    path("/proc/kallsyms", "KALLSYMS", Note, "the kernel's symbols"),
    path("/proc/modules", "MODULES", Note, "a list of kernel modules"),
    path("/proc/self/pagemap", "PROC_PAGE_MONITOR", Note, "physical addresses of pages"),
    path("/proc/kpagecount", "PROC_PAGE_MONITOR", Note, "counts of pages"),
    path("/proc/sys/fs/binfmt_misc", "BINFMT_MISC", Warning, "new program formats"),
    path("/proc/sysrq-trigger", "MAGIC_SYSRQ", Warning, "commands to the kernel"),
    path("/proc/swaps", "SWAP", Note, "a list of swap spaces"),
    path("/proc/sys/net/netfilter", "NF_CONNTRACK", Note, "connection tracking"),
    path("/proc/net/nf_conntrack", "NF_CONNTRACK", Note, "connection tracking"),
    path("/proc/pressure", "PSI", Note, "pressure figures"),
    path("/proc/self/ns/user", "USER_NS", Note, "user name spaces"),
    path("/proc/self/ns/net", "NET_NS", Note, "network name spaces"),
    path("/proc/self/ns/pid", "PID_NS", Note, "process name spaces"),
    path("/sys/fs/bpf", "BPF_SYSCALL", Warning, "programs in the kernel"),
    path("/sys/fs/fuse", "FUSE_FS", Warning, "file systems in programs (FUSE)"),
    path("/sys/kernel/debug", "DEBUG_FS", Warning, "the kernel's debugging interfaces"),
    path("/sys/kernel/tracing", "FTRACE", Warning, "tracing"),
    path("/sys/kernel/btf", "DEBUG_INFO_BTF", Warning, "types of the kernel"),
    path("/sys/kernel/mm/hugepages", "HUGETLBFS", Note, "huge pages"),
    path("/sys/kernel/mm/ksm", "KSM", Note, "memory shared by content"),
    path("/sys/kernel/security/apparmor", "SECURITY_APPARMOR", Note, "AppArmor"),
    path("/sys/module/apparmor", "SECURITY_APPARMOR", Note, "AppArmor"),
    path("/sys/fs/selinux", "SECURITY_SELINUX", Note, "SELinux"),
    path("/sys/fs/cgroup", "CGROUPS", Warning, "control groups"),
];

#[rustfmt::skip]
pub(super) const FEATURES: &[Feature] = &[
    // tried first and left when refused: Go listens by MPTCP from 1.24 on
    feature("MPTCP", Note, "TCP over several paths"),
    feature("TLS", Note, "TLS in the kernel"),
    feature("UNIX", Error, "local sockets"),
    feature("INET", Error, "IPv4"),
    feature("IPV6", Error, "IPv6"),
    feature("PACKET", Error, "packets below IP (AF_PACKET)"),
    feature("VSOCKETS", Error, "sockets to the host (AF_VSOCK)"),
    feature("CRYPTO_USER_API", Note, "the kernel's cryptography (AF_ALG)"),
    feature("XDP_SOCKETS", Warning, "packets past the protocol stack (AF_XDP)"),
    feature("IP_SCTP", Warning, "SCTP"),
    feature("IP_DCCP", Warning, "DCCP"),
    feature("CAN", Error, "CAN buses"),
    feature("BT", Error, "Bluetooth"),
    feature("NETFILTER", Error, "packet filters"),
    feature("NF_TABLES", Error, "packet filters"),
    feature("INET_DIAG", Note, "questions about sockets"),
    feature("USER_NS", Error, "user name spaces"),
    feature("PID_NS", Error, "process name spaces"),
    feature("NET_NS", Error, "network name spaces"),
    feature("IPC_NS", Error, "name spaces of System V's IPC"),
    feature("UTS_NS", Error, "name spaces of host names"),
    feature("HUGETLBFS", Warning, "huge pages"),
    feature("TRANSPARENT_HUGEPAGE", Note, "huge pages without being asked"),
    feature("FUSE_FS", Error, "file systems in programs (FUSE)"),
    feature("OVERLAY_FS", Error, "overlaid file systems"),
    feature("NFS_FS", Error, "NFS"),
    feature("CIFS", Error, "SMB shares"),
    feature("EXT4_FS", Error, "ext4"),
    feature("XFS_FS", Error, "XFS"),
    feature("BTRFS_FS", Error, "Btrfs"),
    feature("SQUASHFS", Error, "SquashFS"),
    feature("EROFS_FS", Error, "EROFS"),
];
