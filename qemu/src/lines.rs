//! Bytes to lines.

/// A line longer than this is handed out in pieces, so that a guest that never ends its line
/// cannot fill the host's memory. In bytes.
const LONGEST: usize = 64 * 1024;

/// Collects bytes into lines.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    /// Takes bytes, and hands each line that they complete to `each`, without its end (LF, or
    /// CR and LF: terminals and UARTs differ).
    pub(crate) fn feed(&mut self, bytes: &[u8], mut each: impl FnMut(&[u8])) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.partial.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.partial.len() >= LONGEST {
                each(trimmed(&self.partial));
                self.partial.clear();
            }
        }
    }

    /// Hands out what came after the last line's end.
    pub(crate) fn finish(&mut self, mut each: impl FnMut(&[u8])) {
        if !self.partial.is_empty() {
            each(trimmed(&self.partial));
            self.partial.clear();
        }
    }
}

fn trimmed(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let end = line
        .iter()
        .rposition(|&byte| byte != b'\r')
        .map_or(0, |at| at + 1);
    &line[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect(chunks: &[&[u8]]) -> Vec<String> {
        let mut lines = Lines::default();
        let mut out = Vec::new();
        let mut keep = |line: &[u8]| out.push(String::from_utf8_lossy(line).into_owned());
        for chunk in chunks {
            lines.feed(chunk, &mut keep);
        }
        lines.finish(&mut keep);
        out
    }

    #[test]
    fn lines_come_out_whole_however_they_arrive() {
        assert_eq!(
            collect(&[b"on", b"e\r", b"\ntwo\nthr", b"ee"]),
            ["one", "two", "three"]
        );
        assert_eq!(collect(&[b"\r\n\r\r\n"]), ["", ""]);
        assert_eq!(collect(&[]), [""; 0]);
    }

    #[test]
    fn an_endless_line_is_cut() {
        let chunk = [b'x'; 1024];
        let chunks: Vec<&[u8]> = (0..200).map(|_| &chunk[..]).collect();
        let lines = collect(&chunks);
        assert_eq!(lines.len(), 4);
        assert_eq!(lines.iter().map(String::len).sum::<usize>(), 200 * 1024);
    }
}
