//! What a boot costs in the guest's own time, and the least memory that serves.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use ampoule::pipeline::Summary;
use ampoule_init::report::{self, Moment, Report};
use ampoule_qemu::{Accel, DirectKernel, Machine, Vm};
use anyhow::{Context, Result, ensure};

use crate::Bench;

/// Longer than any boot takes, counted instruction by instruction.
const PATIENCE: Duration = Duration::from_secs(300);
/// Longer than a boot with memory to spare takes on a software processor; one without any may hang.
const SERVES_WITHIN: Duration = Duration::from_secs(60);

/// A way to boot, and its name.
struct Way {
    name: &'static str,
    machine: Machine,
    /// The memory that the image asks for to boot so.
    asked_mib: u64,
}

/// Prints the boot costs and the least memory of the example server.
pub fn measure(bench: &Bench) -> Result<()> {
    let ways = ways(&seal(bench)?, bench.folder.path())?;
    println!("| boot | reset to init | kernel's own clock at init | init to the app's start |");
    println!("|---|---|---|---|");
    for way in &ways {
        let (init, app) = moments(&way.machine).with_context(|| way.name)?;
        println!(
            "| {} | {} | {:.1} ms | {:.1} ms |",
            way.name,
            init.tsc.map_or_else(
                || "–".to_owned(),
                |ticks| format!("{:.1} ms", ticks as f64 / 1e6)
            ),
            init.uptime_us as f64 / 1e3,
            (app.uptime_us - init.uptime_us) as f64 / 1e3,
        );
    }
    println!(
        "\nGuest time under `-icount shift=0,sleep=off`: one instruction is one nanosecond, and a static address is set."
    );
    println!("The kernel's clock starts after its decompression.\n");
    println!("| boot | least memory in which examples/hello answers | what `build` asks for |");
    println!("|---|---|---|");
    for way in &ways {
        println!(
            "| {} | {} MiB | {} MiB |",
            way.name,
            least_memory(&way.machine).with_context(|| way.name)?,
            way.asked_mib,
        );
    }
    Ok(())
}

/// The example server with a fixed address: DHCP would wait for the host, whose time is not the guest's.
fn seal(bench: &Bench) -> Result<PathBuf> {
    let config = bench.folder.path().join("ampoule.toml");
    fs::write(
        &config,
        "[network]\naddress = \"10.0.2.15/24\"\ngateway = \"10.0.2.2\"\n",
    )?;
    let image = bench.folder.path().join("hello.img");
    let output = Command::new(&bench.ampoule)
        .arg("build")
        .arg(&bench.hello)
        .args(["--port", "8080", "--config"])
        .arg(&config)
        .arg("--output")
        .arg(&image)
        .stdin(Stdio::null())
        .output()?;
    ensure!(
        output.status.success(),
        "ampoule build: {}",
        String::from_utf8_lossy(&output.stderr).trim_end()
    );
    Ok(image)
}

fn ways(image: &Path, folder: &Path) -> Result<Vec<Way>> {
    let parts = ampoule::pipeline::cut(image, folder).context("cutting the image")?;
    let kernel = DirectKernel {
        kernel: parts.kernel,
        initrd: Some(parts.initrd),
        cmdline: parts.cmdline,
    };
    let Summary {
        memory_mib,
        memory_uefi_mib,
        ..
    } = ampoule::pipeline::summary(image)?;
    let ways = [
        ("q35, BIOS (SeaBIOS)", Machine::bios(image), memory_mib),
        ("q35, UEFI (OVMF)", Machine::uefi(image), memory_uefi_mib),
        ("q35, direct", Machine::direct(kernel.clone()), memory_mib),
        ("microvm, direct", Machine::microvm(kernel), memory_mib),
    ];
    let way = |(name, machine, asked_mib)| Way {
        name,
        machine,
        asked_mib,
    };
    Ok(ways.map(way).into())
}

/// When init began and when it started the app.
fn moments(machine: &Machine) -> Result<(Moment, Moment)> {
    let mut vm = Vm::start(&machine.clone().icount(true))?;
    let (mut init, mut app) = (None, None);
    vm.wait_report(
        |line| {
            match report::parse(line.as_bytes()) {
                Some(Report::Start { at, .. }) => init = Some(at),
                Some(Report::App { at, .. }) => app = Some(at),
                _ => {}
            }
            app.is_some()
        },
        PATIENCE,
    )?;
    Ok((
        init.context("init did not report its start")?,
        app.context("init did not report the app's start")?,
    ))
}

/// By bisection, in MiB.
fn least_memory(machine: &Machine) -> Result<u32> {
    let (mut too_little, mut enough) = (8, 512);
    ensure!(serves(machine, enough)?, "does not serve in {enough} MiB");
    while enough - too_little > 1 {
        let middle = (enough + too_little) / 2;
        if serves(machine, middle)? {
            enough = middle;
        } else {
            too_little = middle;
        }
    }
    Ok(enough)
}

/// Whether init reports, with so much memory, that the app takes connections.
fn serves(machine: &Machine, mebibytes: u32) -> Result<bool> {
    let mut vm = Vm::start(&machine.clone().memory_mib(mebibytes).accel(Accel::Tcg))?;
    let ready = vm.wait_report(
        |line| matches!(report::parse(line.as_bytes()), Some(Report::Ready { .. })),
        SERVES_WITHIN,
    );
    Ok(ready.is_ok())
}
