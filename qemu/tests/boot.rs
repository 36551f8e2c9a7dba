//! Machines that start, speak, stop and break. They need QEMU and OVMF.

mod guest;

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use ampoule_qemu::{Accel, Bus, Console, Error, Event, Forward, Machine, Source, Stop, Vm};
use guest::{Step, disk};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// Far longer than anything here takes; a test that fails is what runs into it.
const LONG: Duration = Duration::from_secs(120);

fn machine(disk: &Path) -> Machine {
    Machine::bios(disk)
        .accel(Accel::Tcg)
        .memory_mib(32)
        .nic(None)
}

#[test]
fn a_guest_speaks_and_powers_off_on_every_bus() {
    for bus in [Bus::Virtio, Bus::Ide, Bus::Ahci, Bus::Scsi, Bus::Nvme] {
        let disk = disk(&[Step::Say("one\r\ntwo\n"), Step::PowerOff]);
        let mut vm = Vm::start(&machine(disk.path()).bus(bus)).unwrap();
        let mut lines = Vec::new();
        vm.wait_for("end", LONG, |event| match event {
            Event::Line(Source::Console, line) => {
                lines.push(line.clone());
                None
            }
            Event::Exit(_) => Some(()),
            _ => None,
        })
        .unwrap();
        assert_eq!(lines, ["one", "two"], "{bus:?}");
        assert_eq!(vm.console(), "one\r\ntwo\n", "{bus:?}");
        assert_eq!(vm.exit().unwrap().stop, Stop::PoweredOff, "{bus:?}");
    }
}

#[test]
fn the_power_button_is_pressed() {
    let disk = disk(&[
        Step::Say("up\n"),
        Step::AwaitButton,
        Step::Say("bye"),
        Step::PowerOff,
    ]);
    let mut vm = Vm::start(&machine(disk.path())).unwrap();
    vm.wait_line(|line| line == "up", LONG).unwrap();
    vm.powerdown().unwrap();
    // the last line has no end, and is told all the same
    vm.wait_line(|line| line == "bye", LONG).unwrap();
    assert_eq!(vm.wait_exit(LONG).unwrap().stop, Stop::PoweredOff);
    assert!(matches!(vm.powerdown(), Err(Error::Ended { .. })));
}

#[test]
fn a_reset_ends_the_machine() {
    let disk = disk(&[Step::Reset]);
    let mut vm = Vm::start(&machine(disk.path())).unwrap();
    assert_eq!(vm.wait_exit(LONG).unwrap().stop, Stop::Reset);
}

#[test]
fn a_kill_is_told_as_such_and_waits_end_with_the_machine() {
    let disk = disk(&[Step::Say("up\nlast words"), Step::Hang]);
    let mut vm = Vm::start(&machine(disk.path())).unwrap();
    vm.wait_line(|line| line == "up", LONG).unwrap();
    let timed_out = vm
        .wait_line(|line| line == "never", Duration::from_millis(10))
        .unwrap_err();
    assert!(matches!(timed_out, Error::TimedOut { .. }), "{timed_out}");
    vm.kill();
    let error = vm.wait_line(|line| line == "never", LONG).unwrap_err();
    assert!(matches!(error, Error::Ended { .. }), "{error}");
    assert_eq!(vm.exit().unwrap().stop, Stop::Host);
}

#[test]
fn a_dropped_machine_is_gone() {
    let disk = disk(&[Step::Hang]);
    let vm = Vm::start(&machine(disk.path())).unwrap();
    let pid = vm.pid();
    assert!(Path::new(&format!("/proc/{pid}")).exists());
    drop(vm);
    assert!(
        !Path::new(&format!("/proc/{pid}")).exists(),
        "qemu is still there"
    );
}

/// Started by the next test as a program of its own.
#[test]
#[ignore = "a part of the test that kills it"]
fn starts_a_machine_and_stays() {
    let disk = disk(&[Step::Hang]);
    let vm = Vm::start(&machine(disk.path())).unwrap();
    println!("\npid={}", vm.pid());
    std::thread::sleep(LONG);
}

#[test]
fn a_machine_dies_with_its_starter() {
    let mut starter = Command::new(env::current_exe().unwrap())
        .args([
            "--ignored",
            "--exact",
            "--nocapture",
            "starts_a_machine_and_stays",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(starter.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    let pid = lines
        .into_iter()
        .find_map(|line| line.strip_prefix("pid=")?.parse().ok())
        .unwrap();
    let qemu = pidfd_open(Pid::from_raw(pid).unwrap(), PidfdFlags::empty()).unwrap();
    starter.kill().unwrap();
    starter.wait().unwrap();
    assert!(ends(&qemu, LONG), "qemu outlives its starter");
}

fn ends(process: &OwnedFd, within: Duration) -> bool {
    let timeout = Timespec::try_from(within).unwrap();
    poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&timeout)).unwrap() > 0
}

#[test]
fn what_the_guest_writes_stays_out_of_the_image() {
    for bus in [Bus::Virtio, Bus::Ide, Bus::Nvme] {
        let disk = disk(&[Step::OverwriteDisk, Step::Say("written\n"), Step::PowerOff]);
        let before = fs::read(disk.path()).unwrap();
        let mut vm = Vm::start(&machine(disk.path()).bus(bus)).unwrap();
        vm.wait_line(|line| line == "written", LONG).unwrap();
        vm.wait_exit(LONG).unwrap();
        assert!(
            fs::read(disk.path()).unwrap() == before,
            "{bus:?}: the image has changed"
        );
    }
}

#[test]
fn a_screen_is_read() {
    let disk = disk(&[Step::Show("on screen"), Step::AwaitButton, Step::PowerOff]);
    let mut vm = Vm::start(&machine(disk.path()).console(Console::Screen)).unwrap();
    // the guest waits for the button only after it has written
    let mut text = String::new();
    for _ in 0..600 {
        text = vm.screen_text().unwrap();
        if text.contains("on screen") {
            break;
        }
        let _ = vm.next_event(std::time::Instant::now() + Duration::from_millis(100));
    }
    assert!(text.contains("on screen"), "{text}");
    vm.powerdown().unwrap();
    assert_eq!(vm.wait_exit(LONG).unwrap().stop, Stop::PoweredOff);
    assert_eq!(vm.console(), "");
}

#[test]
fn uefi_firmware_is_found_and_runs() {
    // a disk that UEFI cannot boot: the firmware says so
    let disk = disk(&[Step::Hang]);
    let machine = Machine::uefi(disk.path())
        .accel(Accel::Tcg)
        .memory_mib(128)
        .nic(None);
    let mut vm = Vm::start(&machine).unwrap();
    vm.wait_line(|line| line.contains("BdsDxe: failed to load"), LONG)
        .unwrap();
}

#[test]
fn free_ports_are_chosen_and_told() {
    let disk = disk(&[Step::Hang]);
    let machine = Machine::bios(disk.path())
        .accel(Accel::Tcg)
        .forward(Forward::to(80))
        .forward("0:81/udp".parse().unwrap());
    let vm = Vm::start(&machine).unwrap();
    let ports: Vec<u16> = vm.forwards().iter().map(|forward| forward.host).collect();
    assert!(ports.iter().all(|&port| port != 0), "{ports:?}");
    assert!(
        TcpListener::bind(("127.0.0.1", ports[0])).is_err(),
        "nobody listens"
    );
}

#[test]
fn a_port_in_use_is_told() {
    let disk = disk(&[Step::Hang]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let forward = Forward {
        host: port,
        ..Forward::to(80)
    };
    let with = |forward| {
        Machine::bios(disk.path())
            .accel(Accel::Tcg)
            .forward(forward)
    };
    let error = Vm::start(&with(forward)).unwrap_err();
    assert!(matches!(error, Error::PortInUse { .. }), "{error}");
    drop(taken);
    // free when it is looked at, and taken when QEMU comes to it: it is forwarded twice
    let error = Vm::start(&with(forward).forward(Forward {
        guest: 81,
        ..forward
    }))
    .unwrap_err();
    let expected = format!("port {port} on 127.0.0.1 is in use");
    assert!(error.to_string().starts_with(&expected), "{error}");
}

#[test]
fn what_qemu_refuses_is_told_in_its_words() {
    let disk = disk(&[Step::Hang]);
    let error = Vm::start(&machine(disk.path()).extra(["-device", "no-such"])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "qemu did not start: -device no-such: 'no-such' is not a valid device model name"
    );
}

#[test]
fn a_missing_image_is_told() {
    let error = Vm::start(&machine(Path::new("/nowhere/disk.img"))).unwrap_err();
    assert_eq!(error.to_string(), "cannot read /nowhere/disk.img");
}
