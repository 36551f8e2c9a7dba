//! PID 1 as a file: small, static, and no segment both writable and executable.

#[path = "common/init.rs"]
mod init;

use goblin::elf::Elf;
use goblin::elf::header::{EM_X86_64, ET_EXEC};
use goblin::elf::program_header::{PF_R, PF_W, PF_X, PT_DYNAMIC, PT_GNU_STACK, PT_INTERP, PT_LOAD};

/// The budget in bytes. What pushes PID 1 past it has to be worth more than that.
const LIMIT: usize = 96 * 1024;

#[test]
fn pid_1_is_small_static_and_has_no_writable_code() {
    let bytes = std::fs::read(init::build("guest")).expect("cargo left PID 1 there");
    assert!(
        bytes.len() <= LIMIT,
        "{} bytes of at most {LIMIT}",
        bytes.len()
    );

    let elf = Elf::parse(&bytes).expect("an ELF file");
    assert_eq!(
        (elf.header.e_type, elf.header.e_machine),
        (ET_EXEC, EM_X86_64)
    );
    let kinds = || elf.program_headers.iter().map(|header| header.p_type);
    assert!(
        !kinds().any(|kind| kind == PT_INTERP || kind == PT_DYNAMIC),
        "not static"
    );

    let loads: Vec<_> = elf
        .program_headers
        .iter()
        .filter(|one| one.p_type == PT_LOAD)
        .collect();
    for load in &loads {
        let both = PF_W | PF_X;
        assert_ne!(
            load.p_flags & both,
            both,
            "a segment is writable and executable: {load:?}"
        );
    }
    let code = loads
        .iter()
        .find(|load| load.vm_range().contains(&(elf.entry as usize)));
    assert_eq!(code.expect("the entry is loaded").p_flags, PF_R | PF_X);

    let stack = elf
        .program_headers
        .iter()
        .find(|one| one.p_type == PT_GNU_STACK);
    assert_eq!(
        stack.expect("a header for the stack").p_flags & PF_X,
        0,
        "the stack is executable"
    );
}
