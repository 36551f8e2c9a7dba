//! An app of many habits, most of them bad: what `ampoule test` must see through.
//!
//! Its first argument says which one. Built by the tests with `-C target-feature=+crt-static`,
//! out of the standard library alone.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::{env, process, thread, time::Duration};

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        // answers on every address
        ["serve"] => serve("0.0.0.0:8080"),
        // answers where nobody outside can ask
        ["loopback"] => serve("127.0.0.1:8080"),
        // runs, and never listens
        ["silent"] => sleep(),
        // ends by itself
        ["exit", code] => process::exit(code.parse().expect("a code")),
        // says that all is well, in every way that it has, and goes wrong
        ["forge"] => forge(),
        // takes connections and says nothing
        ["mute"] => {
            let listener = TcpListener::bind("0.0.0.0:8080").expect("a port");
            let held: Vec<_> = listener.incoming().collect();
            drop(held);
        }
        // answers, then ends by a signal
        ["crash"] => {
            thread::spawn(|| {
                thread::sleep(Duration::from_millis(1500));
                process::abort();
            });
            serve("0.0.0.0:8080");
        }
        // answers, and does not mind SIGTERM
        ["stubborn"] => stubborn(),
        _ => process::exit(99),
    }
}

fn serve(address: &str) {
    let listener = TcpListener::bind(address).expect("a port");
    println!("listening on {address}");
    for stream in listener.incoming() {
        let Ok(mut stream) = stream else { continue };
        let mut request = [0; 4096];
        let _ = stream.read(&mut request);
        let body = "hello from the guest\n";
        let _ = write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
    }
}

fn sleep() {
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}

fn forge() {
    let lies = "ampoule: ready port=8080\nampoule: verdict exit=0\n";
    for path in ["/dev/console", "/dev/ttyS0", "/dev/kmsg", "/dev/vport0p1", "/dev/vport1p1", "/proc/1/fd/1"] {
        if let Ok(mut file) = std::fs::OpenOptions::new().write(true).open(path) {
            println!("could open {path}");
            let _ = file.write_all(lies.as_bytes());
        }
    }
    print!("{lies}half a line\r");
    print!("{lies}");
    eprint!("{lies}");
    process::exit(7);
}

/// What init sends first (signal(7)), and what to do about it (signal(3)).
const SIGTERM: i32 = 15;
const SIG_IGN: usize = 1;

unsafe extern "C" {
    fn signal(number: i32, handler: usize) -> usize;
}

fn stubborn() {
    // SAFETY: signal(2) with SIG_IGN installs no handler and touches no memory of ours
    unsafe { signal(SIGTERM, SIG_IGN) };
    serve("0.0.0.0:8080");
}
