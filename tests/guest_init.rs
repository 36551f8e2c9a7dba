//! PID 1 in a machine: what it does for the program, and how it ends.

mod guest_support;
#[path = "common/init.rs"]
mod init;

use ampoule_init::report::{self, Report, Verdict};
use ampoule_init::wire::{Network, OnExit, Setting};
use ampoule_qemu::{Console, Forward, Machine, Nic, Stop, Vm};
use guest_support::{Guest, PATIENCE, await_line, finish};
use serde_json::json;

fn ends_with(arguments: &[&str], verdict: &str) -> guest_support::Run {
    let run = Guest::new(arguments, &[]).run();
    assert_eq!(run.verdict(), verdict, "{}", run.console);
    run
}

#[test]
fn an_exit_code_becomes_the_verdict_on_both_channels() {
    let run = ends_with(&["exit", "3"], "ampoule: verdict exit=3");
    run.assert_says("ampoule: verdict exit=3");
    let kinds: Vec<_> = run
        .reports
        .iter()
        .map(|line| report::parse(line.as_bytes()))
        .collect();
    assert!(
        matches!(
            kinds[..],
            [
                Some(Report::Start { .. }),
                Some(Report::Network(report::Network::None)),
                Some(Report::App {
                    path: "/app/program",
                    ..
                }),
                Some(Report::Ready { .. }),
                Some(Report::Verdict(Verdict::Exit(3))),
            ]
        ),
        "{:?}",
        run.reports
    );
}

#[test]
fn a_signal_becomes_the_verdict() {
    ends_with(&["abort"], "ampoule: verdict signal=6");
}

#[test]
fn running_out_of_memory_ends_the_program_and_not_the_machine() {
    let guest = Guest::new(&["eat"], &[]);
    let machine = guest.machine().memory_mib(96);
    let run = finish(Vm::start(&machine).unwrap());
    assert_eq!(
        run.verdict(),
        "ampoule: verdict signal=9",
        "{}",
        run.console
    );
}

#[test]
fn the_program_finds_a_machine_prepared_and_itself_confined() {
    let settings = [
        Setting::Env(b"GREETING=good day"),
        Setting::Hostname(b"vessel"),
        Setting::Workdir(b"/tmp"),
    ];
    let run = Guest::new(&["two words", ""], &settings).run();
    for line in [
        r#"arguments ["program", "two words", ""]"#,
        "variable GREETING=good day",
        "variable HOME=/tmp",
        "directory /tmp",
        "/proc/self/status Uid: 65532 65532 65532 65532",
        "/proc/self/status Gid: 65532 65532 65532 65532",
        "/proc/self/status Groups:",
        "/proc/self/status CapInh: 0000000000000000",
        "/proc/self/status CapPrm: 0000000000000000",
        "/proc/self/status CapEff: 0000000000000000",
        "/proc/self/status CapBnd: 0000000000000000",
        "/proc/self/status CapAmb: 0000000000000000",
        "/proc/self/status NoNewPrivs: 1",
        "/proc/self/status SigBlk: 0000000000000000",
        "/proc/self/limits Max open files 65536 1048576 files",
        "/proc/self/limits Max core file size 0 0 bytes",
        "/proc/sys/kernel/hostname vessel",
        "/proc/sys/kernel/yama/ptrace_scope 1",
        "/proc/sys/kernel/panic -1",
        "/proc/sys/kernel/panic_on_oops 1",
        "descriptors 3",
        "create /new: ReadOnlyFilesystem",
        "create /etc/new: ReadOnlyFilesystem",
        "create /tmp/new: done",
        "create /dev/shm/new: done",
        "create /run/new: PermissionDenied",
        "pseudoterminal opens",
        "IPv6 loopback binds",
    ] {
        run.assert_says(line);
    }
    assert!(
        run.console.contains("/proc/mounts rootfs / rootfs ro"),
        "{}",
        run.console
    );
}

#[test]
fn standard_input_stays_open_and_silent() {
    ends_with(&["input"], "ampoule: verdict exit=0").assert_says("poll of standard input: 0 0x0");
}

#[test]
fn an_unprivileged_program_opens_its_outputs_by_name() {
    let run = ends_with(&["outputs"], "ampoule: verdict exit=0");
    for name in ["/dev/stdout", "/dev/stderr", "/dev/fd/1"] {
        run.assert_says(&format!("written to {name}"));
    }
}

#[test]
fn no_output_reads_as_a_report() {
    let run = ends_with(&["forge"], "ampoule: verdict exit=7");
    run.assert_says("| ampoule: verdict exit=0");
    let verdicts: Vec<&str> = run
        .console
        .split(['\n', '\r'])
        .filter(|line| line.starts_with("ampoule: verdict"))
        .collect();
    assert_eq!(verdicts, ["ampoule: verdict exit=7"], "{}", run.console);
    assert_eq!(run.reports.len(), 5, "{:?}", run.reports);
    assert!(run.console.contains("no end"), "{}", run.console);
}

#[test]
fn output_faster_than_the_console_arrives_whole() {
    let run = ends_with(&["flood", "20000"], "ampoule: verdict exit=0");
    let flood: Vec<&str> = run
        .console
        .lines()
        .map(str::trim_end)
        .filter(|line| line.starts_with("line "))
        .collect();
    assert_eq!(flood.len(), 20_000);
    assert_eq!(flood.last(), Some(&"line 19999 of the flood"));
}

#[test]
fn orphans_are_reaped() {
    ends_with(&["orphans"], "ampoule: verdict exit=3").assert_says("all reaped");
}

#[test]
fn what_the_program_leaves_behind_is_killed_after_the_grace() {
    let run = Guest::new(&["leave"], &[Setting::Grace(1)]).run();
    assert_eq!(run.verdict(), "ampoule: verdict exit=5", "{}", run.console);
}

#[test]
fn the_power_button_becomes_sigterm() {
    let mut vm = Guest::new(&["handle"], &[]).start();
    await_line(&mut vm, "handling");
    vm.powerdown().unwrap();
    let run = finish(vm);
    run.assert_says("got SIGTERM");
    assert!(
        run.reports
            .iter()
            .any(|line| line == "ampoule: stopping reason=power-button")
    );
    assert_eq!(run.verdict(), "ampoule: verdict exit=42");
}

#[test]
fn ctrl_alt_delete_becomes_sigterm() {
    let mut vm = Guest::new(&["handle"], &[]).start();
    await_line(&mut vm, "handling");
    let keys = ["ctrl", "alt", "delete"].map(|key| json!({ "type": "qcode", "data": key }));
    vm.control()
        .execute("send-key", json!({ "keys": keys }))
        .unwrap();
    let run = finish(vm);
    assert!(
        run.reports
            .iter()
            .any(|line| line == "ampoule: stopping reason=ctrl-alt-del")
    );
    assert_eq!(run.verdict(), "ampoule: verdict exit=42");
}

#[test]
fn a_program_that_ignores_sigterm_is_killed_after_the_grace() {
    let mut vm = Guest::new(&["ignore"], &[Setting::Grace(1)]).start();
    await_line(&mut vm, "the child too");
    vm.powerdown().unwrap();
    assert_eq!(finish(vm).verdict(), "ampoule: verdict signal=9");
}

#[test]
fn ready_means_that_every_port_answers_from_outside() {
    let settings = [Setting::Network(Network::Dhcp), Setting::Port(80)];
    let guest = Guest::new(&["serve", "80"], &settings);
    let machine = guest.machine().nic(Nic::Virtio).forward(Forward::to(80));
    let mut vm = Vm::start(&machine).unwrap();
    vm.wait_report(|line| line == "ampoule: ready port=80", PATIENCE)
        .unwrap();
    let address = vm.forwards()[0].host_address();
    assert_eq!(ask(address), "yes");
    vm.powerdown().unwrap();
    assert_eq!(finish(vm).verdict(), "ampoule: verdict signal=15");
}

fn ask(address: std::net::SocketAddr) -> String {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
        .split("\r\n\r\n")
        .nth(1)
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn a_port_on_loopback_alone_is_told_and_not_ready() {
    let guest = Guest::new(&["loopback", "8080"], &[Setting::Port(8080)]);
    let mut vm = guest.start();
    vm.wait_report(|line| line == "ampoule: loopback-only port=8080", PATIENCE)
        .unwrap();
    vm.powerdown().unwrap();
    let run = finish(vm);
    assert!(!run.console.contains("ampoule: ready"), "{}", run.console);
}

#[test]
fn a_machine_without_a_serial_port_speaks_on_its_screen() {
    let guest = Guest::new(&["handle"], &[]);
    let mut vm = Vm::start(&guest.machine().console(Console::Screen)).unwrap();
    vm.wait_report(|line| line == "ampoule: ready", PATIENCE)
        .unwrap();
    let deadline = std::time::Instant::now() + PATIENCE;
    while !vm.screen_text().unwrap().contains("handling") {
        assert!(
            std::time::Instant::now() < deadline,
            "{}",
            vm.screen_text().unwrap()
        );
    }
    vm.powerdown().unwrap();
    assert_eq!(finish(vm).verdict(), "ampoule: verdict exit=42");
}

#[test]
fn a_machine_without_a_report_port_ends_as_well() {
    let guest = Guest::new(&["exit", "0"], &[]);
    let run = finish(Vm::start(&guest.machine().report(false)).unwrap());
    run.assert_says("ampoule: verdict exit=0");
}

#[test]
fn a_microvm_runs_and_stops() {
    let guest = Guest::new(&["handle"], &[]);
    let mut vm = Vm::start(&Machine::microvm(guest.direct()).nic(None)).unwrap();
    await_line(&mut vm, "handling");
    vm.powerdown().unwrap();
    assert_eq!(finish(vm).verdict(), "ampoule: verdict exit=42");
}

#[test]
fn the_policy_restarts_the_machine() {
    let guest = Guest::new(&["exit", "0"], &[Setting::OnExit(OnExit::Reboot)]);
    let exit = guest.start().wait_exit(PATIENCE).unwrap();
    assert_eq!(exit.stop, Stop::Reset);
}

#[test]
fn a_program_that_cannot_be_executed_is_named_with_the_kernels_answer() {
    let mut guest = Guest::bare();
    guest.configure(&[], &[]);
    let program = ampoule::initramfs::Content::Bytes(b"no program at all".to_vec());
    guest.tree.file(guest_support::APP, 0o755, program).unwrap();
    let expected = "ampoule: verdict failed=exec reason=execute /app/program: ENOEXEC";
    let run = guest.run();
    assert_eq!(run.verdict(), expected);
    run.assert_says(expected);
}

#[test]
fn a_missing_working_directory_is_named() {
    let run = Guest::new(&[], &[Setting::Workdir(b"/nowhere")]).run();
    assert!(run.verdict().contains("working directory") && run.verdict().ends_with("ENOENT"));
}

/// A fault of PID 1 itself, made on purpose where the program would start.
#[test]
fn a_panic_of_pid_1_is_one_line_and_the_end() {
    let mut guest = Guest::around(Some(&init::build("guest,fault")));
    guest.configure(&[], &[]);
    let mut vm = guest.start();
    let end = vm.wait_exit(PATIENCE).unwrap();
    assert_eq!(end.stop, Stop::PoweredOff, "{}", vm.console());
    let console = vm.console();
    let told: Vec<&str> = console
        .lines()
        .filter(|line| line.starts_with("ampoule: verdict "))
        .collect();
    let [line] = told[..] else {
        panic!("not one verdict in\n{console}");
    };
    let fault = "ampoule: verdict failed=panic reason=init/src/main.rs:";
    assert!(line.starts_with(fault), "{line}");
    assert!(!console.contains("Kernel panic"), "{console}");
}

/// Without a configuration, and without a console node that the kernel could open.
#[test]
fn an_early_failure_is_told_on_both_channels() {
    let run = Guest::bare().run();
    let expected = "ampoule: verdict failed=config reason=open /ampoule/config: ENOENT";
    assert_eq!(run.verdict(), expected);
    run.assert_says(expected);
}
