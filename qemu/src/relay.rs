//! Ports on IPv6 addresses, where QEMU's user network cannot listen: a listener of ours passes
//! connections on to a port of 127.0.0.1 that QEMU forwards.

use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::thread::{self, JoinHandle};

use rustix::event::{PollFd, PollFlags, poll};

use crate::{Error, Forward, Protocol};

/// A port that is listened on, and the place of its forward among the machine's.
pub(crate) struct Front {
    at: usize,
    asked: Forward,
    listener: TcpListener,
}

/// Listens on the ports that QEMU cannot, and puts forwards from free ports of 127.0.0.1 in
/// their place.
pub(crate) fn listen(forwards: &mut [Forward]) -> Result<Vec<Front>, Error> {
    let mut fronts = Vec::new();
    for (at, forward) in forwards.iter_mut().enumerate() {
        if forward.address.is_ipv4() {
            continue;
        }
        if forward.protocol == Protocol::Udp {
            return Err(Error::Unsupported(format!(
                "a UDP port cannot be forwarded from the IPv6 address {}; use an IPv4 one",
                forward.address
            )));
        }
        let listener =
            TcpListener::bind(forward.host_address()).map_err(|e| forward.unusable(e))?;
        let asked = std::mem::replace(forward, Forward::to(forward.guest));
        fronts.push(Front {
            at,
            asked,
            listener,
        });
    }
    Ok(fronts)
}

/// Passes on what comes in at the fronts, and tells their ports among the machine's.
pub(crate) fn open(fronts: Vec<Front>, forwards: &mut [Forward]) -> Result<Vec<Relay>, Error> {
    let mut relays = Vec::new();
    for Front {
        at,
        asked,
        listener,
    } in fronts
    {
        let host = listener
            .local_addr()
            .map_err(Error::host("pass a port on"))?;
        relays.push(Relay::start(listener, forwards[at].host)?);
        forwards[at] = Forward {
            host: host.port(),
            ..asked
        };
    }
    Ok(relays)
}

/// A listener that passes connections on. Dropping it closes the port; connections that are
/// open end with their machine.
#[derive(Debug)]
pub(crate) struct Relay {
    /// Closed when the relay is dropped, which is what its thread waits for.
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    /// Passes connections to `listener` on to `port` of 127.0.0.1.
    fn start(listener: TcpListener, port: u16) -> Result<Relay, Error> {
        let started = || {
            // a connection that is gone again by the time that it is accepted must not block
            listener.set_nonblocking(true)?;
            let (stopped, stop) = UnixStream::pair()?;
            let target = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            let thread = thread::Builder::new()
                .name("relay".to_owned())
                .spawn(move || serve(&listener, target, &stopped))?;
            Ok((stop, thread))
        };
        let (stop, thread) = started().map_err(Error::host("pass a port on"))?;
        Ok(Relay {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(listener: &TcpListener, target: SocketAddr, stopped: &UnixStream) {
    loop {
        let mut fds = [
            PollFd::from_borrowed_fd(listener.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(stopped.as_fd(), PollFlags::IN),
        ];
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return,
        }
        if !fds[1].revents().is_empty() {
            return;
        }
        // what cannot be accepted or passed on is closed, as QEMU does it
        if let Ok((client, _)) = listener.accept() {
            let _ = pass_on(client, target);
        }
    }
}

/// Starts to copy both ways, each until its end.
fn pass_on(client: TcpStream, target: SocketAddr) -> io::Result<()> {
    client.set_nonblocking(false)?;
    let guest = TcpStream::connect(target)?;
    for (mut from, mut to) in [(client.try_clone()?, guest.try_clone()?), (guest, client)] {
        thread::Builder::new()
            .name("relay".to_owned())
            .spawn(move || {
                if io::copy(&mut from, &mut to).is_err() {
                    let _ = from.shutdown(Shutdown::Both);
                }
                let _ = to.shutdown(Shutdown::Write);
            })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};

    /// An address to listen on: what is passed on does not depend on which.
    fn listener() -> TcpListener {
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()
    }

    #[test]
    fn bytes_and_ends_pass_both_ways_until_the_relay_is_dropped() {
        let (front, back) = (listener(), listener());
        let address = front.local_addr().unwrap();
        let relay = Relay::start(front, back.local_addr().unwrap().port()).unwrap();
        let mut client = TcpStream::connect(address).unwrap();
        let (mut server, _) = back.accept().unwrap();

        client.write_all(b"question").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut text = String::new();
        server.read_to_string(&mut text).unwrap();
        assert_eq!(text, "question");
        server.write_all(b"answer").unwrap();
        drop(server);
        let mut text = String::new();
        client.read_to_string(&mut text).unwrap();
        assert_eq!(text, "answer");

        drop(relay);
        assert!(TcpStream::connect(address).is_err());
    }

    #[test]
    fn a_connection_that_cannot_be_passed_on_is_closed() {
        let (front, back) = (listener(), listener());
        let address = front.local_addr().unwrap();
        let port = back.local_addr().unwrap().port();
        drop(back);
        let _relay = Relay::start(front, port).unwrap();
        let mut client = TcpStream::connect(address).unwrap();
        assert!(matches!(client.read(&mut [0]), Ok(0) | Err(_)));
    }
}
