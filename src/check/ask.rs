//! Asking a guest over its forwarded ports.
//!
//! QEMU takes a connection on the host before the guest does, even while the guest does not
//! run: that a connection is accepted proves nothing. Only what comes back from it counts.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::Http;

/// How long one attempt waits for an answer. An app that is slower than this is asked again,
/// which costs it another request.
const ATTEMPT: Duration = Duration::from_secs(10);

/// Between attempts.
const PAUSE: Duration = Duration::from_millis(100);

/// How much of an answer's body is read, in bytes.
const BODY: u64 = 4 << 20;

/// How long a connection must stay open to be taken as taken.
const HELD: Duration = Duration::from_millis(700);

/// What became of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// An HTTP answer.
    Http {
        /// Its status.
        status: u16,
        /// Its body; what is not UTF-8 in it is replaced.
        body: String,
    },
    /// The port sent this many bytes.
    Bytes(usize),
    /// The port sent nothing, but held the connection, and PID 1 says that it listens.
    Held,
    /// There was no answer; the last attempt ended like this.
    None(String),
}

/// What the one who asks shares with the one who watches the machine.
#[derive(Debug)]
pub(super) struct Shared {
    /// Set when nobody waits for the answer any more.
    pub over: AtomicBool,
    /// Ports that PID 1 says are listened on.
    pub listening: Mutex<Vec<u16>>,
    /// When to give up.
    pub deadline: Instant,
}

impl Shared {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed) || Instant::now() >= self.deadline
    }

    fn listens(&self, port: u16) -> bool {
        self.listening
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&port)
    }

    /// Tries until there is an answer or it is over.
    fn until_answered(
        &self,
        mut attempt: impl FnMut(Duration) -> Result<Answer, String>,
    ) -> Answer {
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            let failure = match attempt(left.min(ATTEMPT).max(PAUSE)) {
                Ok(answer) => return answer,
                Err(failure) => failure,
            };
            if self.is_over() {
                return Answer::None(failure);
            }
            thread::sleep(PAUSE);
        }
    }
}

/// Asks over HTTP/1.1. Any complete answer is the answer: what it must be is not known here.
pub(super) fn http(http: &Http, at: SocketAddr, shared: &Shared) -> Answer {
    let url = format!("http://{at}{}", http.path);
    // the guest is asked and no other: no proxy out of the environment, no redirects
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .proxy(None)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .user_agent(concat!("ampoule/", env!("CARGO_PKG_VERSION")))
        .build()
        .into();
    shared.until_answered(|limit| {
        let request = agent.get(&url).config().timeout_global(Some(limit)).build();
        let request = request.header("Connection", "close");
        let mut response = request.call().map_err(|error| error.to_string())?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        let read = response
            .body_mut()
            .as_reader()
            .take(BODY)
            .read_to_end(&mut body);
        read.map_err(|error| format!("status {status}, and its body broke off: {error}"))?;
        Ok(Answer::Http {
            status,
            body: String::from_utf8_lossy(&body).into_owned(),
        })
    })
}

/// Asks whether a TCP port answers. A server may wait for its client to speak first: it is sent
/// an empty line. If it still says nothing, a held connection and PID 1's word together count.
pub(super) fn tcp(port: u16, at: SocketAddr, shared: &Shared) -> Answer {
    shared.until_answered(|limit| {
        let told = |error: std::io::Error| error.to_string();
        let mut stream = TcpStream::connect_timeout(&at, limit).map_err(told)?;
        stream.set_read_timeout(Some(HELD)).map_err(told)?;
        let mut buffer = [0; 512];
        let mut silent = "it sent nothing".to_owned();
        for round in 0..2 {
            match stream.read(&mut buffer) {
                Ok(0) if round == 0 => return Err("it closed the connection at once".to_owned()),
                Ok(0) => return Err("it closed the connection without a word".to_owned()),
                Ok(count) => return Ok(Answer::Bytes(count)),
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    // only now: PID 1's word must be older than the end of the wait
                    if round == 0 && shared.listens(port) {
                        return Ok(Answer::Held);
                    }
                    stream.write_all(b"\r\n\r\n").map_err(told)?;
                }
                Err(error) => silent = error.to_string(),
            }
        }
        Err(silent)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufRead;
    use std::io::BufReader;
    use std::net::TcpListener;

    fn shared(listening: &[u16], within: Duration) -> Shared {
        Shared {
            over: AtomicBool::new(false),
            listening: Mutex::new(listening.to_vec()),
            deadline: Instant::now() + within,
        }
    }

    const LONG: Duration = Duration::from_secs(60);

    /// A server that treats its connections one after the other with `serve`.
    fn server(serve: impl Fn(usize, TcpStream) + Send + 'static) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        thread::spawn(move || {
            for (count, stream) in listener.incoming().enumerate() {
                serve(count, stream.unwrap());
            }
        });
        at
    }

    fn reply(stream: TcpStream, text: &str) {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        while reader.read_line(&mut line).unwrap() > 2 {
            line.clear();
        }
        reader.get_mut().write_all(text.as_bytes()).unwrap();
    }

    fn request() -> Http {
        Http {
            port: 80,
            path: "/a?b=c".to_owned(),
            status: 200,
            body: None,
        }
    }

    #[test]
    fn http_waits_for_an_answer_and_takes_the_first() {
        let at = server(|count, stream| match count {
            0 => drop(stream),
            1 => reply(stream, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"),
            _ => reply(
                stream,
                "HTTP/1.1 503 Wait\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nnot\r\n0\r\n\r\n",
            ),
        });
        let answer = http(&request(), at, &shared(&[], LONG));
        assert_eq!(
            answer,
            Answer::Http {
                status: 503,
                body: "not".to_owned()
            }
        );
    }

    #[test]
    fn redirects_are_answers() {
        let at = server(|_, stream| {
            reply(
                stream,
                "HTTP/1.0 302 Found\r\nLocation: http://192.0.2.1/\r\n\r\n",
            );
        });
        let answer = http(&request(), at, &shared(&[], LONG));
        assert_eq!(
            answer,
            Answer::Http {
                status: 302,
                body: String::new()
            }
        );
    }

    #[test]
    fn an_accepted_connection_is_no_answer() {
        let at = server(|_, stream| std::mem::forget(stream));
        let limit = Duration::from_millis(1500);
        assert!(matches!(
            http(&request(), at, &shared(&[], limit)),
            Answer::None(_)
        ));
        assert!(matches!(tcp(80, at, &shared(&[], limit)), Answer::None(_)));
    }

    #[test]
    fn a_held_connection_counts_with_the_word_of_pid_1() {
        let at = server(|_, stream| std::mem::forget(stream));
        assert_eq!(tcp(80, at, &shared(&[80], LONG)), Answer::Held);
    }

    #[test]
    fn a_server_speaks_first_or_when_spoken_to() {
        let at = server(|_, mut stream| stream.write_all(b"220 hello\r\n").unwrap());
        assert_eq!(tcp(25, at, &shared(&[], LONG)), Answer::Bytes(11));
        let at = server(|_, stream| reply(stream, "-ERR\r\n"));
        assert_eq!(tcp(6379, at, &shared(&[], LONG)), Answer::Bytes(6));
    }

    #[test]
    fn a_closed_port_is_no_answer() {
        let at = server(|_, stream| drop(stream));
        let answer = tcp(80, at, &shared(&[80], Duration::from_millis(300)));
        assert_eq!(
            answer,
            Answer::None("it closed the connection at once".to_owned())
        );
    }
}
