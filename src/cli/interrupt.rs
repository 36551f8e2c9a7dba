//! Ctrl-C and its kin (SIGINT, SIGTERM, SIGHUP) as a flag that long work asks.
//!
//! Work that holds temporary files must end by returning, so that they are
//! removed: it asks [`requested`] between steps. Whoever does not wait for that
//! presses Ctrl-C again, and the process ends at once.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::exit::Exit;

static COUNT: AtomicUsize = AtomicUsize::new(0);
static HELD: AtomicBool = AtomicBool::new(false);

/// SIGHUP's bit in the masks of `/proc/self/status` (signal(7): it is number 1).
const SIGHUP_BIT: u64 = 1;

/// Takes the signals over, but for SIGHUP under nohup(1): a handler would undo
/// that it is ignored.
pub(super) fn install() {
    let mut asked = vec![SIGINT, SIGTERM];
    if !under_nohup() {
        asked.push(SIGHUP);
    }
    // without handlers the defaults hold: the process just ends
    let Ok(mut signals) = Signals::new(asked) else {
        return;
    };
    thread::spawn(move || {
        for _ in signals.forever() {
            let before = COUNT.fetch_add(1, Ordering::SeqCst);
            if before > 0 && !HELD.load(Ordering::SeqCst) {
                std::process::exit(i32::from(Exit::Interrupted.code()));
            }
        }
    });
}

/// Whether someone asked the command to stop.
#[must_use]
pub fn requested() -> bool {
    count() > 0
}

/// How often someone asked.
#[must_use]
pub fn count() -> usize {
    COUNT.load(Ordering::SeqCst)
}

/// From here on the command answers every request itself, by [`count`]: a second
/// one does not end the process. For commands that have a machine to stop.
pub fn hold() {
    HELD.store(true, Ordering::SeqCst);
}

fn under_nohup() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| ignores_hangup(&status))
}

/// Reads the mask `SigIgn` (proc_pid_status(5), hexadecimal).
fn ignores_hangup(status: &str) -> bool {
    status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & SIGHUP_BIT != 0)
}

#[cfg(test)]
mod tests {
    use super::ignores_hangup;

    #[test]
    fn nohup_shows_in_the_mask() {
        assert!(ignores_hangup("Name:\tx\nSigIgn:\t0000000000001001\n"));
        assert!(!ignores_hangup("Name:\tx\nSigIgn:\t0000000000001000\n"));
        assert!(!ignores_hangup("Name:\tx\n"));
    }
}
