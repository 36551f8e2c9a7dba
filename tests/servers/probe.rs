//! Questions in a server's own protocol. A wrong answer or none is an error, which the caller may outwait: a server
//! can listen before it can answer.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use serde::Deserialize;

/// How long one question may take, on a software processor.
const PATIENCE: Duration = Duration::from_secs(20);

/// One question. The number is the port in the guest.
#[derive(Deserialize)]
#[serde(untagged)]
pub enum Probe {
    /// GET, wants 200 and the text in the body.
    Http {
        http: u16,
        path: String,
        #[serde(default)]
        contains: String,
    },
    /// A call of JSON-RPC 2.0 without parameters, wants the text in its result.
    JsonRpc {
        jsonrpc: u16,
        path: String,
        method: String,
        contains: String,
    },
    /// The NATS client protocol: greeting, ping, and a message published to oneself.
    Nats { nats: u16 },
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Probe::Http { http, path, .. } => write!(f, "GET :{http}{path}"),
            Probe::JsonRpc { method, .. } => write!(f, "JSON-RPC {method}"),
            Probe::Nats { .. } => f.write_str("NATS publish and subscribe"),
        }
    }
}

impl Probe {
    /// The guest's port that it goes to.
    pub fn port(&self) -> u16 {
        match *self {
            Probe::Http { http: port, .. }
            | Probe::JsonRpc { jsonrpc: port, .. }
            | Probe::Nats { nats: port } => port,
        }
    }

    /// Asks through `port` of this machine.
    pub fn ask(&self, port: u16) -> io::Result<()> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        match self {
            Probe::Http { path, contains, .. } => {
                let request =
                    format!("GET {path} HTTP/1.1\r\nHost: guest\r\nConnection: close\r\n\r\n");
                http(stream, &request, contains)
            }
            Probe::JsonRpc {
                path,
                method,
                contains,
                ..
            } => {
                let body =
                    format!(r#"{{"jsonrpc":"2.0","id":"1","method":"{method}","params":[]}}"#);
                let request = format!(
                    "POST {path} HTTP/1.1\r\nHost: guest\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                );
                http(stream, &request, contains)
            }
            Probe::Nats { .. } => nats(stream),
        }
    }
}

fn http(mut stream: TcpStream, request: &str, contains: &str) -> io::Result<()> {
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.lines().next().unwrap_or("");
    if status.split(' ').nth(1) != Some("200") || !body.contains(contains) {
        return Err(wrong(&format!(
            "wanted 200 with '{contains}', got '{status}' with '{body}'"
        )));
    }
    Ok(())
}

/// <https://docs.nats.io/reference/reference-protocols/nats-protocol>
fn nats(stream: TcpStream) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    expect(&mut reader, "INFO {")?;
    writer.write_all(b"CONNECT {\"verbose\":false}\r\nPING\r\n")?;
    expect(&mut reader, "PONG")?;
    writer.write_all(b"SUB greetings 1\r\nPUB greetings 5\r\nhello\r\n")?;
    expect(&mut reader, "MSG greetings 1 5")?;
    expect(&mut reader, "hello")
}

fn expect(reader: &mut impl BufRead, beginning: &str) -> io::Result<()> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    if line.starts_with(beginning) {
        Ok(())
    } else {
        Err(wrong(&format!(
            "wanted '{beginning}', got '{}'",
            line.trim_end()
        )))
    }
}

fn wrong(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// A server that says `answer` to the first who comes, after the end of his request's head.
    fn canned(answer: &'static str) -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            let reader = BufReader::new(stream.try_clone().unwrap());
            for line in reader.lines() {
                if line.unwrap().is_empty() {
                    break;
                }
            }
            stream.write_all(answer.as_bytes()).unwrap();
        });
        port
    }

    fn get(contains: &str) -> Probe {
        Probe::Http {
            http: 80,
            path: "/".to_owned(),
            contains: contains.to_owned(),
        }
    }

    #[test]
    fn an_answer_must_have_the_status_and_the_text() {
        for (answer, right) in [
            ("HTTP/1.1 200 OK\r\n\r\nhello there", true),
            ("HTTP/1.1 200 OK\r\n\r\ngood bye", false),
            ("HTTP/1.1 500 Oops\r\n\r\nhello there", false),
            ("", false),
        ] {
            assert_eq!(
                get("hello").ask(canned(answer)).is_ok(),
                right,
                "{answer:?}"
            );
        }
    }

    #[test]
    fn nobody_there_is_an_error() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        assert!(get("").ask(port).is_err());
    }
}
