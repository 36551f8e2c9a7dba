//! The single values that file and flags share, each checked by itself.
//!
//! Every parser gives the reason in words when it refuses; who calls adds where
//! the value was written.

mod network;
mod path;

use ampoule_init::wire::{MAX_HOSTNAME, MAX_PORTS, OnExit};

pub use network::{name_server, name_servers, static_network};
pub use path::{file, file_path, free_path, guest_path};

/// A user and its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    /// The user's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
}

/// Octets of a label of a host name (RFC 1123 section 2.1, RFC 1034 section 3.1).
const LABEL_MAX: usize = 63;
/// Octets of one argument or environment string with its NUL (`MAX_ARG_STRLEN`,
/// include/uapi/linux/binfmts.h: 32 pages).
const ARG_MAX: usize = 32 * 4096 - 1;
/// The longest time that a setting may ask for: a day, in seconds.
const SECONDS_MAX: u32 = 24 * 60 * 60;
/// The most memory that a setting may ask for: a TiB, in MiB.
const MEMORY_MAX: u32 = 1 << 20;

/// A value, or why it is refused.
pub type Checked<T> = Result<T, String>;

/// A name for an image: a label of a host name (RFC 1123 section 2.1), lower case.
///
/// # Errors
/// The reason in words.
pub fn name(text: &str) -> Checked<String> {
    if is_label(text) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "`{text}` is no name: up to {LABEL_MAX} of a-z, 0-9 and inner hyphens"
        ))
    }
}

/// A name for an image made from the app's file name.
#[must_use]
pub fn name_from(file_name: &str) -> Option<String> {
    let kept: String = file_name
        .chars()
        .map(|c| match c.to_ascii_lowercase() {
            c @ ('a'..='z' | '0'..='9') => c,
            _ => '-',
        })
        .take(LABEL_MAX)
        .collect();
    let trimmed = kept.trim_matches('-');
    is_label(trimmed).then(|| trimmed.to_owned())
}

fn is_label(text: &str) -> bool {
    let octets = text.as_bytes();
    (1..=LABEL_MAX).contains(&octets.len())
        && octets
            .iter()
            .all(|c| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// A host name: labels with dots between them.
///
/// # Errors
/// The reason in words.
pub fn hostname(text: &str) -> Checked<String> {
    if text.len() <= MAX_HOSTNAME && text.split('.').all(is_label) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "`{text}` is no host name: up to {MAX_HOSTNAME} of a-z, 0-9 and inner hyphens, in parts with dots between"
    ))
}

/// A TCP port.
///
/// # Errors
/// The reason in words.
pub fn port(number: i64) -> Checked<u16> {
    match u16::try_from(number) {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(format!("{number} is no port: 1 to 65535")),
    }
}

/// TCP ports, none twice.
///
/// # Errors
/// The reason in words.
pub fn ports(list: Vec<u16>) -> Checked<Vec<u16>> {
    if list.len() > MAX_PORTS {
        return Err(format!(
            "{} ports; init watches up to {MAX_PORTS}",
            list.len()
        ));
    }
    let mut seen = std::collections::BTreeSet::new();
    match list.iter().find(|port| !seen.insert(**port)) {
        Some(port) => Err(format!("port {port} is there twice")),
        None => Ok(list),
    }
}

/// `UID` or `UID:GID`; the group is the user's number if it is not said.
///
/// # Errors
/// The reason in words.
pub fn user(text: &str) -> Checked<User> {
    let (uid, gid) = text.split_once(':').unwrap_or((text, text));
    match (id(uid), id(gid)) {
        (Some(uid), Some(gid)) => Ok(User { uid, gid }),
        _ => Err(format!(
            "`{text}` is no user: UID or UID:GID in numbers; an image knows no names"
        )),
    }
}

/// A number of a user or group; the last one means "unchanged" to the kernel
/// (chown(2), setresuid(2)).
fn id(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    digits
        .then(|| text.parse().ok())?
        .filter(|id| *id != u32::MAX)
}

/// The name of an environment variable.
///
/// # Errors
/// The reason in words.
pub fn env_key(text: &str) -> Checked<String> {
    let plain = !text.is_empty() && text.bytes().all(|c| c.is_ascii_graphic() && c != b'=');
    if plain {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "`{}` is no name of a variable: letters, digits and signs without `=` and spaces",
            text.escape_debug()
        ))
    }
}

/// `K=V`, where V may be empty and hold anything.
///
/// # Errors
/// The reason in words.
pub fn env(text: &str) -> Checked<(String, String)> {
    let (key, value) = text.split_once('=').ok_or_else(|| {
        format!("`{text}` has no `=`: give the value too, the host's is never taken")
    })?;
    Ok((env_key(key)?, argument(value)?))
}

/// A string that the kernel takes as an argument or variable.
///
/// # Errors
/// The reason in words.
pub fn argument(text: &str) -> Checked<String> {
    if text.contains('\0') {
        return Err("a NUL cannot be passed to a program".to_owned());
    }
    if text.len() >= ARG_MAX {
        return Err(format!(
            "{} bytes in one string; Linux takes up to {ARG_MAX}",
            text.len()
        ));
    }
    Ok(text.to_owned())
}

/// What a refusal names: a program by path or name, or an option of the kernel.
///
/// # Errors
/// The reason in words.
pub fn accepted(text: &str) -> Checked<String> {
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err("give the name that the refusal gave".to_owned());
    }
    Ok(text.to_owned())
}

/// A time: `10s` or `2m`; in seconds.
///
/// # Errors
/// The reason in words.
pub fn seconds(text: &str) -> Checked<u32> {
    let refused = || format!("`{text}` is no time: write it like \"10s\" or \"2m\", up to a day");
    let (digits, scale) = match text.as_bytes().last() {
        Some(b's') => (&text[..text.len() - 1], 1),
        Some(b'm') => (&text[..text.len() - 1], 60),
        _ => return Err(refused()),
    };
    scaled(digits, scale, SECONDS_MAX).ok_or_else(refused)
}

/// An amount of memory: `64MiB` or `2GiB`; in MiB.
///
/// # Errors
/// The reason in words.
pub fn memory(text: &str) -> Checked<u32> {
    let refused =
        || format!("`{text}` is no amount of memory: write it like \"64MiB\" or \"2GiB\"");
    let (digits, scale) = match (text.strip_suffix("MiB"), text.strip_suffix("GiB")) {
        (Some(digits), _) => (digits, 1),
        (_, Some(digits)) => (digits, 1024),
        _ => return Err(refused()),
    };
    scaled(digits.trim_end(), scale, MEMORY_MAX).ok_or_else(refused)
}

fn scaled(digits: &str, scale: u32, most: u32) -> Option<u32> {
    let plain = !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit());
    let number: u32 = plain.then(|| digits.parse().ok())??;
    number.checked_mul(scale).filter(|number| *number <= most)
}

/// `poweroff` or `reboot`.
///
/// # Errors
/// The reason in words.
pub fn on_exit(text: &str) -> Checked<OnExit> {
    match text {
        "poweroff" => Ok(OnExit::PowerOff),
        "reboot" => Ok(OnExit::Reboot),
        _ => Err(format!("`{text}` is neither \"poweroff\" nor \"reboot\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_labels() {
        for good in ["a", "a-1", "0x", &"a".repeat(63)] {
            assert!(name(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a.b", "a_b", "ä", &"a".repeat(64)] {
            assert!(name(bad).is_err(), "{bad}");
        }
        assert!(hostname("web-1.example.net").is_ok());
        assert!(hostname("web..net").is_err());
        assert_eq!(name_from("Über_App.v2").as_deref(), Some("ber-app-v2"));
        assert_eq!(name_from(&"x".repeat(99)).map(|n| n.len()), Some(63));
    }

    #[test]
    fn ports_are_bounded_and_unique() {
        assert_eq!(port(65535), Ok(65535));
        for bad in [0, -1, 65536] {
            assert!(port(bad).is_err(), "{bad}");
        }
        assert!(ports((1..=33).collect()).is_err());
        assert!(ports(vec![80, 443, 80]).unwrap_err().contains("port 80"));
    }

    #[test]
    fn users_are_numbers() {
        assert_eq!(user("0"), Ok(User { uid: 0, gid: 0 }));
        assert_eq!(user("1:2"), Ok(User { uid: 1, gid: 2 }));
        for bad in ["", "root", "1:", ":1", "+1", "4294967295", "1:2:3"] {
            assert!(user(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn variables_need_a_name_and_a_value() {
        assert_eq!(env("A=b=c"), Ok(("A".into(), "b=c".into())));
        assert_eq!(env("A="), Ok(("A".into(), String::new())));
        for bad in ["A", "=b", "A B=c", "A=\0"] {
            assert!(env(bad).is_err(), "{bad}");
        }
        assert!(argument(&"x".repeat(ARG_MAX)).is_err());
    }

    #[test]
    fn times_and_memory_carry_their_unit() {
        assert_eq!(seconds("10s"), Ok(10));
        assert_eq!(seconds("2m"), Ok(120));
        assert_eq!(memory("64MiB"), Ok(64));
        assert_eq!(memory("2GiB"), Ok(2048));
        for bad in ["", "10", "s", "-1s", "1.5s", "86401s", "99999999999s"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
        for bad in ["64", "64MB", "MiB", "9999999GiB"] {
            assert!(memory(bad).is_err(), "{bad}");
        }
    }
}
