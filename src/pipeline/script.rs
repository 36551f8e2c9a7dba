//! Scripts as apps of a root: refused, with what to name instead.

use std::path::Path;

use super::PipelineError;
use super::source::head;

/// Bytes of a script's first line that Linux looks at (BINPRM_BUF_SIZE).
const LINE_MAX: u64 = 256;
/// Names of shells.
const SHELLS: &[&str] = &["ash", "bash", "dash", "ksh", "sh", "zsh"];

/// Refuses the app, whose file is `host` and which stands at `path` of the root in
/// `dir`, if it is a script.
pub(super) fn refuse(host: &Path, path: &str, dir: &Path) -> Result<(), PipelineError> {
    let head = head(host, LINE_MAX)?;
    let Some(line) = head.strip_prefix(b"#!") else {
        return Ok(());
    };
    let line = line.split(|octet| *octet == b'\n').next();
    let line = String::from_utf8_lossy(line.unwrap_or_default()).into_owned();
    let command = format!("ampoule build --rootfs {}", dir.display());
    Err(PipelineError::Script {
        path: path.to_owned(),
        interpreter: line.trim().escape_debug().to_string(),
        remedy: match interpreter(&line) {
            Some(program) => format!("name its interpreter: {command} {program} -- {path}"),
            None => {
                format!("name the program that it starts in the end: {command} /PATH/IN/IT -- ARGS")
            }
        },
    })
}

/// The interpreter of a script, unless it is a shell.
fn interpreter(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    let mut program = words.next()?;
    if program.ends_with("/env") {
        program = words.find(|word| !word.starts_with('-'))?;
    }
    let name = program.rsplit('/').next()?;
    (!SHELLS.contains(&name)).then_some(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpreters_are_named_and_shells_are_not() {
        for (line, program) in [
            (" /usr/bin/python3 -u", Some("/usr/bin/python3")),
            ("/usr/bin/env -S node --flag", Some("node")),
            ("/bin/sh -e", None),
            ("/usr/bin/env bash", None),
            ("", None),
        ] {
            assert_eq!(interpreter(line), program, "{line:?}");
        }
    }
}
