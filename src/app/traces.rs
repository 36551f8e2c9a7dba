//! Strings of interest in a program, found in one pass over its data.
//!
//! Where a string stands says little by itself: [`crate::app::make`] and
//! [`crate::app::needs`] decide what it is worth.

use std::collections::BTreeMap;
use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind};

use super::binary::Binary;

/// Places that are kept of one string. Enough for every rule that counts them, and a
/// bound for a file that is made of nothing else.
const PLACES_MAX: usize = 32;

/// Sections that are no strings of the program: code, tables of the linker, and the
/// names of functions in Go, which are read on their own.
const SKIPPED: &[&str] = &[
    ".text",
    ".plt",
    ".plt.got",
    ".eh_frame",
    ".eh_frame_hdr",
    ".gcc_except_table",
    ".gopclntab",
    ".data.rel.ro.gopclntab",
    ".rela.dyn",
    ".rela.plt",
    ".gnu.hash",
    ".hash",
];

/// A search for many strings at once, made once and used for every program.
pub struct Search {
    texts: Vec<&'static [u8]>,
    automaton: Option<AhoCorasick>,
}

impl Search {
    /// A search for `texts`.
    pub fn new(texts: impl IntoIterator<Item = &'static [u8]>) -> Search {
        let mut texts: Vec<_> = texts.into_iter().collect();
        texts.sort_unstable();
        texts.dedup();
        let automaton = AhoCorasick::builder()
            .kind(Some(AhoCorasickKind::DFA))
            .build(&texts);
        Search {
            texts,
            // our own tables, which are small: it does not fail
            automaton: automaton.ok(),
        }
    }

    /// Finds them in what `binary` maps and does not execute.
    pub fn run(&self, binary: &Binary<'_>) -> Traces {
        let mut places: Vec<Vec<u64>> = vec![Vec::new(); self.texts.len()];
        for range in data(binary) {
            let Some(piece) = binary.bytes.get(range.clone()) else {
                continue;
            };
            for found in self
                .automaton
                .iter()
                .flat_map(|automaton| automaton.find_overlapping_iter(piece))
            {
                let kept = &mut places[found.pattern().as_usize()];
                if kept.len() < PLACES_MAX {
                    kept.extend(u64::try_from(range.start + found.start()));
                }
            }
        }
        let texts = self.texts.iter().copied();
        Traces {
            places: texts.zip(places).collect(),
        }
    }
}

/// Where the strings of a [`Search`] stand.
#[derive(Debug, Default)]
pub struct Traces {
    places: BTreeMap<&'static [u8], Vec<u64>>,
}

impl Traces {
    /// The first places of `text` in the file, in bytes from its start; none for a
    /// text that was not searched for.
    pub fn places(&self, text: &[u8]) -> &[u64] {
        self.places.get(text).map_or(&[], Vec::as_slice)
    }

    /// The first place of `text`.
    pub fn first(&self, text: &[u8]) -> Option<u64> {
        self.places(text).first().copied()
    }
}

/// The ranges of the file that hold a program's data, by place and apart.
pub fn data(binary: &Binary<'_>) -> Vec<Range<usize>> {
    let mut skipped: Vec<Range<usize>> = binary
        .sections
        .iter()
        .filter(|section| section.address != 0 && SKIPPED.contains(&section.name))
        .filter_map(|section| within(binary, section.offset, section.len))
        .collect();
    skipped.sort_unstable_by_key(|range| range.start);
    let mut ranges: Vec<Range<usize>> = binary
        .segments
        .iter()
        .filter_map(|segment| within(binary, segment.offset, segment.len))
        .collect();
    ranges.sort_unstable_by_key(|range| range.start);
    let mut out: Vec<Range<usize>> = Vec::new();
    // segments may overlap, and a hostile file has thousands that do: each byte once
    let mut done = 0;
    for range in ranges {
        let mut start = range.start.max(done);
        for skip in &skipped {
            if skip.end <= start || skip.start >= range.end {
                continue;
            }
            if skip.start > start {
                out.push(start..skip.start);
            }
            start = start.max(skip.end);
        }
        if start < range.end {
            out.push(start..range.end);
        }
        done = done.max(range.end);
    }
    out
}

/// A piece of the file, cut to its end.
fn within(binary: &Binary<'_>, offset: u64, len: u64) -> Option<Range<usize>> {
    let place = |at: u64| {
        usize::try_from(at)
            .unwrap_or(usize::MAX)
            .min(binary.bytes.len())
    };
    let range = place(offset)..place(offset.saturating_add(len));
    (!range.is_empty()).then_some(range)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::binary::{Section, Segment};
    use crate::units::Arch;

    fn segment(offset: u64, len: u64) -> Segment {
        Segment {
            address: 0x1000 + offset,
            offset,
            len,
            memory: len,
            writable: false,
            executable: false,
        }
    }

    fn binary(bytes: &[u8]) -> Binary<'_> {
        Binary {
            bytes,
            arch: Arch::X86_64,
            entry: 0,
            segments: vec![segment(0, u64::MAX)],
            sections: Vec::new(),
            symbols: Vec::new(),
        }
    }

    #[test]
    fn each_byte_is_looked_at_once_and_code_never() {
        let bytes = [0; 100];
        let mut binary = binary(&bytes);
        binary.segments = vec![segment(0, 60), segment(20, 60), segment(90, 900)];
        binary.sections = vec![Section {
            name: ".text",
            address: 0x100a,
            offset: 10,
            len: 20,
            executable: true,
        }];
        assert_eq!(data(&binary), [0..10, 30..60, 60..80, 90..100]);
    }

    #[test]
    fn strings_are_found_with_their_places_within_bounds() {
        let texts: [&'static [u8]; 3] = [b"/etc/ssl", b"/etc/ssl/certs", b"sh"];
        let search = Search::new(texts);
        let bytes = [&b"x/bin/sh\0sh\0/etc/ssl/certs"[..], &b"sh".repeat(100)].concat();
        let binary = binary(&bytes);
        let traces = search.run(&binary);
        assert_eq!(traces.places(b"/etc/ssl"), [12]);
        assert_eq!(traces.places(b"/etc/ssl/certs"), [12]);
        assert_eq!(traces.first(b"sh"), Some(6));
        assert_eq!(traces.places(b"sh").len(), PLACES_MAX);
        assert_eq!(traces.first(b"not searched for"), None);
    }
}
