//! Questions in a server's own protocol. A wrong answer or none is an error, which the caller may outwait: a server
//! can listen before it can answer.

use std::fmt;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use serde::Deserialize;

type Response = ureq::http::Response<ureq::Body>;

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
        let agent = ureq::Agent::new_with_config(
            ureq::config::Config::builder()
                // the guest is asked and no other: no proxy out of the environment
                .proxy(None)
                .timeout_global(Some(PATIENCE))
                .build(),
        );
        let url = |path: &str| format!("http://127.0.0.1:{port}{path}");
        match self {
            Probe::Http { path, contains, .. } => right(agent.get(url(path)).call(), contains),
            Probe::JsonRpc {
                path,
                method,
                contains,
                ..
            } => {
                let call =
                    format!(r#"{{"jsonrpc":"2.0","id":"1","method":"{method}","params":[]}}"#);
                let post = agent.post(url(path)).content_type("application/json");
                right(post.send(call), contains)
            }
            Probe::Nats { .. } => nats(port),
        }
    }
}

/// Whether the answer has the status 200 and the text in its body.
fn right(answer: Result<Response, ureq::Error>, contains: &str) -> io::Result<()> {
    let mut answer = answer.map_err(|error| wrong(&error.to_string()))?;
    let body = answer.body_mut().read_to_string();
    let body = body.map_err(|error| wrong(&error.to_string()))?;
    if answer.status() != 200 || !body.contains(contains) {
        return Err(wrong(&format!(
            "wanted 200 with '{contains}', got {} with '{body}'",
            answer.status()
        )));
    }
    Ok(())
}

/// <https://docs.nats.io/reference/reference-protocols/nats-protocol>
fn nats(port: u16) -> io::Result<()> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
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
