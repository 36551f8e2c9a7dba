//! `ampoule test`: boots an image, asks it, stops it, and judges.

use std::env;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::exit::{Exit, Failure};
use super::machine::{Bootable, Firmware, FirmwareArg};
use super::questions::{self, Questions};
use super::ui::{Style, Ui};
use crate::check::{self, Boot, Expectation, Finding, Outcome, Report};
use crate::digest::Digest;
use crate::pipeline;

/// Boot an image, ask it, stop it, and judge
///
/// Each boot waits until the app is ready: until it answers what is asked, or
/// init reports that the declared ports listen. Then it is stopped by the power
/// button, and the verdict of init is checked: an app that ends unasked, is
/// ended by a signal other than SIGTERM, or must be killed, fails. With --exit
/// the app is to end by itself instead. The image's digest is the same after
/// each boot, or the test fails.
///
/// The console of a boot that fails is kept as IMAGE.FIRMWARE.log in the
/// working directory. Exit code 0 says that every check held in every boot, 1
/// that one did not.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct TestArgs {
    /// The image
    pub image: PathBuf,
    #[command(flatten)]
    pub questions: Questions,
    /// How to boot; repeatable
    #[arg(long, value_enum, default_value = "auto")]
    pub firmware: Vec<TestFirmware>,
    /// Write a JUnit report
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

const EXAMPLES: &str = "\
Examples:
  ampoule test server.img --http /=200
  ampoule test server.img --http 8080/health=200 --firmware all --junit r.xml
  ampoule test job.img --exit 0";

/// What `run` offers, and all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TestFirmware {
    /// The one that needs least of this machine: bios on x86_64
    Auto,
    /// SeaBIOS, from the image's boot sector
    Bios,
    /// OVMF, from the image's EFI system partition
    Uefi,
    /// QEMU loads the kernel out of the image
    Direct,
    /// The same on QEMU's minimal machine
    Microvm,
    /// Each of bios, uefi, direct and microvm
    All,
}

/// How much of a failed boot's console goes into the JUnit report.
const TAIL_LINES: usize = 100;

pub(super) fn run(args: TestArgs, ui: &Ui) -> anyhow::Result<Exit> {
    let test = Test::prepare(&args)?;
    let mut bootable = Bootable::open(&args.image)?;
    let mut boots = Vec::new();
    for firmware in ways(&args.firmware) {
        boots.push(test.boot(&mut bootable, firmware, ui)?);
    }
    let name = args.image.display().to_string();
    let report = Report::new(name, test.digest, boots);
    if let Some(path) = &args.junit {
        fs::write(path, check::junit(&report)).map_err(|source| {
            let message = format!("cannot write {}", path.display());
            Failure::new(Exit::Environment, message).caused_by(source)
        })?;
    }
    if args.json {
        ui.json(&report)?;
    } else {
        print(&report, ui)?;
    }
    Ok(if report.ok { Exit::Yes } else { Exit::No })
}

/// The boots asked for, each once, in the order of [`Firmware::ALL`].
fn ways(asked: &[TestFirmware]) -> Vec<Firmware> {
    let is_asked = |way: &Firmware| {
        asked.iter().any(|asked| match asked {
            TestFirmware::All => true,
            TestFirmware::Auto => *way == Firmware::from(FirmwareArg::Auto),
            TestFirmware::Bios => *way == Firmware::Bios,
            TestFirmware::Uefi => *way == Firmware::Uefi,
            TestFirmware::Direct => *way == Firmware::Direct,
            TestFirmware::Microvm => *way == Firmware::Microvm,
        })
    };
    Firmware::ALL.into_iter().filter(is_asked).collect()
}

/// What is the same for every boot.
struct Test<'a> {
    args: &'a TestArgs,
    expectations: Vec<Expectation>,
    digest: Digest,
    grace: Duration,
}

impl Test<'_> {
    fn prepare(args: &TestArgs) -> anyhow::Result<Test<'_>> {
        let inspection = pipeline::inspect(&args.image)?;
        let expectations = args.questions.expectations(&inspection)?;
        Ok(Test {
            args,
            expectations,
            grace: questions::grace(&inspection),
            digest: inspection.sha256,
        })
    }

    fn boot(&self, bootable: &mut Bootable, firmware: Firmware, ui: &Ui) -> anyhow::Result<Boot> {
        let questions = &self.args.questions;
        let outcome = questions.ask(&self.expectations, self.grace, bootable, firmware, ui)?;
        let mut checks = check::judge(&self.expectations, &outcome.seen);
        checks.push(self.image_is_the_same()?);
        Ok(self.report(firmware, outcome, checks))
    }

    fn image_is_the_same(&self) -> io::Result<Finding> {
        let after = Digest::of_reader(File::open(&self.args.image)?)?;
        Ok(if after == self.digest {
            Finding::good("image", "its digest is the same as before")
        } else {
            Finding::bad(
                "image",
                format!("the boot changed it: its digest is {after} now"),
            )
        })
    }

    fn report(&self, firmware: Firmware, outcome: Outcome, checks: Vec<Finding>) -> Boot {
        let ok = checks.iter().all(|check| check.ok);
        let kept = (!ok).then(|| keep(&outcome.console, &self.args.image, firmware));
        Boot {
            firmware: firmware.name().to_owned(),
            accelerator: outcome.accelerator,
            no_kvm: outcome.refusal,
            ok,
            milliseconds: u64::try_from(outcome.took.as_millis()).unwrap_or(u64::MAX),
            verdict: outcome.seen.ending,
            checks,
            denied: outcome.denied,
            console_log: kept.flatten().map(|path| path.display().to_string()),
            console_tail: (!ok).then(|| tail(&outcome.console)),
        }
    }
}

/// Writes the console's text into the working directory, or where that cannot be written, among
/// the temporary files. None if that fails too: the judgement counts, not its log.
fn keep(console: &str, image: &Path, firmware: Firmware) -> Option<PathBuf> {
    let stem = image.file_stem().unwrap_or_default().to_string_lossy();
    let name = format!("{stem}.{}.log", firmware.name());
    let places = [PathBuf::from(&name), env::temp_dir().join(&name)];
    places
        .into_iter()
        .find(|path| fs::write(path, console).is_ok())
}

fn tail(console: &str) -> String {
    let lines: Vec<&str> = console.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

fn print(report: &Report, ui: &Ui) -> io::Result<()> {
    if let Some(refusal) = report.boots.iter().find_map(|boot| boot.no_kvm.as_ref()) {
        ui.status(format_args!("no kvm: {refusal}"));
    }
    for boot in &report.boots {
        let seconds = Duration::from_millis(boot.milliseconds).as_secs_f64();
        let title = format!("{} ({}, {seconds:.1} s)", boot.firmware, boot.accelerator);
        ui.result(ui.paint(Style::Bold, &title))?;
        for Finding { name, ok, detail } in &boot.checks {
            let sign = if *ok {
                ui.paint(Style::Green, "ok")
            } else {
                ui.paint(Style::Red, "failed")
            };
            ui.result(format_args!("  {sign} {name}: {detail}"))?;
        }
        if !boot.denied.is_empty() {
            let calls = boot.denied.iter();
            let calls: Vec<_> = calls
                .map(|(call, count)| format!("{call} ({count})"))
                .collect();
            ui.result(format_args!("  refused to the app: {}", calls.join(", ")))?;
        }
        if let Some(log) = &boot.console_log {
            ui.result(format_args!("  its console is in {log}"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_to_boot_is_taken_once() {
        let names = |asked: &[TestFirmware]| -> Vec<&str> {
            ways(asked).into_iter().map(Firmware::name).collect()
        };
        assert_eq!(names(&[TestFirmware::Auto]), ["bios"]);
        assert_eq!(
            names(&[TestFirmware::All, TestFirmware::Bios]),
            ["bios", "uefi", "direct", "microvm"]
        );
        assert_eq!(
            names(&[
                TestFirmware::Microvm,
                TestFirmware::Uefi,
                TestFirmware::Uefi
            ]),
            ["uefi", "microvm"]
        );
    }

    #[test]
    fn the_tail_is_the_end() {
        let console: String = (0..150).map(|n| format!("{n}\n")).collect();
        assert!(tail(&console).starts_with("50\n") && tail(&console).ends_with("149"));
        assert_eq!(tail(""), "");
    }
}
