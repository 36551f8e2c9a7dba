//! The end of the machine.

use core::sync::atomic::{AtomicBool, Ordering};

use ampoule_init::wire::OnExit;

use crate::console;
use crate::sys::power::{Command, reboot};
use crate::sys::{fd, fs};

/// Whether the machine restarts; it powers off until the configuration was read. Not kept
/// in the configuration, which a panic cannot reach.
static REBOOT: AtomicBool = AtomicBool::new(false);

/// Sets what follows, whatever happens.
pub fn set_policy(on_exit: OnExit) {
    REBOOT.store(on_exit == OnExit::Reboot, Ordering::Relaxed);
}

/// Ends the machine as the policy says, or as near to that as it can.
pub fn machine() -> ! {
    fs::sync();
    let ways = if !REBOOT.load(Ordering::Relaxed) && can_power_off() {
        [Command::PowerOff, Command::Restart]
    } else {
        // a kernel that cannot switch off halts instead, and the machine would hang
        [Command::Restart, Command::PowerOff]
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
