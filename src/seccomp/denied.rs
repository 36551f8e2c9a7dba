//! Calls that a server in a sealed machine never needs: what the policy `default` refuses.
//!
//! An app has no capabilities, so the kernel would refuse most of these anyhow. The filter
//! refuses them before any of the kernel's code for them runs, which is where the faults
//! are that turn an app's flaw into the machine's.

/// Calls that are refused for the same reason.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    /// The calls, by name; an architecture may not have all of them.
    pub calls: &'static [&'static str],
    /// Why no app needs them.
    pub reason: &'static str,
}

/// The table.
pub const GROUPS: &[Group] = &[
    Group {
        calls: &[
            "mount",
            "umount2",
            "mount_setattr",
            "move_mount",
            "open_tree",
            "fsopen",
            "fsconfig",
            "fsmount",
            "fspick",
        ],
        reason: "the file systems are those that init mounted",
    },
    Group {
        calls: &["pivot_root", "chroot"],
        reason: "the root is the image",
    },
    Group {
        calls: &["unshare", "setns"],
        reason: "the app is alone: there is nobody to be set apart from, and a name space gives \
                 the capabilities back that were dropped",
    },
    Group {
        calls: &["open_by_handle_at"],
        reason: "a handle reaches files past the directories that guard them",
    },
    Group {
        calls: &["swapon", "swapoff", "quotactl", "quotactl_fd", "acct"],
        reason: "there is no disk for swap, quotas or process accounts",
    },
    Group {
        calls: &["reboot", "kexec_load", "kexec_file_load", "vhangup"],
        reason: "the end of the machine is init's",
    },
    Group {
        calls: &["init_module", "finit_module", "delete_module"],
        reason: "the kernel has no modules",
    },
    Group {
        calls: &["bpf", "perf_event_open", "syslog"],
        reason: "programs inside the kernel, its counters and its log are for who administers \
                 a machine",
    },
    Group {
        calls: &[
            "ptrace",
            "process_vm_readv",
            "process_vm_writev",
            "process_madvise",
            "kcmp",
            "pidfd_getfd",
        ],
        reason: "one process has no business in another's memory or files",
    },
    Group {
        calls: &["userfaultfd"],
        reason: "holding the kernel up in the middle of a copy is a step of most attacks on it",
    },
    Group {
        calls: &["add_key", "request_key", "keyctl"],
        reason: "the kernel's key rings keep nothing for a server",
    },
    Group {
        calls: &["settimeofday", "clock_settime", "clock_adjtime", "adjtimex"],
        reason: "the clock is the machine's",
    },
    Group {
        calls: &["sethostname", "setdomainname"],
        reason: "the machine's name is set by init",
    },
    Group {
        calls: &["iopl", "ioperm", "modify_ldt"],
        reason: "ports and segments of the processor are the kernel's",
    },
    Group {
        calls: &["fanotify_init", "fanotify_mark"],
        reason: "watching every file of a machine is for who administers it",
    },
];

/// Every call of the table by name.
pub fn names() -> impl Iterator<Item = &'static str> {
    GROUPS.iter().flat_map(|group| group.calls).copied()
}
