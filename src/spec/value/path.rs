//! Paths in the guest, and what may be put there.

use super::Checked;

/// Octets of a path with its NUL (`PATH_MAX`, include/uapi/linux/limits.h).
const PATH_MAX: usize = 4096 - 1;
/// Octets of one component of a path (`NAME_MAX`, include/uapi/linux/limits.h).
const NAME_MAX: usize = 255;

/// Guest paths that belong to init or are mounted over when the machine starts,
/// and what to do instead.
const RESERVED: &[(&str, &str)] = &[
    ("/init", "it is init's"),
    ("/ampoule", "it is init's"),
    ("/proc", "the kernel's files are mounted over it"),
    ("/sys", "the kernel's files are mounted over it"),
    ("/dev", "the kernel's files are mounted over it"),
    ("/run", "a fresh file system is mounted over it"),
    ("/tmp", "a fresh file system is mounted over it"),
    ("/etc/resolv.conf", "init writes it; use the key `dns`"),
];

/// An absolute path in the guest, without `.`, `..` and empty parts.
///
/// # Errors
/// The reason in words.
pub fn guest_path(text: &str) -> Checked<String> {
    let Some(relative) = text.strip_prefix('/') else {
        return Err(format!(
            "`{text}` is no path in the image: it begins with /"
        ));
    };
    let relative = relative.strip_suffix('/').unwrap_or(relative);
    if relative.is_empty() {
        return Ok("/".to_owned());
    }
    if relative
        .split('/')
        .any(|part| matches!(part, "" | "." | ".."))
    {
        return Err(format!("`{text}` has an empty part, `.` or `..` in it"));
    }
    if relative.contains(char::is_control) {
        return Err(format!("`{}` has a control character", text.escape_debug()));
    }
    if relative.len() >= PATH_MAX || relative.split('/').any(|part| part.len() > NAME_MAX) {
        return Err(format!(
            "the path of {} bytes is too long for Linux",
            text.len()
        ));
    }
    Ok(format!("/{relative}"))
}

/// A guest path where a file may be put.
///
/// # Errors
/// The reason in words.
pub fn file_path(text: &str) -> Checked<String> {
    let path = guest_path(text)?;
    free_path(&path)?;
    Ok(path)
}

/// Whether `path`, in the form that [`guest_path`] gives, is free for files.
///
/// # Errors
/// The reason in words.
pub fn free_path(path: &str) -> Checked<()> {
    let under = |top: &str| {
        path.strip_prefix(top)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    match RESERVED.iter().find(|(top, _)| under(top)) {
        Some((top, why)) => Err(format!(
            "nothing can be put at {path}: {top} is taken, {why}"
        )),
        None => Ok(()),
    }
}

/// `HOST:GUEST`, split at the last colon before a `/`, so that a host path may
/// hold colons.
///
/// # Errors
/// The reason in words.
pub fn file(text: &str) -> Checked<(String, String)> {
    match text.rfind(":/") {
        Some(at) if at > 0 => Ok((text[..at].to_owned(), file_path(&text[at + 1..])?)),
        _ => Err(format!(
            "`{text}` is not HOST:GUEST, with a path in the image that begins with /"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guest_paths_are_absolute_and_plain() {
        assert_eq!(guest_path("/srv/a/").as_deref(), Ok("/srv/a"));
        assert_eq!(guest_path("/").as_deref(), Ok("/"));
        for bad in ["", "srv", "/a//b", "/a/../b", "/./a", "/a\nb"] {
            assert!(guest_path(bad).is_err(), "{bad:?}");
        }
        assert!(guest_path(&format!("/{}", "x".repeat(256))).is_err());
    }

    #[test]
    fn what_is_inits_or_mounted_over_is_taken() {
        for bad in [
            "/init",
            "/ampoule/config",
            "/proc",
            "/dev/x",
            "/etc/resolv.conf",
            "/tmp/a",
        ] {
            assert!(file_path(bad).is_err(), "{bad}");
        }
        for good in ["/initrd", "/etc/hosts", "/srv/proc", "/"] {
            assert!(file_path(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn host_and_guest_part_at_the_last_colon_before_a_slash() {
        assert_eq!(file("a:/b"), Ok(("a".into(), "/b".into())));
        assert_eq!(file("C:/x:y:/b"), Ok(("C:/x:y".into(), "/b".into())));
        for bad in ["a", ":/b", "a:b", ""] {
            assert!(file(bad).is_err(), "{bad}");
        }
    }
}
