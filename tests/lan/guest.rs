//! The machine under test: the kit's kernel and init, and the probe as its app.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use ampoule::initramfs::{self, Content, Tree};
use ampoule::kit::Kit;
use ampoule::units::Arch;
use ampoule_init::wire::{self, Setting};
use ampoule_qemu::{Accel, DirectKernel, Machine};

/// A machine that runs the probe with these settings, its initramfs in `dir`.
pub fn machine(dir: &Path, settings: &[Setting<'_>]) -> Machine {
    let kit = Kit::open(Arch::X86_64).unwrap_or_else(|error| panic!("{error}"));
    let initrd = dir.join("initrd");
    let file = std::fs::File::create(&initrd).expect("a file for the initramfs");
    initramfs::pack(&tree(kit.init(), settings), file, 1).expect("an initramfs");
    Machine::direct(DirectKernel {
        kernel: kit.kernel().to_owned(),
        initrd: Some(initrd),
        cmdline: "console=ttyS0 quiet".to_owned(),
    })
    .accel(Accel::Tcg)
    .memory_mib(96)
}

fn tree(init: &Path, settings: &[Setting<'_>]) -> Tree {
    let mut config = wire::HEADER.to_vec();
    let app = [Setting::App(b"/app/probe"), Setting::Arg(b"probe")];
    for setting in app.iter().chain(settings) {
        wire::encode(setting, &mut |bytes| config.extend(bytes)).expect("a setting");
    }
    let mut tree = Tree::new();
    for dir in ["/dev", "/proc", "/sys", "/run", "/tmp", "/etc"] {
        tree.dir(dir, 0o755).expect("a directory");
    }
    tree.char_device("/dev/console", 0o600, 5, 1)
        .and_then(|()| tree.symlink("/etc/resolv.conf", "/run/resolv.conf"))
        .and_then(|()| tree.file("/ampoule/config", 0o444, Content::Bytes(config)))
        .and_then(|()| tree.file("/init", 0o755, host(init)))
        .and_then(|()| tree.file("/app/probe", 0o755, host(probe())))
        .expect("a tree");
    tree
}

fn host(path: &Path) -> Content {
    Content::host(path).expect("a file")
}

/// The probe, compiled once per test run.
fn probe() -> &'static Path {
    static PROBE: OnceLock<PathBuf> = OnceLock::new();
    PROBE.get_or_init(|| {
        let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("network-probe");
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lan/probe.rs");
        let status = Command::new(rustc)
            .args(["--edition=2024", "-Copt-level=s", "-Cpanic=abort"])
            .args(["-Ctarget-feature=+crt-static", "-Cstrip=symbols", "-o"])
            .args([out.as_os_str(), source.as_ref()])
            .status()
            .expect("rustc, which cargo runs too");
        assert!(status.success(), "the probe does not compile");
        out
    })
}
