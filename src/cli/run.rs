//! `ampoule run`: boots an image on this machine.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ampoule_qemu::{Control, Event, Exit as MachineExit, Forward, Stop, Vm};
use clap::Args;

use super::exit::{Exit, ExitContext, Failure};
use super::interrupt;
use super::machine::{AccelArg, Bootable, Firmware, FirmwareArg};
use super::ui::Ui;
use crate::check::{Ending, Witness};

/// Boot an image here and show its console
///
/// The very bytes of the image are booted, and nothing is written to it. Ctrl-C
/// presses the machine's power button, a second one kills it.
///
/// The exit code is the app's own, 128+n if a signal ended it. 125 to 127 are
/// ampoule's: 125 the machine failed, 126 it ended without a verdict, 127 it
/// could not be started.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct RunArgs {
    /// The image
    pub image: PathBuf,
    /// A port of this machine that leads to one of the guest; repeatable
    ///
    /// It is bound on 127.0.0.1 unless ADDR says otherwise; 0.0.0.0 is every
    /// address, IPv6 ones stand in brackets (TCP only). A HOST port of 0 takes a
    /// free one and tells it.
    #[arg(short, long = "port", value_name = "[ADDR:]HOST:GUEST[/udp]", value_parser = forward)]
    pub ports: Vec<Forward>,
    /// How to boot
    #[arg(long, value_enum, default_value_t = FirmwareArg::Auto)]
    pub firmware: FirmwareArg,
    /// How to execute
    #[arg(long, value_enum, default_value_t = AccelArg::Auto)]
    pub accel: AccelArg,
    /// The machine's memory [default: what the image says it needs]
    #[arg(long, value_name = "MiB")]
    pub memory: Option<u32>,
    /// The machine's processors
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=255))]
    pub cpus: u32,
}

const EXAMPLES: &str = "\
Examples:
  ampoule run server.img -p 8080:8080
  ampoule run server.img -p 0.0.0.0:80:8080 --firmware uefi --memory 512";

/// The machine or ampoule failed.
const FAILED: Exit = Exit::Code(125);
/// The machine ended without a verdict, or init could not start the app.
const NO_VERDICT: Exit = Exit::Code(126);
/// There is no such image, or it cannot be booted as asked.
const NO_IMAGE: Exit = Exit::Code(127);

/// How often a wish to stop is looked for while the machine is silent.
const TICK: Duration = Duration::from_millis(100);

/// A press of the power button is lost on a guest that does not listen yet.
const PRESS_AGAIN: Duration = Duration::from_secs(2);

fn forward(text: &str) -> Result<Forward, String> {
    text.parse()
        .map_err(|error: ampoule_qemu::Error| error.to_string())
}

pub(super) fn run(args: RunArgs, ui: &Ui) -> anyhow::Result<Exit> {
    let firmware = Firmware::from(args.firmware);
    let (mut bootable, memory) = open(&args, firmware)?;
    let machine = bootable.machine(firmware).exit(NO_IMAGE)?;
    let machine = args
        .ports
        .iter()
        .fold(machine, |machine, &port| machine.forward(port));
    let machine = machine
        .memory_mib(memory)
        .cpus(args.cpus)
        .accel(args.accel.into());
    // from here on Ctrl-C is for the machine
    interrupt::hold();
    let vm = Vm::start(&machine).exit(FAILED)?;
    announce(&vm, firmware, memory, ui);
    let (witness, end) = show(vm, ui)?;
    code(&witness, &end)
}

fn open(args: &RunArgs, firmware: Firmware) -> anyhow::Result<(Bootable, u32)> {
    let bootable = Bootable::open(&args.image).exit(NO_IMAGE)?;
    let memory = bootable.memory_mib(args.memory, firmware).exit(NO_IMAGE)?;
    Ok((bootable, memory))
}

fn announce(vm: &Vm, firmware: Firmware, memory: u32, ui: &Ui) {
    let acceleration = vm.acceleration();
    let how = format!("{}, {}, {memory} MiB", firmware.name(), acceleration.name());
    match &acceleration.refusal {
        Some(refusal) => ui.status(format_args!("booting ({how}); no kvm: {refusal}")),
        None => ui.status(format_args!("booting ({how})")),
    }
    for forward in vm.forwards() {
        ui.status(format_args!(
            "{} leads to the guest's port {}",
            forward.host_address(),
            forward.guest
        ));
    }
}

/// Shows the console until the machine's end, and passes the user's wish to stop on.
fn show(mut vm: Vm, ui: &Ui) -> anyhow::Result<(Witness, MachineExit)> {
    let mut witness = Witness::default();
    let mut stopper = Stopper::new(vm.control());
    let mut out = io::stdout().lock();
    loop {
        match vm.next_event(Instant::now() + TICK) {
            Some(Event::Console(bytes)) => out.write_all(&bytes).and_then(|()| out.flush())?,
            Some(Event::Line(source, line)) => witness.line(source, &line),
            Some(Event::Exit(end)) => return Ok((witness, end)),
            Some(_) | None => {}
        }
        stopper.look(&witness, ui);
    }
}

/// Turns Ctrl-C into a press of the power button, and the second one into a kill.
struct Stopper {
    control: Control,
    /// When to press the button again.
    again: Option<Instant>,
}

impl Stopper {
    fn new(control: Control) -> Stopper {
        Stopper {
            control,
            again: None,
        }
    }

    fn look(&mut self, witness: &Witness, ui: &Ui) {
        let count = interrupt::count();
        if count > 1 {
            return self.control.kill();
        }
        if count == 0 || witness.stopping() {
            return;
        }
        if self.again.is_none() {
            ui.status("stopping; Ctrl-C again kills the machine");
        }
        if self.again.is_none_or(|again| Instant::now() >= again) {
            // if it does not work, the machine is at its end
            let _ = self.control.powerdown();
            self.again = Some(Instant::now() + PRESS_AGAIN);
        }
    }
}

/// The exit code: the app's, 128 and the signal's number, or one of ours.
fn code(witness: &Witness, end: &MachineExit) -> anyhow::Result<Exit> {
    let failure = |exit, message: String| Err(Failure::new(exit, message).into());
    match witness.ending() {
        Some(Ending::Exit(code)) => Ok(Exit::Code(*code)),
        Some(Ending::Signal(signal)) => Ok(Exit::Code(signal.saturating_add(128))),
        Some(Ending::Failed { code, reason }) => failure(
            NO_VERDICT,
            format!("init could not run the app ({code}): {reason}"),
        ),
        None => match (&end.stop, witness.panic()) {
            (Stop::Host, _) if interrupt::count() > 1 => failure(
                NO_VERDICT,
                "the machine was killed before the app had ended".to_owned(),
            ),
            (Stop::Failed(_), _) => failure(FAILED, end.stop.to_string()),
            (_, Some(panic)) => {
                failure(NO_VERDICT, format!("the guest's kernel panicked: {panic}"))
            }
            (stop, None) => failure(NO_VERDICT, format!("{stop} without a verdict of init")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ampoule_qemu::Source;

    fn told(lines: &[&str], stop: Stop) -> Result<Exit, String> {
        let mut witness = Witness::default();
        for line in lines {
            witness.line(Source::Console, line);
        }
        let end = MachineExit {
            stop,
            panicked: false,
            messages: String::new(),
        };
        code(&witness, &end)
            .map_err(|error| format!("{:?} {error}", super::super::exit::classify(&error)))
    }

    #[test]
    fn the_exit_code_is_the_apps() {
        assert_eq!(
            told(&["ampoule: verdict exit=42"], Stop::PoweredOff),
            Ok(Exit::Code(42))
        );
        assert_eq!(
            told(&["ampoule: verdict signal=11"], Stop::PoweredOff),
            Ok(Exit::Code(139))
        );
        // a machine that reboots when the app ends has a verdict all the same
        assert_eq!(
            told(&["ampoule: verdict exit=0"], Stop::Reset),
            Ok(Exit::Code(0))
        );
    }

    #[test]
    fn an_end_without_a_verdict_has_a_code_of_its_own() {
        let failed = "ampoule: verdict failed=exec reason=no such file";
        assert_eq!(
            told(&[failed], Stop::PoweredOff),
            Err("Code(126) init could not run the app (exec): no such file".to_owned())
        );
        assert_eq!(
            told(&["[    0.1] Kernel panic - not syncing: x"], Stop::Reset),
            Err("Code(126) the guest's kernel panicked: Kernel panic - not syncing: x".to_owned())
        );
        assert_eq!(
            told(&[], Stop::PoweredOff),
            Err("Code(126) the guest powered the machine off without a verdict of init".to_owned())
        );
        assert_eq!(
            told(&[], Stop::Failed("signal: 6".to_owned())),
            Err("Code(125) qemu failed: signal: 6".to_owned())
        );
    }
}
