//! Boots the kit's kernel and PID 1 with the program beside this file.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use ampoule::initramfs::{self, Content, Tree};
use ampoule::kit::Kit;
use ampoule::units::Arch;
use ampoule_init::wire::{self, Setting};
use ampoule_qemu::{DirectKernel, Event, Machine, Source, Vm};

#[path = "../common/compile.rs"]
mod compile;

pub use compile::compile;

/// Longer than any boot on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Where the program stands in the guest.
pub const APP: &str = "/app/program";

/// The kernel's command line. Nothing of it is policy.
const COMMAND_LINE: &str = "console=ttyS0 quiet panic=-1 no_timer_check";

/// What a machine said until its end.
pub struct Run {
    pub console: String,
    pub reports: Vec<String>,
}

impl Run {
    /// The last report.
    pub fn verdict(&self) -> &str {
        self.reports.last().map_or("", String::as_str)
    }

    /// Whether a line of the console is this one.
    pub fn says(&self, line: &str) -> bool {
        self.console.lines().any(|one| one.trim_end() == line)
    }

    #[track_caller]
    pub fn assert_says(&self, line: &str) {
        assert!(self.says(line), "no line {line:?} in\n{}", self.console);
    }
}

/// The guest's tree: PID 1, its configuration, the program.
pub struct Guest {
    pub tree: Tree,
    kit: Kit,
    folder: tempfile::TempDir,
}

impl Guest {
    /// With no configuration and no program.
    pub fn bare() -> Guest {
        Guest::around(None)
    }

    /// The same with another PID 1 than the kit's, if one is given.
    pub fn around(init: Option<&Path>) -> Guest {
        let kit = Kit::open(Arch::X86_64).expect("a kit");
        let mut tree = Tree::new();
        for folder in ["/app", "/dev", "/etc", "/proc", "/run", "/sys", "/tmp"] {
            tree.dir(folder, 0o755).unwrap();
        }
        let init = init.unwrap_or(kit.init());
        tree.file("/init", 0o755, Content::host(init).unwrap())
            .unwrap();
        Guest {
            tree,
            kit,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// With the program, these arguments, and further settings.
    pub fn new(arguments: &[&str], settings: &[Setting<'_>]) -> Guest {
        Guest::with(program(), arguments, settings)
    }

    /// The same with another program.
    pub fn with(program: &Path, arguments: &[&str], settings: &[Setting<'_>]) -> Guest {
        let mut guest = Guest::bare();
        guest.tree.char_device("/dev/console", 0o600, 5, 1).unwrap();
        guest
            .tree
            .symlink("/etc/resolv.conf", "/run/resolv.conf")
            .unwrap();
        guest.configure(arguments, settings);
        guest
            .tree
            .file(APP, 0o755, Content::host(program).unwrap())
            .unwrap();
        guest
    }

    /// Writes a configuration.
    pub fn configure(&mut self, arguments: &[&str], settings: &[Setting<'_>]) {
        let mut all = vec![
            Setting::App(APP.as_bytes()),
            Setting::Network(wire::Network::None),
        ];
        all.push(Setting::Arg(b"program"));
        all.extend(
            arguments
                .iter()
                .map(|argument| Setting::Arg(argument.as_bytes())),
        );
        all.extend_from_slice(settings);
        let mut file = wire::HEADER.to_vec();
        for setting in &all {
            wire::encode(setting, &mut |bytes| file.extend_from_slice(bytes)).unwrap();
        }
        self.tree
            .file(wire::PATH, 0o444, Content::Bytes(file))
            .unwrap();
    }

    /// The kernel and its initial root.
    pub fn direct(&self) -> DirectKernel {
        let initrd = self.folder.path().join("initrd");
        initramfs::write(&self.tree, File::create(&initrd).unwrap()).unwrap();
        DirectKernel {
            kernel: self.kit.kernel().to_owned(),
            initrd: Some(initrd),
            cmdline: COMMAND_LINE.to_owned(),
        }
    }

    /// A PC with this guest, without a network card.
    pub fn machine(&self) -> Machine {
        Machine::direct(self.direct()).nic(None)
    }

    /// Starts it.
    pub fn start(&self) -> Vm {
        Vm::start(&self.machine()).expect("QEMU starts")
    }

    /// Runs it to its end.
    pub fn run(&self) -> Run {
        finish(self.start())
    }
}

/// Takes everything that a machine says until its end.
pub fn finish(mut vm: Vm) -> Run {
    let mut reports = Vec::new();
    let ended = vm.wait_for("end of the machine", PATIENCE, |event| {
        if let Event::Line(Source::Report, line) = event {
            reports.push(line.clone());
        }
        matches!(event, Event::Exit(_)).then_some(())
    });
    if let Err(error) = ended {
        panic!("{error}");
    }
    Run {
        console: vm.console(),
        reports,
    }
}

/// Waits for a line of the console.
pub fn await_line(vm: &mut Vm, line: &str) {
    let found = vm.wait_line(|one| one.trim_end() == line, PATIENCE);
    if let Err(error) = found {
        panic!("no line {line:?}: {error}");
    }
}

/// The program, compiled once per test binary.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| compile("tests/guest_support/program.rs", "guest-program"))
}
