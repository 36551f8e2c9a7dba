//! Which argument of a call init shows when the call is refused.

use ampoule_init::seccomp::Shown;

/// Calls whose argument with this number is a path, where it says what the call is about:
/// of two paths, the one that is changed.
const PATHS: &[(usize, &[&str])] = &[
    (
        0,
        &[
            "open",
            "creat",
            "stat",
            "lstat",
            "access",
            "readlink",
            "mkdir",
            "rmdir",
            "unlink",
            "chdir",
            "chmod",
            "chown",
            "lchown",
            "truncate",
            "utime",
            "utimes",
            "mknod",
            "statfs",
            "execve",
            "uselib",
            "chroot",
            "pivot_root",
            "swapon",
            "swapoff",
            "acct",
            "umount2",
            "setxattr",
            "lsetxattr",
            "getxattr",
            "lgetxattr",
            "listxattr",
            "llistxattr",
            "removexattr",
            "lremovexattr",
            "memfd_create",
            "fsopen",
            "mq_open",
            "mq_unlink",
        ],
    ),
    (
        1,
        &[
            "openat",
            "openat2",
            "newfstatat",
            "statx",
            "faccessat",
            "faccessat2",
            "readlinkat",
            "mkdirat",
            "unlinkat",
            "fchmodat",
            "fchmodat2",
            "fchownat",
            "utimensat",
            "futimesat",
            "mknodat",
            "execveat",
            "mount",
            "mount_setattr",
            "open_tree",
            "move_mount",
            "fspick",
            "quotactl",
            "name_to_handle_at",
            "inotify_add_watch",
            "rename",
            "link",
            "symlink",
        ],
    ),
    (2, &["symlinkat"]),
    (3, &["renameat", "renameat2", "linkat"]),
    (4, &["fanotify_mark"]),
];

/// Calls whose argument with this number is a socket's address.
const ADDRESSES: &[(usize, &[&str])] = &[(1, &["connect", "bind"]), (4, &["sendto"])];

/// What is shown of the call `name`.
#[must_use]
pub fn of(name: &str) -> Option<Shown> {
    let place = |table: &[(usize, &[&str])]| {
        let row = table.iter().find(|(_, names)| names.contains(&name));
        row.map(|(place, _)| *place)
    };
    place(PATHS)
        .map(Shown::Path)
        .or_else(|| place(ADDRESSES).map(Shown::Address))
}

/// Every call of the tables, for the test that holds them against the kernel's names.
#[cfg(test)]
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    let all = PATHS.iter().chain(ADDRESSES);
    all.flat_map(|(_, names)| names.iter().copied())
}
