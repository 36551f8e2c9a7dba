//! Programs and places of the host.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::machine::Arch;
use crate::{Error, profile};

/// Finds the emulator for `arch`: what `AMPOULE_QEMU` names, else the program in `PATH`.
pub fn find_qemu(arch: Arch) -> Result<PathBuf, Error> {
    let emulator = profile::emulator(arch);
    let found = match env::var_os("AMPOULE_QEMU") {
        Some(named) => Some(PathBuf::from(named)).filter(|path| is_program(path)),
        None => in_path(emulator.program),
    };
    found.ok_or(Error::NoQemu {
        program: emulator.program,
        package: emulator.package,
    })
}

fn in_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|path| is_program(path))
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

/// A program that starts `program` so that it dies with the thread that started it, where the
/// host has one. util-linux's `setpriv` asks the kernel for that (PR_SET_PDEATHSIG) and then
/// becomes the program; asking from here would take unsafe code between fork and exec.
pub(crate) fn bound_to_us(program: &Path) -> Command {
    static SETPRIV: OnceLock<Option<PathBuf>> = OnceLock::new();
    let setpriv = SETPRIV.get_or_init(|| in_path("setpriv").filter(|path| can_bind(path)));
    match setpriv {
        None => Command::new(program),
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "--"]).arg(program);
            command
        }
    }
}

/// Whether this `setpriv` knows the option: busybox's does not.
fn can_bind(setpriv: &Path) -> bool {
    Command::new(setpriv)
        .args(["--pdeathsig", "KILL", "--", "true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// A directory for sockets, ours alone. Their paths hold 107 bytes at most (unix(7)), so a long
/// `TMPDIR` is passed over.
pub(crate) fn socket_directory() -> Result<tempfile::TempDir, Error> {
    const LONGEST: usize = 70;
    let wanted = [
        env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from),
        Some(env::temp_dir()),
    ];
    let usable = wanted.into_iter().flatten().find(|path| {
        path.is_absolute()
            && path.as_os_str().len() <= LONGEST
            && rustix::fs::access(
                path,
                rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK,
            )
            .is_ok()
    });
    let place = usable.unwrap_or_else(|| PathBuf::from("/tmp"));
    tempfile::Builder::new()
        .prefix("ampoule-")
        .permissions(fs::Permissions::from_mode(0o700))
        .tempdir_in(place)
        .map_err(Error::host("make a temporary directory"))
}
