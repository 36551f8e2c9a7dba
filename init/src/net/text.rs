//! Text of fixed capacity. What does not fit is left out as a whole.

use core::fmt;

/// At most `N` bytes of text. Written to by `write!`, it takes each piece whole or not at all,
/// and says that it did not.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Text<const N: usize> {
    // bytes from `len` on are zero, so that equality may compare them
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Text<N> {
    /// No text.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            bytes: [0; N],
            len: 0,
        }
    }

    /// The text's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// Whether there is no text.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends all of `bytes`, or, when they do not fit, nothing. Returns whether they fitted.
    pub fn push(&mut self, bytes: &[u8]) -> bool {
        let end = self.len + bytes.len();
        let Some(place) = self.bytes.get_mut(self.len..end) else {
            return false;
        };
        place.copy_from_slice(bytes);
        self.len = end;
        true
    }

    /// Drops everything after the first `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        if let Some(rest) = self.bytes.get_mut(len..self.len) {
            rest.fill(0);
            self.len = len;
        }
    }
}

impl<const N: usize> fmt::Write for Text<N> {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        if self.push(piece.as_bytes()) {
            Ok(())
        } else {
            Err(fmt::Error)
        }
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.as_bytes().escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::fmt::Write;

    #[test]
    fn text_takes_all_or_nothing() {
        let mut text = Text::<4>::new();
        assert!(text.is_empty() && text.push(b"abc"));
        assert!(!text.push(b"de"));
        assert!(text.write_str("de").is_err());
        assert_eq!(text.as_bytes(), b"abc");
        text.truncate(1);
        assert_eq!(text.as_bytes(), b"a");
        text.truncate(9);
        assert_eq!(text.as_bytes(), b"a");
    }

    #[test]
    fn what_was_cut_off_does_not_count() {
        let mut text = Text::<4>::new();
        text.push(b"abc");
        text.truncate(1);
        let mut other = Text::<4>::new();
        other.push(b"a");
        assert_eq!(text, other);
        assert_eq!(std::format!("{text:?}"), "\"a\"");
    }
}
