//! What a library's functions load at run time, which no dynamic section says.

/// What follows from a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loads {
    /// These libraries; without them it fails.
    Libraries(&'static [&'static str]),
    /// The modules of glibc's name service, which were files before 2.34.
    NameService,
    /// Files that cannot be told.
    Unknown(&'static str),
}

/// Functions of glibc and what they load.
pub const CALLS: &[(&[&str], Loads)] = &[
    // nss/nsswitch.c
    (
        &[
            "getaddrinfo",
            "gethostbyname",
            "gethostbyname2",
            "gethostbyname_r",
            "gethostbyname2_r",
            "gethostbyaddr",
            "gethostbyaddr_r",
            "getnameinfo",
            "getpwnam",
            "getpwnam_r",
            "getpwuid",
            "getpwuid_r",
            "getgrnam",
            "getgrnam_r",
            "getgrgid",
            "getgrgid_r",
            "getgrouplist",
            "initgroups",
            "getservbyname",
            "getservbyname_r",
        ],
        Loads::NameService,
    ),
    // misc/unwind-link.c: a thread is unwound by it, and the process aborts without
    (
        &["pthread_cancel", "pthread_exit", "thrd_exit", "backtrace"],
        Loads::Libraries(&["libgcc_s.so.1"]),
    ),
    // iconv/gconv_db.c: what glibc converts by itself are UTF-8, UTF-16, UTF-32 and ASCII
    (
        &["iconv_open"],
        Loads::Unknown(
            "converters between character sets (gconv) are not brought: only UTF-8, UTF-16, UTF-32 and ASCII are known",
        ),
    ),
    (
        &["dlopen", "dlmopen"],
        Loads::Unknown("what it loads by name at run time is not known: bring it with --file"),
    ),
];

/// The modules of glibc's name service that files and DNS need.
pub const NAME_SERVICE: &[&str] = &["libnss_files.so.2", "libnss_dns.so.2"];
/// The version of glibc's symbols from which on those are in libc.so.6 itself.
pub const NAME_SERVICE_WITHIN: &str = "GLIBC_2.34";

/// Every name in [`CALLS`].
pub fn names() -> Vec<&'static str> {
    CALLS
        .iter()
        .flat_map(|(names, _)| *names)
        .copied()
        .collect()
}
