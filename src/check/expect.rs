//! What is asked of an image.

use std::fmt;
use std::str::FromStr;

use regex::Regex;

/// One thing that an image must do.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Expectation {
    /// Answer an HTTP request.
    Http(Http),
    /// Take TCP connections on a port.
    Tcp(u16),
    /// End by itself, with this code.
    Exit(u8),
}

/// An HTTP request and what its answer must be.
#[derive(Debug, Clone)]
pub struct Http {
    /// The guest's port.
    pub port: u16,
    /// What is asked for; begins with `/`.
    pub path: String,
    /// The status of the answer.
    pub status: u16,
    /// What the answer's body must match.
    pub body: Option<Regex>,
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expectation::Http(Http {
                port, path, status, ..
            }) => {
                write!(f, "http {port}{path}={status}")
            }
            Expectation::Tcp(port) => write!(f, "tcp {port}"),
            Expectation::Exit(code) => write!(f, "exit {code}"),
        }
    }
}

impl Expectation {
    /// The guest's port that it is about.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        match self {
            Expectation::Http(http) => Some(http.port),
            Expectation::Tcp(port) => Some(*port),
            Expectation::Exit(_) => None,
        }
    }
}

/// A request as it is written: `[PORT]/PATH=STATUS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    port: Option<u16>,
    path: String,
    status: u16,
}

/// Why a request cannot be read or asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpectError {
    /// It is not of its form.
    #[error("{text:?} is no request: {reason}; write [PORT]/PATH=STATUS, as 8080/health=200")]
    Form {
        /// What was given.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// It names no port, and the image does not say which one is meant.
    #[error(
        "{path:?} names no port, and the image declares {declared}; write the port before the path"
    )]
    Port {
        /// What is asked for.
        path: String,
        /// The ports that the image declares, or that it has none.
        declared: String,
    },
}

impl FromStr for Request {
    type Err = ExpectError;

    fn from_str(text: &str) -> Result<Request, ExpectError> {
        let bad = |reason| ExpectError::Form {
            text: text.to_owned(),
            reason,
        };
        // the last one: a query may hold the sign too
        let (target, status) = text
            .rsplit_once('=')
            .ok_or_else(|| bad("there is no = in it"))?;
        let slash = target
            .find('/')
            .ok_or_else(|| bad("there is no path in it"))?;
        let (port, path) = target.split_at(slash);
        let port = match port {
            "" => None,
            port => Some(
                port.parse()
                    .ok()
                    .filter(|&port| port != 0)
                    .ok_or_else(|| bad("what stands before the path is no port"))?,
            ),
        };
        let status = status
            .parse()
            .ok()
            .filter(|status| (100..600).contains(status));
        let status = status.ok_or_else(|| bad("the status is a number from 100 to 599"))?;
        if path.bytes().any(|byte| !byte.is_ascii_graphic()) {
            return Err(bad("the path has characters that must be percent-encoded"));
        }
        Ok(Request {
            port,
            path: path.to_owned(),
            status,
        })
    }
}

impl Request {
    /// The expectation that it stands for: a port that is not named is the only one that the
    /// image declares, or 80 where it declares that one.
    ///
    /// # Errors
    /// When it is not clear which port is meant.
    pub fn resolve(
        self,
        declared: &[u16],
        body: Option<Regex>,
    ) -> Result<Expectation, ExpectError> {
        let Request { port, path, status } = self;
        let port = match (port, declared) {
            (Some(port), _) => port,
            (None, [only]) => *only,
            (None, ports) if ports.contains(&80) => 80,
            (None, ports) => {
                let declared = match ports {
                    [] => "no port".to_owned(),
                    ports => {
                        let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
                        format!("the ports {}", ports.join(", "))
                    }
                };
                return Err(ExpectError::Port { path, declared });
            }
        };
        Ok(Expectation::Http(Http {
            port,
            path,
            status,
            body,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(text: &str, declared: &[u16]) -> String {
        match text
            .parse::<Request>()
            .and_then(|request| request.resolve(declared, None))
        {
            Ok(expectation) => expectation.to_string(),
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn requests_are_read() {
        assert_eq!(resolved("8080/health=200", &[]), "http 8080/health=200");
        assert_eq!(resolved("/=404", &[9000]), "http 9000/=404");
        assert_eq!(resolved("/a?b=c=301", &[443, 80]), "http 80/a?b=c=301");
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for text in [
            "",
            "/",
            "/=",
            "/=99",
            "/=600",
            "/=ok",
            "8080=200",
            "x/=200",
            "0/=200",
            "70000/=200",
            "/a b=200",
            "/\u{e4}=200",
        ] {
            assert!(text.parse::<Request>().is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn a_port_that_is_not_clear_is_asked_for() {
        assert_eq!(
            resolved("/=200", &[]),
            "error: \"/\" names no port, and the image declares no port; write the port before the path"
        );
        assert_eq!(
            resolved("/=200", &[1, 2]),
            "error: \"/\" names no port, and the image declares the ports 1, 2; write the port before the path"
        );
    }
}
