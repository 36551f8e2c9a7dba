//! A network for one machine under test: it speaks Ethernet with QEMU over a socket, answers
//! ARP for the neighbours it has, advertises an IPv6 prefix, plays the DHCP server that a test
//! describes, and tells the test what it saw. Made without the formats of PID 1, so that a
//! mistake there shows here.

pub mod guest;
mod wire;

use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

pub use wire::{Ask, Reply, address, classless};

/// How long a test waits for what should come: guests without acceleration are slow, and
/// slower beside others.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// The router's Ethernet address, and every other neighbour's.
pub const ROUTER: [u8; 6] = [0x02, 0, 0, 0, 0, 0x01];

/// What the network saw.
#[derive(Debug, Clone)]
pub enum Seen {
    /// A DHCP message.
    Ask(Ask),
    /// A UDP datagram to some other port than DHCP's.
    Datagram(Datagram),
}

/// A datagram that the guest sent.
#[derive(Debug, Clone)]
pub struct Datagram {
    /// The Ethernet address that it went to.
    pub via: [u8; 6],
    /// Its sender.
    pub from: Ipv4Addr,
    /// What it carries.
    pub text: String,
}

/// A DHCP server: what it answers to a message, if anything.
pub type Server = Box<dyn FnMut(&Ask) -> Option<Reply> + Send>;

/// The network. It ends with the machine that it is plugged into.
pub struct Lan {
    seen: Receiver<(Instant, Seen)>,
    netdev: String,
}

impl Lan {
    /// A network whose ARP knows `neighbours`, waiting at a socket in `dir` for its machine.
    pub fn new(dir: &Path, neighbours: &[&str], server: Server) -> Lan {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = dir.join(format!("lan{number}.socket"));
        let listener = UnixListener::bind(&path).expect("a socket for the network");
        let (tell, seen) = channel();
        let side = Side {
            neighbours: neighbours.iter().map(|text| address(text)).collect(),
            server,
            tell,
        };
        std::thread::spawn(move || {
            if let Ok((stream, _)) = listener.accept() {
                side.run(stream);
            }
        });
        let path = path.display();
        Lan {
            seen,
            netdev: format!("stream,server=off,addr.type=unix,addr.path={path}"),
        }
    }

    /// The value of QEMU's `-netdev`, without its id.
    pub fn netdev(&self) -> &str {
        &self.netdev
    }

    /// Waits for something that `pick` chooses, and passes over what it does not. The error says
    /// what was seen instead.
    pub fn wait<T>(
        &self,
        what: &str,
        mut pick: impl FnMut(&Seen) -> Option<T>,
    ) -> Result<(Instant, T), String> {
        let deadline = Instant::now() + PATIENCE;
        let mut passed = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.seen.recv_timeout(left) {
                Ok((at, seen)) => match pick(&seen) {
                    Some(picked) => return Ok((at, picked)),
                    None => passed.push(seen),
                },
                Err(error) => {
                    return Err(format!("no {what} ({error}); seen instead: {passed:#?}"));
                }
            }
        }
    }
}

/// The network's own side of the cable.
struct Side {
    neighbours: Vec<Ipv4Addr>,
    server: Server,
    tell: Sender<(Instant, Seen)>,
}

impl Side {
    /// Frames come with their length in front: QEMU's `-netdev stream`.
    fn run(mut self, mut stream: UnixStream) {
        let mut len = [0; 4];
        while stream.read_exact(&mut len).is_ok() {
            let mut frame = vec![0; u32::from_be_bytes(len) as usize];
            if stream.read_exact(&mut frame).is_err() {
                return;
            }
            if let Some(answer) = self.hear(&frame) {
                let len = u32::try_from(answer.len()).expect("a frame is short");
                let sent = stream.write_all(&[&len.to_be_bytes()[..], &answer].concat());
                if sent.is_err() {
                    return;
                }
            }
        }
    }

    fn hear(&mut self, frame: &[u8]) -> Option<Vec<u8>> {
        if let Some(answer) = wire::arp_answer(frame, ROUTER, &self.neighbours) {
            return Some(answer);
        }
        if let Some(answer) = wire::router_advertisement(frame, ROUTER) {
            return Some(answer);
        }
        let datagram = wire::read_datagram(frame)?;
        let now = Instant::now();
        if datagram.port != 67 {
            // a test that has ended hears no more
            let _ = self.tell.send((
                now,
                Seen::Datagram(Datagram {
                    via: datagram.via,
                    from: datagram.from,
                    text: String::from_utf8_lossy(datagram.payload).into_owned(),
                }),
            ));
            return None;
        }
        let ask = wire::read_ask(&datagram);
        let answer = (self.server)(&ask);
        let frame = answer.map(|reply| reply.frame(&ask, ROUTER));
        let _ = self.tell.send((now, Seen::Ask(ask)));
        frame
    }
}
