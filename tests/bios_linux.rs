//! The BIOS loader under SeaBIOS with the kit's kernel: a guest tells the
//! SHA-256 of a file of 100 MiB in its initrd, whatever its disk hangs on.

mod bios_support;

use std::fs;
use std::sync::Mutex;
use std::thread;

use bios_support::{BUSES, Boot, Running, initrd, kit, machine, noise};

/// Bytes of the file; the last sector and the last page are not full.
const BLOB: usize = (100 << 20) + 12_345;

#[test]
fn a_file_of_100_mib_arrives_whole_on_every_bus() {
    let dir = tempfile::tempdir().expect("a directory");
    let (initrd, wanted) = initrd(dir.path(), noise(BLOB));
    let kernel = fs::read(kit().kernel()).expect("the kit's kernel");
    let disk = dir.path().join("disk");
    let boot = Boot {
        kernel: &kernel,
        initrd: &initrd,
        cmdline: "console=ttyS0 quiet panic=-1",
        memory_mib: 320,
        gap: 0,
    };
    boot.write(&disk);
    let queue = Mutex::new(BUSES.into_iter());
    let next = || queue.lock().expect("no thread panics here").next();
    thread::scope(|scope| {
        let work = || {
            while let Some(bus) = next() {
                let mut machine = Running::start(&machine(&disk, bus).memory_mib(384));
                assert_eq!(machine.expect("sha256 "), wanted, "by {}", bus.0);
                machine.expect_off();
            }
        };
        scope.spawn(work);
        scope.spawn(work);
    });
}
