//! The program inside the machine under test: it tells the network what it finds there, again
//! and again, in datagrams to an address that only the default route leads to.

use std::fs::read_to_string;
use std::net::UdpSocket;
use std::thread::sleep;
use std::time::Duration;

fn main() {
    let sections = [
        ("resolv", "/etc/resolv.conf"),
        ("route", "/proc/net/route"),
        ("if_inet6", "/proc/net/if_inet6"),
        ("fib", "/proc/net/fib_trie"),
    ];
    let mut link = String::new();
    loop {
        let now = read_to_string("/sys/class/net/eth0/operstate").unwrap_or_default();
        if now != link {
            print!("link {now}");
            link = now;
        }
        let mut text = String::new();
        for (name, path) in sections {
            let content = read_to_string(path).unwrap_or_else(|error| error.to_string());
            text += &format!("[{name}]\n{content}");
        }
        text.truncate(1300);
        // without an address or a route there is nobody to tell
        if let Ok(socket) = UdpSocket::bind("0.0.0.0:0") {
            let _ = socket.send_to(text.as_bytes(), "198.51.100.7:9");
        }
        sleep(Duration::from_millis(250));
    }
}
