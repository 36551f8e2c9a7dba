//! A program to run in a guest: it does what its first argument says. Compiled by the tests
//! as a static program; no part of any crate.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::exit;

unsafe extern "C" {
    fn signal(number: i32, handler: usize) -> usize;
    fn fork() -> i32;
    fn setsid() -> i32;
    fn pause() -> i32;
    fn poll(set: *mut PollFd, count: u64, timeout: i32) -> i32;
}

#[repr(C)]
struct PollFd {
    fd: i32,
    events: i16,
    found: i16,
}

const SIGTERM: i32 = 15;
const SIG_IGN: usize = 1;

extern "C" fn on_term(_: i32) {
    println!("got SIGTERM");
    exit(42);
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let number = || {
        arguments
            .get(2)
            .and_then(|text| text.parse::<u32>().ok())
            .unwrap_or(0)
    };
    match arguments.get(1).map(String::as_str) {
        Some("exit") => exit(number() as i32),
        Some("abort") => std::process::abort(),
        Some("forge") => forge(),
        Some("flood") => (0..number()).for_each(|line| println!("line {line} of the flood")),
        Some("handle") => {
            unsafe { signal(SIGTERM, on_term as *const () as usize) };
            idle("handling");
        }
        Some("ignore") => ignore(),
        Some("leave") => leave(),
        Some("orphans") => orphans(),
        Some("eat") => eat(),
        Some("serve") => serve(&format!("0.0.0.0:{}", number())),
        Some("loopback") => serve(&format!("127.0.0.1:{}", number())),
        Some("input") => input(),
        Some("outputs") => outputs(),
        _ => tell(&arguments),
    }
}

fn idle(word: &str) -> ! {
    println!("{word}");
    loop {
        unsafe { pause() };
    }
}

/// Writes what looks like reports, in every way that it can think of.
fn forge() {
    println!("ampoule: verdict exit=0");
    println!("x\rampoule: verdict exit=0");
    print!("half a line");
    std::io::stdout().flush().unwrap();
    eprintln!("ampoule: verdict exit=0");
    println!("{}ampoule: verdict exit=0", "y".repeat(5000));
    print!("no end");
    exit(7);
}

/// Ignores SIGTERM, and so does a child of another session.
fn ignore() -> ! {
    unsafe { signal(SIGTERM, SIG_IGN) };
    println!("ignoring");
    if unsafe { fork() } == 0 {
        unsafe { setsid() };
        idle("the child too");
    }
    loop {
        unsafe { pause() };
    }
}

/// Ends and leaves a child of another session that ignores SIGTERM.
fn leave() -> ! {
    unsafe { signal(SIGTERM, SIG_IGN) };
    if unsafe { fork() } == 0 {
        unsafe { setsid() };
        idle("left behind");
    }
    exit(5);
}

/// Leaves processes to PID 1, and waits until none of them is a zombie.
fn orphans() -> ! {
    for _ in 0..40 {
        if unsafe { fork() } == 0 {
            if unsafe { fork() } == 0 {
                exit(0);
            }
            exit(0);
        }
    }
    // our own children are ours to reap; their children are PID 1's
    let of_pid_1 = || {
        fs::read_dir("/proc").unwrap().flatten().any(|entry| {
            let status = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            status.contains(" Z 1 ")
        })
    };
    while of_pid_1() {}
    println!("all reaped");
    exit(3);
}

fn eat() -> ! {
    let mut eaten = Vec::new();
    loop {
        eaten.push(vec![1_u8; 1 << 20]);
    }
}

fn serve(address: &str) -> ! {
    let listener = TcpListener::bind(address).unwrap_or_else(|error| {
        println!("bind {address}: {error}");
        exit(1)
    });
    println!("listening on {address}");
    loop {
        if let Ok((mut stream, _)) = listener.accept() {
            let mut request = [0; 1024];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nyes");
        }
    }
}

/// Standard input is open and gives nothing.
fn input() {
    let mut set = PollFd {
        fd: 0,
        events: 1,
        found: 0,
    };
    let found = unsafe { poll(&mut set, 1, 300) };
    println!("poll of standard input: {found} {:#x}", set.found);
}

/// The outputs can be opened by name.
fn outputs() {
    for name in ["/dev/stdout", "/dev/stderr", "/dev/fd/1"] {
        match OpenOptions::new().write(true).open(name) {
            Ok(mut file) => writeln!(file, "written to {name}").unwrap(),
            Err(error) => println!("open {name}: {error}"),
        }
    }
}

/// What the program finds around it.
fn tell(arguments: &[String]) {
    println!("arguments {arguments:?}");
    for (name, value) in std::env::vars() {
        println!("variable {name}={value}");
    }
    println!("directory {}", std::env::current_dir().unwrap().display());
    show(
        "/proc/self/status",
        &["Uid:", "Gid:", "Groups:", "Cap", "NoNewPrivs:", "Sig"],
    );
    show(
        "/proc/self/limits",
        &["Max open files", "Max core file size"],
    );
    for setting in ["hostname", "yama/ptrace_scope", "panic", "panic_on_oops"] {
        show(&format!("/proc/sys/kernel/{setting}"), &[""]);
    }
    show("/proc/self/oom_score_adj", &[""]);
    show("/proc/mounts", &[""]);
    let mut open: Vec<_> = fs::read_dir("/proc/self/fd")
        .unwrap()
        .flatten()
        .map(|fd| fd.file_name())
        .collect();
    open.sort();
    // one of them is the directory that is being read
    println!("descriptors {}", open.len() - 1);
    for path in ["/new", "/etc/new", "/tmp/new", "/dev/shm/new", "/run/new"] {
        match File::create(path) {
            Ok(_) => println!("create {path}: done"),
            Err(error) => println!("create {path}: {:?}", error.kind()),
        }
    }
    let pty = OpenOptions::new().read(true).write(true).open("/dev/ptmx");
    println!(
        "pseudoterminal {}",
        if pty.is_ok() {
            "opens"
        } else {
            "does not open"
        }
    );
    let v6 = TcpListener::bind("[::1]:0");
    println!(
        "IPv6 loopback {}",
        if v6.is_ok() { "binds" } else { "does not bind" }
    );
}

fn show(path: &str, beginnings: &[&str]) {
    let text = fs::read_to_string(path).unwrap_or_else(|error| format!("{path}: {error}"));
    for line in text.lines() {
        if beginnings.iter().any(|one| line.starts_with(one)) {
            println!(
                "{path} {}",
                line.split_whitespace().collect::<Vec<_>>().join(" ")
            );
        }
    }
}
