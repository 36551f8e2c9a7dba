//! A web server of the standard library alone, to seal into a machine: it answers with a greeting and with what
//! else runs in that machine, which is nothing.
//!
//! `hello [ADDRESS]` listens on ADDRESS, `[::]:8080` unless told otherwise.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use std::{env, fs, process, thread};

/// More than any browser sends in a request's head.
const HEAD_LIMIT: u64 = 16 * 1024;
/// A client that says nothing for so long is let go.
const PATIENCE: Duration = Duration::from_secs(10);
/// Each connection has a thread; beyond this many the next one is closed at once.
const CONNECTIONS: usize = 64;

fn main() {
    let address = env::args().nth(1).unwrap_or_else(|| "[::]:8080".to_owned());
    let listener = TcpListener::bind(&address).unwrap_or_else(|error| {
        eprintln!("hello: cannot listen on {address}: {error}");
        process::exit(1);
    });
    println!("hello: listening on {address}");
    serve(&listener);
}

/// Accepts for ever.
fn serve(listener: &TcpListener) {
    let open = Arc::new(AtomicUsize::new(0));
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) => {
                eprintln!("hello: accept: {error}");
                // out of descriptors, most likely: let some connections end first
                thread::sleep(Duration::from_millis(50));
                continue;
            }
        };
        if open.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS {
            open.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        let open = Arc::clone(&open);
        thread::spawn(move || {
            // a client that went away is no concern of the server's
            let _ = converse(stream);
            open.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

/// Reads one request, answers it, and closes.
fn converse(mut stream: TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut head = BufReader::new(stream.try_clone()?.take(HEAD_LIMIT)).lines();
    let request = head.next().transpose()?.unwrap_or_default();
    // closing with unread input would reset the connection under the answer
    for line in head {
        if line?.is_empty() {
            break;
        }
    }
    stream.write_all(&answer(&request))
}

/// The whole response to a request line.
fn answer(request: &str) -> Vec<u8> {
    let mut words = request.split(' ');
    let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let (status, body) = match (method, path) {
        ("GET" | "HEAD", "/") => ("200 OK", greeting()),
        ("GET" | "HEAD", "/health") => ("200 OK", "ok\n".to_owned()),
        ("GET" | "HEAD", path) if path.starts_with('/') => {
            ("404 Not Found", "not found\n".to_owned())
        }
        (_, path) if path.starts_with('/') => {
            ("405 Method Not Allowed", "only GET and HEAD\n".to_owned())
        }
        _ => ("400 Bad Request", "bad request\n".to_owned()),
    };
    let mut response = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    if method != "HEAD" {
        response.push_str(&body);
    }
    response.into_bytes()
}

/// Who speaks, and what else is there.
fn greeting() -> String {
    let mut text =
        env::var("GREETING").unwrap_or_else(|_| "Hello from a sealed machine.".to_owned());
    text.push('\n');
    for (label, file) in [
        ("kernel", "/proc/version"),
        ("host", "/proc/sys/kernel/hostname"),
    ] {
        if let Ok(line) = fs::read_to_string(file) {
            // writing into a String cannot fail
            let _ = writeln!(text, "{label}: {}", line.trim_end());
        }
    }
    let _ = writeln!(text, "programs: {}", programs().join(", "));
    text
}

/// The names of all processes that have a program, the kernel's own threads left out.
fn programs() -> Vec<String> {
    let mut found: Vec<(u32, String)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            // a kernel thread has no command line
            let cmdline = fs::read(entry.path().join("cmdline")).ok()?;
            let name = fs::read_to_string(entry.path().join("comm")).ok()?;
            (!cmdline.is_empty()).then(|| (pid, name.trim_end().to_owned()))
        })
        .collect();
    found.sort_unstable();
    found
        .into_iter()
        .map(|(pid, name)| format!("{name} ({pid})"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(request: &str) -> String {
        let response = String::from_utf8(answer(request)).unwrap();
        response.lines().next().unwrap().to_owned()
    }

    #[test]
    fn each_request_has_its_status() {
        assert_eq!(status("GET / HTTP/1.1"), "HTTP/1.1 200 OK");
        assert_eq!(status("GET /health HTTP/1.1"), "HTTP/1.1 200 OK");
        assert_eq!(status("GET /nowhere HTTP/1.1"), "HTTP/1.1 404 Not Found");
        assert_eq!(status("POST / HTTP/1.1"), "HTTP/1.1 405 Method Not Allowed");
        assert_eq!(status(""), "HTTP/1.1 400 Bad Request");
    }

    #[test]
    fn a_head_request_gets_the_length_and_no_body() {
        let response = String::from_utf8(answer("HEAD /health HTTP/1.1")).unwrap();
        assert!(response.contains("Content-Length: 3\r\n"));
        assert!(response.ends_with("\r\n\r\n"));
    }

    #[test]
    fn the_program_itself_is_among_those_that_run() {
        assert!(
            programs()
                .iter()
                .any(|program| program.ends_with(&format!("({})", process::id())))
        );
    }
}
