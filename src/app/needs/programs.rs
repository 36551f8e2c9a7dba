//! Names of programs that an app starts.

use crate::need::Confidence::{self, Likely, Possible};

/// The shell as every C library calls it.
pub const SHELL: &str = "/bin/sh";

/// Shells by their names, and env(1), which starts whatever it is told.
const SHELLS: &[&str] = &["sh", "bash", "ash", "dash", "zsh", "ksh", "env"];

/// Whether a string can be the name or path of a program.
pub fn is_program(text: &str) -> bool {
    let usual = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+".contains(&byte);
    text.bytes().all(usual)
        && text.bytes().any(|byte| byte.is_ascii_alphabetic())
        // the app itself
        && text != "/proc/self/exe"
}

/// How much it says that an app's own code starts this program. Who gives a path, or
/// the shell, counts on it; a bare name is looked for in PATH, and not to find it is
/// a case that the app knows.
pub fn confidence(program: &str) -> Confidence {
    if program.starts_with('/') || SHELLS.contains(&program) {
        Likely
    } else {
        Possible
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shells_and_paths_are_counted_on_and_names_are_not() {
        for program in ["/bin/sh", "sh", "bash", "/usr/sbin/sendmail"] {
            assert_eq!(confidence(program), Likely, "{program}");
        }
        for program in ["pg_dump", "pgrep", "./tool"] {
            assert_eq!(confidence(program), Possible, "{program}");
        }
    }

    #[test]
    fn what_is_no_name_is_none() {
        assert!(is_program("/usr/bin/gcc-12") && is_program("g++"));
        assert!(!is_program("") && !is_program("a b") && !is_program("-"));
        assert!(!is_program("/proc/self/exe"));
    }
}
