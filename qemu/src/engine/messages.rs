//! QEMU's own messages, from its standard error.

use std::borrow::Cow;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::ChildStderr;

/// Messages are kept up to here.
const LIMIT: usize = 64 << 10;

/// What QEMU said so far.
pub(super) struct Messages {
    /// Until its end was read.
    stderr: Option<ChildStderr>,
    kept: Vec<u8>,
}

impl Messages {
    /// Listens to `stderr`, which from here on never blocks.
    pub(super) fn from(stderr: Option<ChildStderr>) -> Messages {
        if let Some(stderr) = &stderr {
            let _ = rustix::io::ioctl_fionbio(stderr, true);
        }
        Messages {
            stderr,
            kept: Vec::new(),
        }
    }

    /// What to wait for, as long as something may come.
    pub(super) fn source(&self) -> Option<BorrowedFd<'_>> {
        self.stderr.as_ref().map(AsFd::as_fd)
    }

    /// Reads all that is there.
    pub(super) fn read(&mut self) {
        let Some(stderr) = &mut self.stderr else {
            return;
        };
        let mut buffer = [0; 4096];
        loop {
            match stderr.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    let room = LIMIT.saturating_sub(self.kept.len());
                    self.kept.extend_from_slice(&buffer[..count.min(room)]);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        self.stderr = None;
    }

    /// The messages as they came.
    pub(super) fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.kept)
    }

    /// The messages as one line, without QEMU's name in front and without warnings.
    pub(super) fn line(&self) -> String {
        let text = self.text();
        let lines = text.lines().map(|line| match line.split_once(": ") {
            Some((name, rest)) if name.starts_with("qemu-system-") => rest,
            _ => line,
        });
        lines
            .filter(|line| !line.contains("warning: "))
            .collect::<Vec<_>>()
            .join("; ")
    }

    /// `what`, and behind it what QEMU says to it, if anything.
    pub(super) fn after(&self, what: &str) -> String {
        match self.line() {
            line if line.is_empty() => what.to_owned(),
            line => format!("{what}: {line}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Messages {
        Messages {
            stderr: None,
            kept: text.as_bytes().to_vec(),
        }
    }

    #[test]
    fn messages_become_one_line_without_names_and_warnings() {
        let messages = said(
            "qemu-system-x86_64: warning: TCG doesn't support it\n\
             qemu-system-x86_64: -drive file=x: cannot open\nsecond: line\n",
        );
        let line = "-drive file=x: cannot open; second: line";
        assert_eq!(messages.line(), line);
        assert_eq!(messages.after("io-error"), format!("io-error: {line}"));
        assert_eq!(said("").after("io-error"), "io-error");
    }
}
