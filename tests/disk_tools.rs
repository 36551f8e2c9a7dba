//! Disk images and archives held against tools that nobody here wrote. A tool
//! that is missing fails the test, naming its Debian package.

use std::fs::{self, File};
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use ampoule::digest::Digest;
use ampoule::disk::{self, BootCode, Plan, Window};
use ampoule::initramfs::{self, Content, Tree};
use ampoule::units::{Arch, Bytes, MIB};

/// Runs a tool, which administrators' directories may hold.
fn run(tool: &str, package: &str, args: &[&str]) -> Output {
    let path = std::env::var("PATH").unwrap_or_default();
    Command::new(tool)
        .args(args)
        .env("PATH", format!("{path}:/usr/sbin:/sbin"))
        .env("LC_ALL", "C")
        .output()
        .unwrap_or_else(|e| panic!("cannot run {tool}: {e}; install the package {package}"))
}

/// Runs a tool that must succeed, and gives all that it says.
fn said(tool: &str, package: &str, args: &[&str]) -> String {
    let output = run(tool, package, args);
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "{tool} {args:?}: {text}");
    text
}

struct Made {
    dir: tempfile::TempDir,
    plan: Plan,
    uki: Vec<u8>,
}

impl Made {
    fn new(len: u64, arch: Arch) -> Made {
        let dir = tempfile::tempdir().unwrap();
        let block: Vec<u8> = (0u32..4093).flat_map(|n| (n * n).to_le_bytes()).collect();
        let len = usize::try_from(len).unwrap();
        let uki: Vec<u8> = block.iter().copied().cycle().take(len).collect();
        let seed = Digest::of(&len.to_le_bytes());
        let plan = disk::plan(Bytes(uki.len() as u64), arch, &seed).unwrap();
        let boot = BootCode {
            mbr: [0xf4; 440],
            stage2: vec![0xf4; 9000],
        };
        let boot = plan.bios.is_some().then_some(&boot);
        let out = File::options()
            .create_new(true)
            .read(true)
            .write(true)
            .open(dir.path().join("disk.img"))
            .unwrap();
        disk::write(&plan, &mut Cursor::new(&uki), boot, &out).unwrap();
        Made { dir, plan, uki }
    }

    fn image(&self) -> PathBuf {
        self.dir.path().join("disk.img")
    }

    /// The ESP as a file of its own, its zeros as holes.
    fn esp(&self) -> PathBuf {
        let path = self.dir.path().join("esp.img");
        let mut image = File::open(self.image()).unwrap();
        let mut esp = Window::new(&mut image, self.plan.esp.extent());
        io::copy(&mut esp, &mut File::create(&path).unwrap()).unwrap();
        path
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Three cluster sizes, and both architectures.
fn samples() -> [Made; 4] {
    [
        Made::new(1, Arch::X86_64),
        Made::new(MIB + 77, Arch::Aarch64),
        Made::new(70 * MIB + 1, Arch::X86_64),
        Made::new(135 * MIB, Arch::X86_64),
    ]
}

#[test]
fn the_tools_find_nothing_wrong_with_a_disk() {
    for made in samples() {
        check_file_system(&made);
        check_table(&made);
        check_file(&made);
    }
}

fn check_file_system(made: &Made) {
    let esp = made.esp();
    let fsck = said("fsck.fat", "dosfstools", &["-n", text(&esp)]);
    let lines: Vec<_> = fsck.lines().collect();
    // its name and its summary; anything between would be a complaint
    let [_, summary] = lines[..] else {
        panic!("{fsck}");
    };
    // the directories EFI and BOOT, the volume's label and the file
    assert!(summary.contains(": 4 files, "), "{fsck}");
    let verbose = said("fsck.fat", "dosfstools", &["-n", "-v", text(&esp)]);
    assert!(verbose.contains("2 FATs, 32 bit entries"), "{verbose}");
    let hidden = format!("{} hidden sectors", made.plan.esp.first.0);
    assert!(verbose.contains(&hidden), "{verbose}");
}

fn check_table(made: &Made) {
    let image = made.image();
    let sgdisk = said("sgdisk", "gdisk", &["-v", text(&image)]);
    assert!(sgdisk.contains("No problems found."), "{sgdisk}");
    assert!(!sgdisk.contains("Caution"), "{sgdisk}");
    let sfdisk = said("sfdisk", "fdisk", &["--verify", text(&image)]);
    assert!(sfdisk.contains("No errors detected."), "{sfdisk}");
    let listed = said("sgdisk", "gdisk", &["-p", text(&image)]);
    assert!(listed.contains("EF00  EFI system"), "{listed}");
    assert_eq!(listed.contains("EF02  BIOS boot"), made.plan.bios.is_some());
}

fn check_file(made: &Made) {
    let at = made.plan.esp.first.offset().0;
    let at = format!("{}@@{at}", text(&made.image()));
    let copy = made.dir.path().join("copy.efi");
    let name = format!("::/EFI/BOOT/{}", made.plan.efi_name());
    said("mcopy", "mtools", &["-i", &at, &name, text(&copy)]);
    assert!(fs::read(&copy).unwrap() == made.uki);
    let listed = said("mdir", "mtools", &["-i", &at, "-/", "-b", "::"]);
    let mut files: Vec<_> = listed.lines().collect();
    files.sort_unstable();
    assert_eq!(files, ["::/EFI/", "::/EFI/BOOT/", name.as_str()]);
    let dated = said("mdir", "mtools", &["-i", &at, "::/EFI/BOOT"]);
    assert!(dated.contains("Volume in drive : is AMPOULE"), "{dated}");
    assert_eq!(dated.matches("1980-01-01").count(), 3, "{dated}");
}

/// Every kind of node that an image holds, and lengths around the alignment.
fn tree() -> Tree {
    let mut tree = Tree::new();
    for len in 0..6 {
        let content = Content::Bytes(vec![b'a'; len]);
        tree.file(&format!("/files/{len}"), 0o644, content).unwrap();
    }
    tree.dir("/tmp", 0o1777).unwrap();
    tree.symlink("/etc/link", "../files/1").unwrap();
    tree.char_device("/dev/console", 0o600, 5, 1).unwrap();
    tree
}

#[test]
fn cpio_lists_and_unpacks_the_archive() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("archive");
    initramfs::write(&tree(), File::create(&path).unwrap()).unwrap();
    let listed = said("cpio", "cpio", &["-t", "--quiet", "-F", text(&path)]);
    let expected = [
        ".",
        "dev",
        "dev/console",
        "etc",
        "etc/link",
        "files",
        "files/0",
        "files/1",
        "files/2",
        "files/3",
        "files/4",
        "files/5",
        "tmp",
    ];
    assert_eq!(listed.lines().collect::<Vec<_>>(), expected);
    let verbose = said("cpio", "cpio", &["-tvn", "--quiet", "-F", text(&path)]);
    for line in [
        "drwxr-xr-x   6 0        0               0 Jan  1  1970 .",
        "crw-------   1 0        0          5,   1 Jan  1  1970 dev/console",
        "lrwxrwxrwx   1 0        0              10 Jan  1  1970 etc/link -> ../files/1",
        "-rw-r--r--   1 0        0               5 Jan  1  1970 files/5",
        "drwxrwxrwt   2 0        0               0 Jan  1  1970 tmp",
    ] {
        assert!(verbose.lines().any(|l| l == line), "{line}\n{verbose}");
    }
}

#[test]
fn zstd_unpacks_what_was_packed() {
    let dir = tempfile::tempdir().unwrap();
    let (packed, unpacked) = (dir.path().join("a.zst"), dir.path().join("a"));
    let written = initramfs::pack(
        &tree(),
        File::create(&packed).unwrap(),
        initramfs::DEFAULT_LEVEL,
    )
    .unwrap();
    said(
        "zstd",
        "zstd",
        &["-q", "-d", text(&packed), "-o", text(&unpacked)],
    );
    let mut plain = Vec::new();
    initramfs::write(&tree(), &mut plain).unwrap();
    assert!(fs::read(&unpacked).unwrap() == plain);
    assert_eq!(written.archive.len, Bytes(plain.len() as u64));
    let listed = said("zstd", "zstd", &["-l", "-v", text(&packed)]);
    assert!(listed.contains("Check: XXH64"), "{listed}");
    let mut first = [0; 4];
    File::open(&packed).unwrap().read_exact(&mut first).unwrap();
    assert_eq!(first, [0x28, 0xb5, 0x2f, 0xfd]);
}
