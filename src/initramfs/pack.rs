//! zstd around the archive.

use std::io::{self, Read, Write};
use std::thread;

use zstd::stream::read::Decoder;
use zstd::stream::write::Encoder;
use zstd::zstd_safe::{CParameter, DParameter};

use crate::units::Bytes;

use super::entry::{Entry, Written};
use super::error::InitramfsError;
use super::newc::{self, See};
use super::tree::Tree;

/// The compression level that builds use. Processor seconds and result of
/// zstd 1.5.4, one thread, on static servers of 226, 97 and 52 MB:
///
/// | level | seconds | MB |
/// |---|---|---|
/// | 1 | 1.4, 0.6, 0.3 | 82.0, 35.0, 19.1 |
/// | 3 | 2.0, 0.9, 0.4 | 74.2, 31.3, 17.5 |
/// | 6 | 5.2, 2.6, 1.5 | 70.0, 29.5, 16.6 |
/// | 9 | 9.1, 4.3, 1.9 | 67.1, 28.4, 16.1 |
/// | 12 | 17.4, 8.3, 3.8 | 66.5, 28.1, 16.0 |
///
/// Above 3 each per cent of size costs more than the whole of 3, and every
/// build would wait for it.
pub const DEFAULT_LEVEL: i32 = 3;

/// The most window that a reader accepts: the kernel's own limit
/// (lib/decompress_unzstd.c, ZSTD_WINDOWSIZE_MAX, 128 MiB).
const MAX_WINDOW_LOG: u32 = 27;
/// Window of what is written, 2 MiB: the guest holds it in memory beside
/// everything else while it unpacks.
const WINDOW_LOG: u32 = 21;
/// Bytes that one thread compresses at a time. It bounds memory, and is part
/// of what decides the output: it may not follow the number of cores.
const JOB_SIZE: u32 = 4 << 20;
/// More threads than this cost memory and win little.
const MAX_WORKERS: usize = 8;

/// What was packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// The archive inside, and its entries.
    pub archive: Written,
    /// Length of the compressed archive.
    pub len: Bytes,
}

/// Bytes of one sample, and how many are taken of a file by [`packs_to`].
const SAMPLE: usize = 256 << 10;
const SAMPLES: usize = 8;

/// About how many bytes `content` packs to at [`DEFAULT_LEVEL`], told from samples that
/// are spread over it. Measured on servers of 13 to 226 MB: from 1 % too few to 17 % too
/// many, since samples do not find what repeats far away.
///
/// # Errors
/// zstd could not have its memory.
pub fn packs_to(content: &[u8]) -> Result<Bytes, InitramfsError> {
    let (mut taken, mut packed) = (0, 0);
    let stride = (content.len() / SAMPLES).max(SAMPLE);
    for chunk in content.chunks(stride) {
        let sample = &chunk[..chunk.len().min(SAMPLE)];
        taken += sample.len() as u64;
        let bytes = zstd::bulk::compress(sample, DEFAULT_LEVEL).map_err(InitramfsError::Write)?;
        packed += bytes.len() as u64;
    }
    let whole = content.len() as u64;
    // an app is shorter than 4 GiB and the samples than 3 MiB: the product fits
    Ok(Bytes((whole * packed).checked_div(taken).unwrap_or(0)))
}

/// Writes the tree as a zstd-compressed newc archive with a content checksum.
/// The same tree gives the same bytes, whatever the number of cores.
///
/// # Errors
/// As for [`super::write`].
pub fn pack(tree: &Tree, out: impl Write, level: i32) -> Result<Packed, InitramfsError> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    pack_with(tree, out, level, cores)
}

pub(super) fn pack_with(
    tree: &Tree,
    out: impl Write,
    level: i32,
    cores: usize,
) -> Result<Packed, InitramfsError> {
    let mut out = Tally {
        inner: out,
        count: 0,
    };
    let mut encoder = encoder(&mut out, tree, level, cores).map_err(InitramfsError::Write)?;
    let archive = newc::write(tree, &mut encoder)?;
    encoder
        .finish()
        .and_then(Write::flush)
        .map_err(InitramfsError::Write)?;
    let len = Bytes(out.count);
    Ok(Packed { archive, len })
}

fn encoder<W: Write>(
    out: W,
    tree: &Tree,
    level: i32,
    cores: usize,
) -> io::Result<Encoder<'static, W>> {
    let workers = u32::try_from(cores.clamp(1, MAX_WORKERS)).unwrap_or(1);
    let len = newc::archive_len(tree).0;
    let mut encoder = Encoder::new(out, level)?;
    encoder.include_checksum(true)?;
    // zstd also checks at the end that the archive has this very length
    encoder.set_pledged_src_size(Some(len))?;
    // a small archive gets a small window, and the guest spends no more
    let window = len.next_power_of_two().ilog2().clamp(10, WINDOW_LOG);
    encoder.set_parameter(CParameter::WindowLog(window))?;
    // one worker and many give the same bytes; none gives others
    encoder.set_parameter(CParameter::NbWorkers(workers))?;
    encoder.set_parameter(CParameter::JobSize(JOB_SIZE))?;
    Ok(encoder)
}

/// Reads what a compressed archive holds. Content is shown to `see`, piece by
/// piece, and not kept.
///
/// # Errors
/// It is no zstd stream or no newc archive, is cut off or corrupt, or unpacks
/// to more than [`super::MAX_UNPACKED`] or [`super::MAX_ENTRIES`].
pub fn read(packed: impl Read, see: See<'_>) -> Result<Vec<Entry>, InitramfsError> {
    let mut decoder = Decoder::new(packed).map_err(InitramfsError::Read)?;
    decoder
        .set_parameter(DParameter::WindowLogMax(MAX_WINDOW_LOG))
        .map_err(InitramfsError::Read)?;
    newc::read(decoder, see)
}

/// A writer that counts.
struct Tally<W> {
    inner: W,
    count: u64,
}

impl<W: Write> Write for Tally<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(buf)?;
        self.count += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
