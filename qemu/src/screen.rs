//! VGA text memory as text.

/// Where a PC's colour text memory lies, and how it is laid out: 80 columns, 25 rows, a
/// character and an attribute for each (IBM VGA, mode 3).
pub(crate) const ADDRESS: u64 = 0xb8000;
pub(crate) const COLUMNS: usize = 80;
pub(crate) const ROWS: usize = 25;
/// Its length in bytes.
pub(crate) const LENGTH: usize = COLUMNS * ROWS * 2;

/// The rows, without the blanks at their ends and without empty rows at the end. What is not
/// printable ASCII becomes `?`; code page 437 is not translated.
pub(crate) fn decode(memory: &[u8]) -> String {
    let rows = memory.chunks(COLUMNS * 2).take(ROWS).map(|row| {
        let text: String = row.chunks(2).map(|cell| printable(cell[0])).collect();
        text.trim_end().to_owned()
    });
    rows.collect::<Vec<_>>().join("\n").trim_end().to_owned()
}

fn printable(byte: u8) -> char {
    match byte {
        0 => ' ',
        0x20..=0x7e => char::from(byte),
        _ => '?',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_memory_is_read_by_rows() {
        let mut memory = vec![0; LENGTH];
        for (at, byte) in b"hello".iter().enumerate() {
            memory[at * 2] = *byte;
            memory[at * 2 + 1] = 7;
            memory[(COLUMNS * 2 + at) * 2] = *byte;
        }
        memory[10] = 0xdb;
        assert_eq!(decode(&memory), "hello?\n\nhello");
    }

    #[test]
    fn less_memory_is_less_text() {
        assert_eq!(decode(b"a\x07b"), "ab");
        assert_eq!(decode(b""), "");
    }
}
