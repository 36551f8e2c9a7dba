//! Puts a filter on itself and makes calls: on this machine's kernel in `tests/seccomp.rs`,
//! on init's in `tests/guest_seccomp.rs`. Built by the tests, out of the standard library
//! alone.

use std::ffi::{c_long, c_void};
use std::io::Write;
use std::{env, fs, process, ptr, thread};

unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
    fn prctl(option: i32, ...) -> i32;
    fn __errno_location() -> *mut i32;
    fn _exit(code: i32) -> !;
}

/// One call with its arguments: its errno, or 0.
fn errno(number: i64, arguments: [usize; 6]) -> i32 {
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: what is passed is null, a small number, or alive until the call returns
    unsafe {
        *__errno_location() = 0;
        match syscall(number, a, b, c, d, e, f) {
            -1 => *__errno_location(),
            _ => 0,
        }
    }
}

const MOUNT: i64 = 165;
const PTRACE: i64 = 101;
const BPF: i64 = 321;
const GETPPID: i64 = 110;
const CONNECT: i64 = 42;
const SOCKET: i64 = 41;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["numbers", filter] => numbers(&fs::read(filter).expect("the filter")),
        ["behave", filter] => {
            install(&fs::read(filter).expect("the filter"));
            for (name, number) in [("mount", MOUNT), ("getppid", GETPPID), ("500", 500)] {
                println!("{name} {}", errno(number, [0; 6]));
            }
        }
        ["i386", filter] => {
            install(&fs::read(filter).expect("the filter"));
            // SAFETY: getpid of the 32-bit interface; it changes rax alone
            unsafe { std::arch::asm!("int 0x80", inout("rax") 20 => _) };
            println!("survived");
        }
        ["status"] => {
            let status = fs::read_to_string("/proc/self/status").expect("proc");
            let lines = status.lines().filter(|line| line.starts_with("Seccomp"));
            lines.for_each(|line| println!("{}", line.replace('\t', " ")));
        }
        ["forbidden"] => forbidden(),
        ["flood", times] => flood(times.parse().expect("a number")),
        ["start", program] => {
            let ended = process::Command::new(program).arg("forbidden").status();
            println!(
                "started {}",
                ended.map_or_else(|error| error.to_string(), |end| end.to_string())
            );
        }
        _ => process::exit(99),
    }
}

/// seccomp(2) as a process without privileges has it, with nobody listening.
fn install(filter: &[u8]) {
    #[repr(C)]
    struct Program {
        len: u16,
        filter: *const u8,
    }
    let program = Program {
        len: u16::try_from(filter.len() / 8).expect("a filter"),
        filter: filter.as_ptr(),
    };
    const NO_NEW_PRIVS: i32 = 38;
    const SECCOMP: i64 = 317;
    // SAFETY: a number, and a program that lives as long as the call
    let privileges = unsafe { prctl(NO_NEW_PRIVS, 1_usize, 0_usize, 0_usize, 0_usize) };
    let at = ptr::from_ref(&program) as usize;
    let refused = errno(SECCOMP, [1, 0, at, 0, 0, 0]);
    assert!(
        privileges == 0 && refused == 0,
        "the kernel refuses the filter: errno {refused}"
    );
}

/// Makes every call, with nothing for arguments, under a filter that lets none through but
/// write and exit_group; and prints the errno of each.
fn numbers(filter: &[u8]) {
    const X32: i64 = 1 << 30;
    // uretprobe and uprobe: the kernel's own, which newer ones let past every filter
    let all: Vec<i64> = (0..335)
        .chain(337..1024)
        .chain(X32..X32 + 335)
        .chain(X32 + 337..X32 + 600)
        .chain([0xffff_ffff])
        .collect();
    let mut errors = vec![0; all.len()];
    install(filter);
    for (number, error) in all.iter().zip(&mut errors) {
        if ![1, 231].contains(number) {
            *error = errno(*number, [0; 6]);
        }
    }
    for (number, error) in all.iter().zip(&errors) {
        // no memory can be asked for any more
        let mut line = [0_u8; 32];
        let mut rest = &mut line[..];
        let _ = writeln!(rest, "{number} {error}");
        let unused = rest.len();
        let len = line.len() - unused;
        // SAFETY: `len` bytes of the line
        unsafe { syscall(1, 1_usize, line.as_ptr().cast::<c_void>(), len) };
    }
    // SAFETY: ends the process, and runs nothing that could ask for more
    unsafe { _exit(0) }
}

fn forbidden() {
    let [mnt, kind] = [c"/mnt a", c"tmpfs"].map(|text| text.as_ptr() as usize);
    println!("mount {}", errno(MOUNT, [kind, mnt, kind, 0, 0, 0]));
    println!("ptrace {}", errno(PTRACE, [0; 6]));
    println!("bpf {}", errno(BPF, [0; 6]));
    println!("unknown {}", errno(500, [0; 6]));
    // a thread has a name of its own
    let named = thread::Builder::new().name("a worker".to_owned());
    let worker = named.spawn(|| {
        println!(
            "chroot {}",
            errno(161, [c"/tmp".as_ptr() as usize, 0, 0, 0, 0, 0])
        )
    });
    let _ = worker.expect("a thread").join();
    // struct sockaddr_in: 10.0.2.2:80
    let address = [2_u8, 0, 0, 80, 10, 0, 2, 2, 0, 0, 0, 0, 0, 0, 0, 0];
    // SAFETY: numbers alone
    let socket = unsafe { syscall(SOCKET, 2_usize, 2_usize, 0_usize) };
    let at = address.as_ptr() as usize;
    println!(
        "connect {}",
        errno(CONNECT, [socket as usize, at, 16, 0, 0, 0])
    );
}

fn flood(times: u32) {
    let refused = (0..times).filter(|_| errno(PTRACE, [0; 6]) == 1).count();
    println!("refused {refused}");
}
