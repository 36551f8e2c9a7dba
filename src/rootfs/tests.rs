use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;

use serde_json::{Value, json};
use tar::{EntryType, Header};

use super::*;
use crate::digest::Digest;
use crate::root::Node;

mod hostile;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const TAR: &str = "application/vnd.oci.image.layer.v1.tar";

/// One entry of an archive: its type, name, and content or target.
type Entry<'a> = (EntryType, &'a str, &'a str);

const FILE: EntryType = EntryType::Regular;
const DIR: EntryType = EntryType::Directory;
const LINK: EntryType = EntryType::Symlink;
const HARD: EntryType = EntryType::Link;

/// An archive, whatever its names are: no builder would write the hostile ones.
fn archive(entries: &[Entry<'_>]) -> Vec<u8> {
    archive_of_mode(0o755, entries)
}

fn archive_of_mode(mode: u32, entries: &[Entry<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (kind, name, text) in entries {
        let mut header = Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(mode);
        let content = match *kind {
            LINK | HARD => {
                header.as_old_mut().linkname[..text.len()].copy_from_slice(text.as_bytes());
                ""
            }
            _ => text,
        };
        header.set_size(content.len() as u64);
        header.set_cksum();
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(content.as_bytes());
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

/// A layout that is made here.
struct Maker {
    dir: TempDir,
    layers: Vec<Value>,
    diffs: Vec<String>,
    config: Value,
    architecture: &'static str,
}

impl Maker {
    fn new() -> Maker {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("blobs/sha256")).unwrap();
        fs::write(
            dir.path().join("oci-layout"),
            r#"{"imageLayoutVersion":"1.0.0"}"#,
        )
        .unwrap();
        Maker {
            dir,
            layers: Vec::new(),
            diffs: Vec::new(),
            config: json!({}),
            architecture: "amd64",
        }
    }

    fn blob(&self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = Digest::of(bytes).to_string();
        let path = self.dir.path().join("blobs/sha256").join(&digest);
        fs::write(path, bytes).unwrap();
        json!({"mediaType": media_type, "digest": format!("sha256:{digest}"), "size": bytes.len()})
    }

    fn packed(mut self, archive: &[u8], blob: &[u8]) -> Maker {
        self.diffs.push(format!("sha256:{}", Digest::of(archive)));
        self.layers.push(self.blob(TAR, blob));
        self
    }

    fn layer(self, entries: &[Entry<'_>]) -> Maker {
        let archive = archive(entries);
        self.packed(&archive, &archive)
    }

    fn config(mut self, config: Value) -> Maker {
        self.config = config;
        self
    }

    fn manifest(&self) -> Value {
        let config = json!({
            "architecture": self.architecture,
            "os": "linux",
            "config": self.config,
            "rootfs": {"type": "layers", "diff_ids": self.diffs},
        });
        let config = self.blob(
            "application/vnd.oci.image.config.v1+json",
            config.to_string().as_bytes(),
        );
        let manifest = json!({"schemaVersion": 2, "config": config, "layers": self.layers});
        self.blob(MANIFEST, manifest.to_string().as_bytes())
    }

    fn index(&self, manifests: &[Value]) {
        let index = json!({"schemaVersion": 2, "manifests": manifests});
        fs::write(self.dir.path().join("index.json"), index.to_string()).unwrap();
    }

    fn open(self) -> Result<Rootfs, RootfsError> {
        self.index(&[self.manifest()]);
        self.open_with(&Limits::default())
    }

    fn open_with(&self, limits: &Limits) -> Result<Rootfs, RootfsError> {
        super::open(self.dir.path(), &std::env::temp_dir(), limits, &|| false)
    }
}

fn told(root: &Rootfs) -> Vec<String> {
    root.tree
        .iter()
        .map(|(path, node)| match node {
            Node::Dir => format!("{path}/"),
            Node::Link { target } => format!("{path} -> {target}"),
            Node::File { host, .. } => {
                format!(
                    "{path} {}",
                    fs::read_to_string(host.as_ref().unwrap()).unwrap()
                )
            }
        })
        .collect()
}

#[test]
fn layers_come_one_over_the_other() {
    let root = Maker::new()
        .layer(&[
            (DIR, "./", ""),
            (DIR, "usr/lib/", ""),
            (LINK, "lib", "usr/lib"),
            (FILE, "usr/lib/a", "one"),
            (FILE, "etc/gone", "x"),
            (FILE, "etc/stays", "x"),
            (FILE, "var/old", "x"),
        ])
        .layer(&[
            (FILE, "./lib/a", "two"),
            (HARD, "lib/b", "lib/a"),
            (FILE, "etc/.wh.gone", ""),
            (FILE, "var/new", "y"),
            (FILE, "var/.wh..wh..opq", ""),
            (FILE, "var/.wh..wh.plnk", ""),
        ])
        .open()
        .unwrap();
    assert_eq!(
        told(&root),
        [
            "/etc/",
            "/etc/stays x",
            "/lib -> usr/lib",
            "/usr/",
            "/usr/lib/",
            "/usr/lib/a two",
            "/usr/lib/b two",
            "/var/",
            "/var/new y",
        ]
    );
    assert_eq!(root.arch, Some(Arch::X86_64));
}

#[test]
fn every_compression_is_read() {
    let plain = archive(&[(FILE, "a", "content")]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    let zstd = zstd::stream::encode_all(plain.as_slice(), 1).unwrap();
    for blob in [plain.clone(), gzip.finish().unwrap(), zstd] {
        let root = Maker::new().packed(&plain, &blob).open().unwrap();
        assert_eq!(told(&root), ["/a content"]);
    }
}

#[test]
fn what_no_image_holds_is_left_out_and_told() {
    let root = Maker::new()
        .layer(&[
            (EntryType::Char, "dev/null", ""),
            (EntryType::Fifo, "run/pipe", ""),
            (FILE, "a", ""),
        ])
        .open()
        .unwrap();
    let left: Vec<&str> = root.left_out.keys().map(String::as_str).collect();
    assert_eq!(left, ["/dev/null", "/run/pipe"]);

    let setuid = archive_of_mode(0o4755, &[(FILE, "bin/su", "x"), (FILE, "bin/ping", "x")]);
    let capable = pax("SCHILY.xattr.security.capability", "\x01\0\0");
    let capable = [&capable[..], &archive(&[(FILE, "bin/ping", "x")])].concat();
    let root = Maker::new()
        .packed(&setuid, &setuid)
        .packed(&capable, &capable)
        .open()
        .unwrap();
    let stripped: Vec<_> = root.stripped.into_iter().collect();
    assert_eq!(
        stripped,
        [
            ("/bin/ping".to_owned(), "its capabilities"),
            ("/bin/su".to_owned(), "its setuid or setgid bit"),
        ]
    );
}

/// A header of pax(1) with one record, without the end of an archive.
fn pax(key: &str, value: &str) -> Vec<u8> {
    let rest = format!(" {key}={value}\n");
    let len = (1..).find(|len: &usize| len.to_string().len() + rest.len() == *len);
    let record = format!("{}{rest}", len.unwrap());
    let mut bytes = archive(&[(EntryType::XHeader, "pax", &record)]);
    bytes.truncate(bytes.len() - 1024);
    bytes
}

#[test]
fn the_image_for_this_machine_is_chosen() {
    let maker = |architecture, name: &'static str| {
        let mut maker = Maker::new().layer(&[(FILE, name, "")]);
        maker.architecture = architecture;
        maker
    };
    let (amd, arm, power) = (
        maker("amd64", "amd"),
        maker("arm64", "arm"),
        maker("ppc64le", "p"),
    );
    let mut manifests = Vec::new();
    for other in [&power, &arm, &amd] {
        manifests.push(other.manifest());
        for blob in fs::read_dir(other.dir.path().join("blobs/sha256")).unwrap() {
            let blob = blob.unwrap();
            let to = amd.dir.path().join("blobs/sha256").join(blob.file_name());
            if !to.exists() {
                fs::copy(blob.path(), to).unwrap();
            }
        }
    }
    let [power, arm, amd_manifest] = manifests.try_into().unwrap();
    let nested = json!({"schemaVersion": 2, "manifests": [power, arm, amd_manifest]});
    let nested = amd.blob(INDEX, nested.to_string().as_bytes());
    let own = if cfg!(target_arch = "aarch64") {
        "/arm "
    } else {
        "/amd "
    };
    let mut unknown = power.clone();
    unknown["platform"] = json!({"os": "unknown", "architecture": "unknown"});
    for manifests in [
        vec![power.clone(), arm.clone(), amd_manifest.clone()],
        vec![unknown, nested.clone()],
        // the same one by two names
        vec![amd_manifest.clone(), nested, arm.clone()],
    ] {
        amd.index(&manifests);
        assert_eq!(told(&amd.open_with(&Limits::default()).unwrap()), [own]);
    }
    amd.index(&[arm]);
    let only = amd.open_with(&Limits::default()).unwrap();
    assert_eq!(only.arch, Some(Arch::Aarch64));
    amd.index(&[power]);
    let error = amd.open_with(&Limits::default()).unwrap_err();
    assert!(
        error.to_string().ends_with("but for linux/ppc64le"),
        "{error}"
    );

    let second = maker("amd64", "second").layer(&[(FILE, "third", "")]);
    let mut two = [second.manifest(), second.manifest()];
    two[0]["annotations"] = json!({"org.opencontainers.image.ref.name": "v1"});
    two[1] = {
        let manifest = json!({"schemaVersion": 2, "layers": [], "config": second.blob("x",
            json!({"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": []}}).to_string().as_bytes())});
        second.blob(MANIFEST, manifest.to_string().as_bytes())
    };
    second.index(&two);
    let error = second
        .open_with(&Limits::default())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("several images for x86_64: v1, sha256:"),
        "{error}"
    );
}

#[test]
fn how_an_image_is_run_becomes_defaults() {
    let accounts: &[Entry<'_>] = &[
        (FILE, "etc/passwd", "root:x:0:0:::\nweb:x:101:102:::\n"),
        (FILE, "etc/group", "root:x:0:\nstaff:x:50:web\n"),
    ];
    let config = json!({
        "User": "web:staff",
        "Env": ["PATH=/bin", "A=b=c"],
        "Entrypoint": ["/bin/server"],
        "Cmd": ["--port", "80"],
        "WorkingDir": "/srv",
        "Volumes": {"/data": {}},
    });
    let root = Maker::new().layer(accounts).config(config).open().unwrap();
    let defaults = root.defaults.unwrap();
    assert_eq!(defaults.entrypoint, ["/bin/server"]);
    assert_eq!(defaults.cmd, ["--port", "80"]);
    assert_eq!(defaults.env[1], ("A".to_owned(), "b=c".to_owned()));
    assert_eq!(defaults.workdir.as_deref(), Some("/srv"));
    assert_eq!(defaults.volumes, ["/data"]);
    for (user, ids) in [
        ("web:staff", Some((101, 50))),
        ("web", Some((101, 102))),
        ("101", Some((101, 102))),
        ("7", Some((7, 7))),
        ("7:8", Some((7, 8))),
        ("", None),
    ] {
        let maker = Maker::new().layer(accounts).config(json!({"User": user}));
        let defaults = maker.open().unwrap().defaults.unwrap();
        let has = defaults.user.map(|user| (user.uid, user.gid));
        assert_eq!(has, ids, "{user:?}");
    }
    for user in ["nobody", "web:nobody"] {
        let maker = Maker::new().layer(accounts).config(json!({"User": user}));
        assert!(
            matches!(maker.open(), Err(RootfsError::NoUser { .. })),
            "{user}"
        );
    }
    let nulls = json!({"User": null, "Env": null, "Cmd": null, "Entrypoint": null});
    let root = Maker::new().layer(accounts).config(nulls).open().unwrap();
    assert_eq!(root.defaults, Some(Defaults::default()));
    let odd = Maker::new().layer(accounts).config(json!({"Env": ["A"]}));
    assert!(matches!(odd.open(), Err(RootfsError::Configuration(_))));
}

#[test]
fn a_directory_is_taken_whole() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path();
    fs::create_dir_all(base.join("usr/bin")).unwrap();
    fs::write(base.join("usr/bin/a"), "x").unwrap();
    fs::hard_link(base.join("usr/bin/a"), base.join("usr/bin/b")).unwrap();
    fs::write(base.join("usr/bin/su"), "x").unwrap();
    fs::set_permissions(base.join("usr/bin/su"), fs::Permissions::from_mode(0o4755)).unwrap();
    symlink("/usr/bin", base.join("bin")).unwrap();
    let _socket = UnixListener::bind(base.join("socket")).unwrap();
    let root = super::open(base, base, &Limits::default(), &|| false).unwrap();
    assert_eq!(
        told(&root),
        [
            "/bin -> /usr/bin",
            "/usr/",
            "/usr/bin/",
            "/usr/bin/a x",
            "/usr/bin/b x",
            "/usr/bin/su x"
        ]
    );
    let host = |path: &str| match root.tree.get(path) {
        Some(Node::File { host, .. }) => host.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(host("/usr/bin/a"), host("/bin/b"), "one file by two names");
    assert_eq!(root.left_out.get("/socket"), Some(&"a socket"));
    assert!(root.stripped.contains_key("/usr/bin/su"));
    let limits = Limits {
        entries: 3,
        ..Limits::default()
    };
    let many = super::open(base, base, &limits, &|| false);
    assert!(matches!(many, Err(RootfsError::TooMany { .. })));
    let file = super::open(&base.join("usr/bin/a"), base, &limits, &|| false);
    assert!(matches!(file, Err(RootfsError::NotADirectory(_))));
}
