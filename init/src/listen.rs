//! Which declared ports take connections: read out of /proc/net/tcp and tcp6 (proc(5)).

use crate::report::Ports;

/// The state of a listening socket in those files: include/net/tcp_states.h, TCP_LISTEN.
const LISTEN: &[u8] = b"0A";

/// Whom a listening socket answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its TCP port.
    pub port: u16,
    /// Whether its address is a loopback one: nobody outside the machine reaches it.
    pub loopback: bool,
}

/// What one line of either file says; `None` for the heading, for sockets that do not
/// listen and for what is not understood.
pub fn listener(line: &[u8]) -> Option<Listener> {
    let mut words = line
        .split(|byte| *byte == b' ')
        .filter(|word| !word.is_empty());
    let local = words.nth(1)?;
    let (_remote, state) = (words.next()?, words.next()?);
    if state != LISTEN {
        return None;
    }
    let colon = local.iter().position(|byte| *byte == b':')?;
    let port = core::str::from_utf8(&local[colon + 1..]).ok()?;
    Some(Listener {
        port: u16::from_str_radix(port, 16).ok()?,
        loopback: is_loopback(&local[..colon])?,
    })
}

/// The address is hexadecimal digits of 32-bit words in the processor's byte order, which
/// is little-endian on both of ours.
fn is_loopback(address: &[u8]) -> Option<bool> {
    const MAPPED: &[u8] = b"0000000000000000FFFF0000";
    match address.len() {
        // 127.0.0.0/8: the first byte is the word's last
        8 => Some(&address[6..] == b"7F"),
        32 if address.starts_with(MAPPED) => is_loopback(&address[MAPPED.len()..]),
        32 => Some(address == b"00000000000000000000000001000000"),
        _ => None,
    }
}

/// What is known of the declared ports.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    outside: u32,
    loopback: u32,
}

impl Seen {
    /// Takes note of a listening socket.
    pub fn note(&mut self, declared: &Ports, found: Listener) {
        for (index, port) in declared.iter().enumerate() {
            if *port == found.port {
                let set = if found.loopback {
                    &mut self.loopback
                } else {
                    &mut self.outside
                };
                *set |= 1 << index;
            }
        }
    }

    /// Whether every declared port takes connections from outside.
    pub fn all(&self, declared: &Ports) -> bool {
        (0..declared.len()).all(|index| self.outside & 1 << index != 0)
    }

    /// The declared ports that take connections from inside alone.
    pub fn inside_only(self, declared: &Ports) -> impl Iterator<Item = u16> {
        let set = self.loopback & !self.outside;
        declared
            .iter()
            .enumerate()
            .filter(move |(at, _)| set & 1 << at != 0)
            .map(|(_, port)| *port)
    }
}

// a bit for each port
const _: () = assert!(crate::wire::MAX_PORTS <= 32);

/// Splits a file that is read in chunks into lines. A line longer than the buffer is left
/// out; those of /proc/net/tcp have 150 bytes, of tcp6 no more than 200.
pub struct Splitter {
    buffer: [u8; 256],
    len: usize,
    skipping: bool,
}

impl Splitter {
    /// At the beginning of a file.
    pub const fn new() -> Splitter {
        Splitter {
            buffer: [0; 256],
            len: 0,
            skipping: false,
        }
    }

    /// Calls `each` with every line that ends in `chunk`.
    pub fn feed(&mut self, chunk: &[u8], each: &mut dyn FnMut(&[u8])) {
        for byte in chunk {
            if *byte == b'\n' {
                if !self.skipping {
                    each(&self.buffer[..self.len]);
                }
                (self.len, self.skipping) = (0, false);
            } else if let Some(place) = self.buffer.get_mut(self.len) {
                *place = *byte;
                self.len += 1;
            } else {
                self.skipping = true;
            }
        }
    }
}

impl Default for Splitter {
    fn default() -> Self {
        Splitter::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    const TCP: &[u8] = b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 65532        0 811 1 0000000000000000 100 0 0 10 0\n   1: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000 65532        0 812 1 0000000000000000 100 0 0 10 0\n   2: 0F02000A:0050 0202000A:C350 01 00000000:00000000 00:00000000 00000000 65532        0 813 1 0000000000000000 20 4 30 10 -1\n";
    const TCP6: &[u8] = b"  sl  local_address                         remote_address                        st\n   0: 00000000000000000000000001000000:1F91 00000000000000000000000000000000:0000 0A 0\n   1: 00000000000000000000000000000000:01BB 00000000000000000000000000000000:0000 0A 0\n   2: 0000000000000000FFFF00000100007F:1F92 00000000000000000000000000000000:0000 0A 0\n";

    fn listeners(file: &[u8], chunk: usize) -> Vec<Listener> {
        let mut found = Vec::new();
        let mut lines = Splitter::new();
        for part in file.chunks(chunk) {
            lines.feed(part, &mut |line| found.extend(listener(line)));
        }
        found
    }

    #[test]
    fn listening_sockets_are_found_in_both_files() {
        let on = |port, loopback| Listener { port, loopback };
        for chunk in [1, 7, 4096] {
            assert_eq!(listeners(TCP, chunk), [on(8080, true), on(80, false)]);
            assert_eq!(
                listeners(TCP6, chunk),
                [on(8081, true), on(443, false), on(8082, true)]
            );
        }
    }

    #[test]
    fn ready_means_every_port_and_from_outside() {
        let declared = Ports::of(0, &[80, 8080]).0;
        let mut seen = Seen::default();
        assert!(!seen.all(&declared));
        for found in listeners(TCP, 64) {
            seen.note(&declared, found);
        }
        assert!(!seen.all(&declared));
        assert_eq!(seen.inside_only(&declared).collect::<Vec<_>>(), [8080]);
        seen.note(
            &declared,
            Listener {
                port: 8080,
                loopback: false,
            },
        );
        assert!(seen.all(&declared));
        assert_eq!(seen.inside_only(&declared).count(), 0);
    }

    #[test]
    fn strange_lines_are_passed_over() {
        for line in [
            &b""[..],
            b"0:",
            b"0: x y 0A",
            b"0: 0100007F:zz 0 0A",
            b"0: 01:50 0 0A",
        ] {
            assert_eq!(listener(line), None);
        }
        let mut long = std::vec![b'x'; 1000];
        long.extend_from_slice(b"\n0: 00000000:0050 0:0 0A\n");
        assert_eq!(
            listeners(&long, 100),
            [Listener {
                port: 80,
                loopback: false
            }]
        );
    }
}
