//! Unified kernel images of the kit's own parts, held against binutils, which
//! nobody here wrote.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use ampoule::boot::uki::{self, Parts, Written};
use ampoule::kit::Kit;
use ampoule::units::Arch;

const OSREL: &[u8] = b"ID=ampoule\n";
const CMDLINE: &[u8] = b"console=ttyS0 quiet";

struct Made {
    dir: tempfile::TempDir,
    kit: Kit,
    written: Written,
}

impl Made {
    fn new() -> Made {
        let kit = Kit::open(Arch::X86_64).expect("the kit");
        let dir = tempfile::tempdir().unwrap();
        let initrd = dir.path().join("initrd");
        fs::write(&initrd, [0x28; 100_001]).unwrap();
        let stub = fs::read(kit.stub()).unwrap();
        let parts = Parts {
            osrel: OSREL,
            cmdline: CMDLINE,
            uname: kit.kernel_version().as_bytes(),
            linux: kit.kernel(),
            initrd: &initrd,
        };
        let mut out = File::create(dir.path().join("uki.efi")).unwrap();
        let written = uki::assemble(&stub, &parts, &mut out).unwrap();
        Made { dir, kit, written }
    }

    fn binutil(&self, tool: &str, args: &[&str]) -> String {
        let output = Command::new(tool)
            .args(args)
            .env("LC_ALL", "C")
            .current_dir(self.dir.path())
            .output()
            .unwrap_or_else(|e| panic!("cannot run {tool}: {e}; install the package binutils"));
        assert!(output.status.success(), "{tool} {args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// A section's bytes as objcopy cuts them out, up to their real length:
    /// it pads to the alignment of the file.
    fn cut(&self, name: &str) -> Vec<u8> {
        let only = format!("--only-section={name}");
        self.binutil("objcopy", &["-O", "binary", &only, "uki.efi", "section"]);
        let mut bytes = fs::read(self.dir.path().join("section")).unwrap();
        let section = self.written.sections.iter().find(|s| s.name == name);
        let len = usize::try_from(section.unwrap().size.0).unwrap();
        assert!(bytes.len() >= len && bytes.len() - len < 512);
        bytes.truncate(len);
        bytes
    }
}

#[test]
fn binutils_find_every_part_where_it_was_put() {
    let made = Made::new();
    let listed = made.binutil("objdump", &["-h", "uki.efi"]);
    for section in &made.written.sections {
        let line = listed
            .lines()
            .find(|line| line.split_whitespace().nth(1) == Some(&section.name));
        let fields: Vec<_> = line.expect("a section").split_whitespace().collect();
        let number = |n: usize| u64::from_str_radix(fields[n], 16).unwrap();
        assert_eq!(number(5), section.offset.0, "{}", section.name);
        assert_eq!(number(2), section.size.0, "{}", section.name);
    }
    assert!(made.cut(".linux") == fs::read(made.kit.kernel()).unwrap());
    assert!(made.cut(".initrd") == [0x28; 100_001]);
    assert_eq!(made.cut(".cmdline"), CMDLINE);
    assert_eq!(made.cut(".osrel"), OSREL);
    assert_eq!(made.cut(".uname"), made.kit.kernel_version().as_bytes());
}

#[test]
fn sections_lie_apart_in_memory_and_the_stub_keeps_its_own() {
    let made = Made::new();
    let path = made.dir.path().join("uki.efi");
    let stub = uki_sections(&made, made.kit.stub());
    let whole = uki_sections(&made, &path);
    assert_eq!(whole[..stub.len()], stub);
    assert!(stub.iter().any(|(name, ..)| name == ".sbat"));
    // by address in memory: none may reach into the next
    let mut by_address = whole.clone();
    by_address.sort_by_key(|&(_, _, address)| address);
    for pair in by_address.windows(2) {
        let (ref name, size, address) = pair[0];
        assert!(address + size <= pair[1].2, "{name} overlaps {}", pair[1].0);
    }
    let header = made.binutil("objdump", &["-x", "uki.efi"]);
    for line in [
        "Subsystem\t\t0000000a\t(EFI application)",
        "FileAlignment\t\t00000200",
    ] {
        assert!(header.contains(line), "{line}\n{header}");
    }
    uki::verify(File::open(&path).unwrap()).unwrap();
}

/// Name, size and address in memory of each section, as objdump reads them.
fn uki_sections(made: &Made, path: &Path) -> Vec<(String, u64, u64)> {
    let listed = made.binutil("objdump", &["-h", path.to_str().unwrap()]);
    let numbered = |line: &&str| line.trim_start().starts_with(|c: char| c.is_ascii_digit());
    listed
        .lines()
        .filter(numbered)
        .map(|line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            let number = |n: usize| u64::from_str_radix(fields[n], 16).unwrap();
            (fields[1].to_owned(), number(2), number(3))
        })
        .collect()
}
