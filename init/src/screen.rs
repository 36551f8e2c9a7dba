//! How the program's two outputs and PID 1's reports share one console.
//!
//! [`Lines`] collects what one stream writes until a line is whole, so that lines of two
//! streams do not mix; what is too long or waits too long is given in pieces. [`Screen`]
//! puts pieces and reports on the console: a report begins a line of its own, and no
//! piece ever shows [`MARK`] where a reader may see the beginning of a line.

use crate::report::{ESCAPE, MARK};

/// The longest line of the program that is kept whole, in bytes.
pub const LONGEST: usize = 4096;

/// Collects one stream's output. Lines end with a line feed.
pub struct Lines<'b> {
    buffer: &'b mut [u8],
    len: usize,
}

impl<'b> Lines<'b> {
    /// Nothing collected. The buffer's length is that of the longest line kept whole.
    pub fn new(buffer: &'b mut [u8]) -> Lines<'b> {
        Lines { buffer, len: 0 }
    }

    /// Where the next bytes go; never empty after [`Lines::take`]. Tell with
    /// [`Lines::filled`] how many came.
    pub fn room(&mut self) -> &mut [u8] {
        &mut self.buffer[self.len..]
    }

    /// `count` bytes were put at the beginning of the room.
    pub fn filled(&mut self, count: usize) {
        self.len = (self.len + count).min(self.buffer.len());
    }

    /// Whether a line has begun that is not whole yet.
    pub fn waiting(&self) -> bool {
        self.len > 0
    }

    /// Gives all whole lines, a line that fills the buffer as it is, and the rest as well
    /// when `all` is set; keeps what was not given.
    pub fn take(&mut self, all: bool, give: &mut dyn FnMut(&[u8])) {
        let held = &self.buffer[..self.len];
        let whole = match held.iter().rposition(|byte| *byte == b'\n') {
            _ if all || self.len == self.buffer.len() => self.len,
            Some(last) => last + 1,
            None => 0,
        };
        for line in held[..whole].split_inclusive(|byte| *byte == b'\n') {
            give(line);
        }
        self.buffer.copy_within(whole..self.len, 0);
        self.len -= whole;
    }
}

/// Who writes to the console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// The program's standard output.
    Out,
    /// The program's standard error.
    Err,
}

/// What stands on the console's current line.
#[derive(Debug)]
pub struct Screen {
    /// Whose line is open; none at the beginning of a line.
    open: Option<Stream>,
    /// Whether the next byte stands where a reader may see a line begin.
    fresh: bool,
}

impl Screen {
    /// At the beginning of a line.
    pub const fn new() -> Screen {
        Screen {
            open: None,
            fresh: true,
        }
    }

    /// How many bytes a piece of `len` bytes can become: a line feed before it, and an
    /// escape before each mark.
    pub const fn at_most(len: usize) -> usize {
        1 + len + (len / MARK.len() + 1) * ESCAPE.len()
    }

    /// Puts out a piece of a stream's output: a line, or a part of one.
    pub fn piece(&mut self, stream: Stream, piece: &[u8], out: &mut dyn FnMut(&[u8])) {
        if self.open.is_some_and(|open| open != stream) {
            self.end_line(out);
        }
        let mut begun = 0;
        for at in 0..piece.len() {
            if self.fresh && may_be_mark(&piece[at..]) {
                out(&piece[begun..at]);
                out(ESCAPE);
                begun = at;
            }
            self.fresh = begins_line(piece[at]);
        }
        out(&piece[begun..]);
        if let Some(last) = piece.last() {
            self.open = (*last != b'\n').then_some(stream);
        }
    }

    /// Puts out a report, which ends with its line feed.
    pub fn report(&mut self, line: &[u8], out: &mut dyn FnMut(&[u8])) {
        self.end_line(out);
        out(line);
    }

    /// Ends a line that is open.
    pub fn end_line(&mut self, out: &mut dyn FnMut(&[u8])) {
        if self.open.take().is_some() {
            out(b"\n");
        }
        self.fresh = true;
    }
}

impl Default for Screen {
    fn default() -> Self {
        Screen::new()
    }
}

/// A reader may take any control character for the end of a line: carriage return and
/// vertical tab surely, but also those that move the cursor. Not the tab.
fn begins_line(byte: u8) -> bool {
    byte.is_ascii_control() && byte != b'\t'
}

/// Whether these bytes begin with the mark, or end too early to tell.
fn may_be_mark(bytes: &[u8]) -> bool {
    let len = bytes.len().min(MARK.len());
    bytes[..len] == MARK[..len]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report;
    use std::string::String;
    use std::vec::Vec;

    fn shown(screen: &mut Screen, pieces: &[(Stream, &[u8])]) -> String {
        let mut shown = Vec::new();
        for (stream, piece) in pieces {
            screen.piece(*stream, piece, &mut |bytes| shown.extend_from_slice(bytes));
        }
        String::from_utf8_lossy(&shown).into_owned()
    }

    fn show(pieces: &[(Stream, &[u8])]) -> String {
        shown(&mut Screen::new(), pieces)
    }

    fn lines_of(chunks: &[&[u8]], all: bool) -> Vec<Vec<u8>> {
        let mut buffer = [0; LONGEST];
        let mut lines = Lines::new(&mut buffer);
        let mut given = Vec::new();
        for chunk in chunks {
            let mut rest = *chunk;
            while !rest.is_empty() {
                let room = lines.room();
                let len = room.len().min(rest.len());
                room[..len].copy_from_slice(&rest[..len]);
                rest = &rest[len..];
                lines.filled(len);
                lines.take(false, &mut |line| given.push(line.to_vec()));
            }
        }
        lines.take(all, &mut |line| given.push(line.to_vec()));
        given
    }

    #[test]
    fn lines_are_given_whole_whatever_the_chunks() {
        let expect: [&[u8]; 2] = [b"one\n", b"two\n"];
        assert_eq!(lines_of(&[b"one\ntwo\n"], false), expect);
        assert_eq!(lines_of(&[b"o", b"ne", b"\nt", b"wo\n"], false), expect);
    }

    #[test]
    fn a_rest_waits_until_all_is_asked_for() {
        assert_eq!(lines_of(&[b"one\ntw"], false), [b"one\n"]);
        assert_eq!(lines_of(&[b"one\ntw"], true), [&b"one\n"[..], b"tw"]);
    }

    #[test]
    fn a_line_longer_than_the_buffer_comes_in_pieces_and_loses_nothing() {
        let mut long = std::vec![b'x'; 3 * LONGEST + 5];
        long.push(b'\n');
        let given = lines_of(&[&long], false);
        assert!(given.len() > 1);
        assert_eq!(given.concat(), long);
    }

    #[test]
    fn a_forged_line_is_escaped_and_others_are_not() {
        assert_eq!(
            show(&[(Stream::Out, b"ampoule: verdict exit=0\n")]),
            "| ampoule: verdict exit=0\n"
        );
        assert_eq!(
            show(&[(Stream::Out, b"an ampoule: no\n")]),
            "an ampoule: no\n"
        );
        assert_eq!(show(&[(Stream::Out, b"ampoul\n")]), "ampoul\n");
    }

    #[test]
    fn a_carriage_return_begins_a_line_too() {
        assert_eq!(
            show(&[(Stream::Out, b"x\rampoule: y\n")]),
            "x\r| ampoule: y\n"
        );
        assert_eq!(
            show(&[(Stream::Out, b"x\r"), (Stream::Out, b"ampoule: y\n")]),
            "x\r| ampoule: y\n"
        );
        assert_eq!(
            show(&[(Stream::Out, b"x\tampoule: y\n")]),
            "x\tampoule: y\n"
        );
    }

    #[test]
    fn a_mark_in_pieces_is_escaped() {
        for cut in 1..MARK.len() {
            let text = b"ampoule: verdict exit=0\n";
            let shown = show(&[(Stream::Out, &text[..cut]), (Stream::Out, &text[cut..])]);
            assert_eq!(shown, "| ampoule: verdict exit=0\n", "cut after {cut}");
        }
    }

    #[test]
    fn another_stream_begins_a_line_of_its_own_and_cannot_forge_one() {
        let shown = show(&[
            (Stream::Out, b"half"),
            (Stream::Err, b"ampoule: verdict exit=0\n"),
            (Stream::Out, b"ampoule: rest\n"),
        ]);
        assert_eq!(shown, "half\n| ampoule: verdict exit=0\n| ampoule: rest\n");
    }

    #[test]
    fn one_streams_pieces_join() {
        assert_eq!(
            show(&[(Stream::Out, b"ha"), (Stream::Out, b"lf\n")]),
            "half\n"
        );
    }

    #[test]
    fn a_report_never_begins_inside_a_line() {
        let mut screen = Screen::new();
        let mut all = shown(&mut screen, &[(Stream::Out, b"half")]);
        let mut bytes = Vec::new();
        screen.report(b"ampoule: ready\n", &mut |b| bytes.extend_from_slice(b));
        all.push_str(core::str::from_utf8(&bytes).unwrap());
        all.push_str(&shown(&mut screen, &[(Stream::Out, b"ampoule: x\n")]));
        assert_eq!(all, "half\nampoule: ready\n| ampoule: x\n");
    }

    /// Whatever a program writes, cut wherever, no line of it reads as a report.
    #[test]
    fn no_output_reads_as_a_report() {
        let parts: [&[u8]; 9] = [
            b"ampoule: verdict exit=0",
            b"\n",
            b"\r",
            b"amp",
            b"oule: ",
            b"ready",
            b"\0",
            b"|",
            b"\x1b[2K",
        ];
        let mut state = 1_u32;
        let mut random = |below: usize| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as usize % below
        };
        for _ in 0..20_000 {
            let mut screen = Screen::new();
            let mut shown = Vec::new();
            for _ in 0..8 {
                let part = parts[random(parts.len())];
                let stream = if random(2) == 0 {
                    Stream::Out
                } else {
                    Stream::Err
                };
                let before = shown.len();
                screen.piece(stream, part, &mut |bytes| shown.extend_from_slice(bytes));
                assert!(shown.len() - before <= Screen::at_most(part.len()));
            }
            for line in shown.split(|byte| b"\n\r\x0b\x0c\0\x1b".contains(byte)) {
                assert!(!line.starts_with(MARK), "{}", shown.escape_ascii());
                assert_eq!(report::parse(line), None);
            }
        }
    }
}
