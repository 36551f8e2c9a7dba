//! The end of the machine.

use core::sync::atomic::{AtomicBool, Ordering};

pub use ampoule_init::wire::OnExit;

use crate::console;
use crate::sys::power::{Command, reboot};
use crate::sys::{fd, fs};

/// The policy for a panic, which cannot reach the configuration.
static REBOOT: AtomicBool = AtomicBool::new(false);

/// Remembers the policy for a panic.
pub fn set_policy(on_exit: OnExit) {
    REBOOT.store(on_exit == OnExit::Reboot, Ordering::Relaxed);
}

/// The remembered policy.
pub fn policy() -> OnExit {
    if REBOOT.load(Ordering::Relaxed) {
        OnExit::Reboot
    } else {
        OnExit::PowerOff
    }
}

/// Ends the machine as `on_exit` says, or as near to that as it can.
pub fn machine(on_exit: OnExit) -> ! {
    fs::sync();
    let ways = match on_exit {
        OnExit::PowerOff if can_power_off() => [Command::PowerOff, Command::Restart],
        // a kernel that cannot switch off halts instead, and the machine would hang
        OnExit::PowerOff | OnExit::Reboot => [Command::Restart, Command::PowerOff],
    };
    for way in ways {
        // returns only when refused
        let _ = reboot(way);
    }
    console::kernel_log(b"neither power-off nor restart works on this machine: it halts\n");
    let _ = reboot(Command::Halt);
    loop {
        let _ = fd::poll(&mut [], None);
    }
}

/// On x86 it is ACPI that switches off. Elsewhere it is PSCI, which every machine has.
fn can_power_off() -> bool {
    !cfg!(target_arch = "x86_64") || fs::exists(c"/sys/firmware/acpi")
}
