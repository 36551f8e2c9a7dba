//! Archives written, read back, cut, and filled with what does not belong.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;

use super::pack::pack_with;
use super::*;
use crate::digest::Digest;
use crate::units::Bytes;

fn sample() -> Tree {
    let mut tree = Tree::new();
    let bytes = |text: &str| Content::Bytes(text.as_bytes().to_vec());
    tree.file("/init", 0o755, bytes("init")).unwrap();
    tree.file("/app/empty", 0o4755, bytes("")).unwrap();
    tree.dir("/tmp", 0o1777).unwrap();
    tree.symlink("/etc/resolv.conf", "/run/resolv.conf")
        .unwrap();
    tree.char_device("/dev/console", 0o600, 5, 1).unwrap();
    tree
}

fn archive(tree: &Tree) -> (Vec<u8>, Written) {
    let mut out = Vec::new();
    let written = write(tree, &mut out).unwrap();
    (out, written)
}

#[test]
fn what_is_written_is_what_is_read() {
    let (bytes, written) = archive(&sample());
    assert_eq!(written.len, Bytes(bytes.len() as u64));
    assert_eq!(written.len, newc::archive_len(&sample()));
    assert_eq!(
        newc::read(&bytes[..], &mut |_, _| ()).unwrap(),
        written.entries
    );
    let paths: Vec<_> = written.entries.iter().map(|e| e.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "/",
            "/app",
            "/app/empty",
            "/dev",
            "/dev/console",
            "/etc",
            "/etc/resolv.conf",
            "/init",
            "/tmp"
        ]
    );
    let init = &written.entries[7];
    assert_eq!(init.sha256, Some(Digest::of(b"init")));
    assert_eq!((init.mode, init.size), (0o755, Bytes(4)));
    assert_eq!(written.entries[4].device, Some((5, 1)));
    assert_eq!(
        written.entries[6].target.as_deref(),
        Some("/run/resolv.conf")
    );
}

#[test]
fn the_header_is_the_kernels() {
    let mut tree = Tree::new();
    let content = Content::Bytes(b"hello".to_vec());
    tree.file("/a", 0o644, content).unwrap();
    let (bytes, _) = archive(&tree);
    let text = String::from_utf8_lossy(&bytes);
    let golden = concat!(
        "070701",
        "00000001",
        "000041ed",
        "00000000",
        "00000000",
        "00000002",
        "00000000",
        "00000000",
        "00000000",
        "00000000",
        "00000000",
        "00000000",
        "00000002",
        "00000000",
        ".\0",
        "070701",
        "00000002",
        "000081a4",
        "00000000",
        "00000000",
        "00000001",
        "00000000",
        "00000005",
        "00000000",
        "00000000",
        "00000000",
        "00000000",
        "00000002",
        "00000000",
        "a\0hello\0\0\0",
        "070701",
        "00000000",
        "00000000",
        "00000000",
        "00000000",
        "00000001",
        "00000000",
        "00000000",
        "00000000",
        "00000000",
        "00000000",
        "00000000",
        "0000000b",
        "00000000",
        "TRAILER!!!\0\0\0\0",
    );
    assert_eq!(text, golden);
}

#[test]
fn the_bytes_do_not_depend_on_cores_or_on_the_order_of_building() {
    let mut tree = sample();
    // more than one job, and not all of it compressible
    let noise: Vec<u8> = (0u32..3 << 20)
        .flat_map(|n| (n.wrapping_mul(2_654_435_761) ^ (n >> 7)).to_le_bytes())
        .collect();
    tree.file("/noise", 0o644, Content::Bytes(noise)).unwrap();
    let packed = |cores| {
        let mut out = Vec::new();
        let packed = pack_with(&tree, &mut out, DEFAULT_LEVEL, cores).unwrap();
        assert_eq!(packed.len, Bytes(out.len() as u64));
        let mut shown = BTreeMap::<String, Vec<u8>>::new();
        let mut see = |path: &str, chunk: &[u8]| {
            shown.entry(path.to_owned()).or_default().extend(chunk);
        };
        assert_eq!(read(&out[..], &mut see).unwrap(), packed.archive.entries);
        for entry in packed
            .archive
            .entries
            .iter()
            .filter(|entry| entry.size.0 > 0)
        {
            assert_eq!(Some(Digest::of(&shown[&entry.path])), entry.sha256);
        }
        Digest::of(&out)
    };
    let one = packed(1);
    for cores in [2, 3, 8, 64] {
        assert_eq!(packed(cores), one, "{cores} cores");
    }
}

#[test]
fn a_host_file_that_changed_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app");
    for (then, now) in [
        (&b"1234"[..], &b"12345"[..]),
        (b"1234", b"123"),
        (b"", b"1"),
        (b"1", b""),
    ] {
        fs::write(&path, then).unwrap();
        let mut tree = Tree::new();
        tree.file("/app", 0o755, Content::host(&path).unwrap())
            .unwrap();
        fs::write(&path, now).unwrap();
        let error = write(&tree, std::io::sink()).unwrap_err();
        assert!(matches!(&error, InitramfsError::Changed { path: p, .. } if *p == path));
    }
    assert!(matches!(
        Content::host(dir.path()),
        Err(InitramfsError::NotAFile(_))
    ));
    let missing = Content::host(&dir.path().join("none")).unwrap_err();
    assert!(missing.to_string().starts_with("cannot read "));
}

#[test]
fn a_writer_that_is_full_is_an_error() {
    let (bytes, _) = archive(&sample());
    for room in [0, 100, bytes.len() - 1] {
        let mut space = vec![0; room];
        assert!(matches!(
            write(&sample(), &mut space[..]),
            Err(InitramfsError::Write(_))
        ));
    }
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let Err(InitramfsError::Write(cause)) = pack(&sample(), full, DEFAULT_LEVEL) else {
        panic!("a full disk was not noticed");
    };
    assert_eq!(cause.kind(), std::io::ErrorKind::StorageFull);
}

#[test]
fn every_cut_and_every_flipped_byte_is_an_error_or_harmless() {
    let (bytes, _) = archive(&sample());
    for len in 0..bytes.len() {
        assert!(
            newc::read(&bytes[..len], &mut |_, _| ()).is_err()
                || bytes[len..].iter().all(|&b| b == 0),
            "{len}"
        );
    }
    for at in 0..bytes.len() {
        for flip in [1, 0x40, 0xff] {
            let mut bad = bytes.clone();
            bad[at] ^= flip;
            let _ = newc::read(&bad[..], &mut |_, _| ());
        }
    }
    let mut packed = Vec::new();
    pack(&sample(), &mut packed, DEFAULT_LEVEL).unwrap();
    for at in 0..packed.len() {
        let mut bad = packed.clone();
        bad[at] ^= 0x10;
        let _ = read(&bad[..], &mut |_, _| ());
        assert!(read(&packed[..at], &mut |_, _| ()).is_err(), "cut at {at}");
    }
}

#[test]
fn nothing_hides_behind_the_trailer() {
    let (bytes, _) = archive(&sample());
    let mut padded = bytes.clone();
    padded.resize(bytes.len() + 512, 0);
    newc::read(&padded[..], &mut |_, _| ()).unwrap();
    let twice = [&padded[..], &bytes].concat();
    let error = newc::read(&twice[..], &mut |_, _| ()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the initramfs is corrupt: something follows its trailer"
    );
}

#[test]
fn bombs_and_traversals_are_refused() {
    let entry = |name: &str, size: u32| {
        let mut out = Vec::new();
        let head = cpio::newc::Builder::new(name).mode(0o100_644);
        head.write(&mut out, size).finish().unwrap();
        out
    };
    for name in ["../etc", "a/../b", "/abs", "", "a//b"] {
        let bad = [entry(name, 0), entry("TRAILER!!!", 0)].concat();
        assert!(newc::read(&bad[..], &mut |_, _| ()).is_err(), "{name:?}");
    }
    let twice = [entry("a", 0), entry("a", 0), entry("TRAILER!!!", 0)].concat();
    let error = newc::read(&twice[..], &mut |_, _| ())
        .unwrap_err()
        .to_string();
    assert_eq!(error, "the initramfs is corrupt: /a is in it twice");
    let mut huge_name = entry("a", 0);
    huge_name[94..102].copy_from_slice(b"ffffffff");
    assert!(newc::read(&huge_name[..], &mut |_, _| ()).is_err());

    // 20 GiB of zeros in a few KiB would take a minute to read: the limit is
    // tried on a reader that only claims to hold so much
    struct Zeros(Vec<u8>);
    impl std::io::Read for Zeros {
        fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
            let n = self.0.len().min(buf.len());
            buf[..n].copy_from_slice(&self.0[..n]);
            self.0.drain(..n);
            Ok(if n == 0 { buf.len() } else { n })
        }
    }
    let endless = Zeros(archive(&Tree::new()).0);
    assert!(matches!(
        newc::read_within(endless, 64 << 20, &mut |_, _| ()),
        Err(InitramfsError::TooLarge)
    ));
}

#[test]
fn garbage_is_no_archive() {
    for bytes in [&b""[..], b"hello", &[0; 600]] {
        assert!(read(bytes, &mut |_, _| ()).is_err());
        assert!(newc::read(bytes, &mut |_, _| ()).is_err());
    }
    let mut compressed = zstd::Encoder::new(Vec::new(), 1).unwrap();
    compressed.write_all(b"not an archive at all").unwrap();
    assert!(read(&compressed.finish().unwrap()[..], &mut |_, _| ()).is_err());
}
