//! Layers and layouts that somebody changed, cut, or made to harm.

use super::*;

#[test]
fn nothing_that_was_changed_is_taken() {
    let bytes = archive(&[(FILE, "a", "content")]);
    for (what, change) in [("content", 600), ("size", bytes.len())] {
        let maker = Maker::new().packed(&bytes, &bytes);
        let path = maker
            .dir
            .path()
            .join("blobs/sha256")
            .join(Digest::of(&bytes).to_string());
        let mut changed = bytes.clone();
        changed.resize(changed.len().max(change + 1), 0);
        changed[change] ^= 1;
        fs::write(path, changed).unwrap();
        let error = maker.open().unwrap_err().to_string();
        assert!(error.contains("copy the image anew"), "{what}: {error}");
    }
    // the blob is right, and what is in it is not what the configuration says
    let error = Maker::new().packed(b"other", &bytes).open().unwrap_err();
    assert!(
        matches!(
            error,
            RootfsError::Digest {
                what: "archive",
                ..
            }
        ),
        "{error}"
    );
    let mut maker = Maker::new().layer(&[(FILE, "a", "")]);
    maker.layers[0]["digest"] = json!("sha256:../../../../etc/passwd");
    assert!(matches!(maker.open(), Err(RootfsError::Algorithm { .. })));
}

#[test]
fn names_that_lead_out_are_refused_and_links_stay_inside() {
    for name in ["../a", "a/../../b", "..", "/../etc/x"] {
        let error = Maker::new().layer(&[(FILE, name, "x")]).open().unwrap_err();
        assert!(error.to_string().contains("leads out"), "{name}: {error}");
    }
    for entries in [
        [(FILE, ".wh...", ""), (FILE, "a", "")],
        [(HARD, "a", "../../etc/passwd"), (FILE, "b", "")],
        [(HARD, "a", "/etc/passwd"), (FILE, "b", "")],
        [(FILE, "a", ""), (FILE, "a/b", "")],
        [(LINK, "a", "a"), (FILE, "a/b", "")],
        [(LINK, "a", ""), (FILE, "b", "")],
        [(EntryType::new(b'S'), "a", ""), (FILE, "b", "")],
    ] {
        let error = Maker::new().layer(&entries).open().unwrap_err();
        assert!(matches!(error, RootfsError::Layer { .. }), "{error}");
    }
    let root = Maker::new()
        .layer(&[(LINK, "out", "/../../etc"), (FILE, "/out/passwd", "theirs")])
        .layer(&[(FILE, "out/.wh.passwd", ""), (FILE, "out/x", "theirs")])
        .open()
        .unwrap();
    assert_eq!(
        told(&root),
        ["/etc/", "/etc/x theirs", "/out -> /../../etc"]
    );
}

#[test]
fn long_names_are_read_and_odd_headers_refused() {
    let long = format!("d/{}", "n".repeat(150));
    let target = format!("/{}", "t".repeat(150));
    for before in [[pax("path", &long), pax("linkpath", &target)].concat(), {
        let gnu = archive(&[
            (
                EntryType::GNULongName,
                "././@LongLink",
                &format!("{long}\0"),
            ),
            (
                EntryType::GNULongLink,
                "././@LongLink",
                &format!("{target}\0"),
            ),
        ]);
        gnu[..gnu.len() - 1024].to_vec()
    }] {
        let bytes = [&before[..], &archive(&[(LINK, "short", "short")])].concat();
        let root = Maker::new().packed(&bytes, &bytes).open().unwrap();
        assert_eq!(
            told(&root),
            ["/d/".to_owned(), format!("/{long} -> {target}")]
        );
    }
    for before in [pax("GNU.sparse.major", "1"), pax("size", "9999999999")] {
        let bytes = [&before[..], &archive(&[(FILE, "a", "")])].concat();
        let error = Maker::new().packed(&bytes, &bytes).open().unwrap_err();
        assert!(matches!(error, RootfsError::Layer { .. }), "{error}");
    }
}

#[test]
fn bombs_are_refused() {
    let zeroes = "\0".repeat(1 << 20);
    let plain = archive(&[(FILE, "a", &zeroes), (FILE, "b", "")]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&plain).unwrap();
    let maker = Maker::new().packed(&plain, &gzip.finish().unwrap());
    maker.index(&[maker.manifest()]);
    let limits = |bytes, entries| Limits { bytes, entries };
    let error = maker.open_with(&limits(1 << 20, 100)).unwrap_err();
    assert!(matches!(error, RootfsError::TooLarge { .. }), "{error}");
    let error = maker.open_with(&limits(1 << 30, 1)).unwrap_err();
    assert!(matches!(error, RootfsError::TooMany { .. }), "{error}");
    maker.open_with(&limits(1 << 30, 2)).unwrap();
    // the extension of a name is no way around it
    let mut header = archive(&[(EntryType::GNULongName, "x", "")]);
    let mut long = Header::new_gnu();
    long.as_mut_bytes().copy_from_slice(&header[..512]);
    long.set_size(1 << 40);
    long.set_cksum();
    header[..512].copy_from_slice(long.as_bytes());
    let error = Maker::new().packed(&header, &header).open().unwrap_err();
    assert!(error.to_string().contains("before an entry"), "{error}");
}

#[test]
fn layers_cut_anywhere_are_errors_and_leave_nothing() {
    let whole = archive(&[(DIR, "d/", ""), (FILE, "d/a", "content"), (LINK, "l", "d")]);
    let scratch = tempfile::tempdir().unwrap();
    // in every header and behind it, and in the middle of the file's content
    let ends = (0..whole.len() - 1024).step_by(64).chain([2 * 512 + 3]);
    for end in ends {
        let cut = &whole[..end];
        let mut filled = cut.to_vec();
        filled.resize(end.next_multiple_of(512), 0);
        let in_file = 512 < end && end < 2 * 512 + "content".len();
        let same = filled == whole[..filled.len()] && !in_file;
        let maker = Maker::new().packed(cut, cut);
        maker.index(&[maker.manifest()]);
        let root = super::open(
            maker.dir.path(),
            scratch.path(),
            &Limits::default(),
            &|| false,
        );
        // an archive may end with its last entry, and without what fills its last block
        assert_eq!(root.is_ok(), same, "{end}");
        drop(root);
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
    }
    let maker = Maker::new().packed(&whole, &whole);
    maker.index(&[maker.manifest()]);
    let stopped = super::open(
        maker.dir.path(),
        scratch.path(),
        &Limits::default(),
        &|| true,
    );
    assert!(stopped.is_err());
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
}

/// Changes single bytes all over a layer and an index: errors are fine, panics are bugs.
#[test]
fn no_changed_byte_makes_the_reader_panic() {
    let whole = archive(&[
        (LINK, "lib", "usr/lib"),
        (FILE, "lib/a", "content"),
        (HARD, "b", "lib/a"),
        (FILE, ".wh.a", ""),
    ]);
    let maker = Maker::new().packed(&whole, &whole);
    maker.index(&[maker.manifest()]);
    let path = maker.dir.path().join("index.json");
    let index = fs::read(&path).unwrap();
    for at in 0..index.len() {
        let mut changed = index.clone();
        changed[at] ^= 1;
        fs::write(&path, changed).unwrap();
        let _ = maker.open_with(&Limits::default());
    }
    for at in (0..whole.len() - 1024).step_by(7) {
        for value in [0, b'7', 0xff] {
            let mut changed = whole.clone();
            changed[at] = value;
            // the header's own sum, as whoever wants to harm would write it
            let block = at / 512 * 512;
            let mut header = Header::new_ustar();
            header
                .as_mut_bytes()
                .copy_from_slice(&changed[block..block + 512]);
            header.set_cksum();
            changed[block..block + 512].copy_from_slice(header.as_bytes());
            let _ = Maker::new().packed(&changed, &changed).open();
        }
    }
}
