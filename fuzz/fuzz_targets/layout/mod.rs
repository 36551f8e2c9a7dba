//! A layout on disk, made anew for each input.

use std::fs;
use std::path::PathBuf;

use ampoule::digest::Digest;
use ampoule::rootfs::{self, Limits};

#[allow(dead_code)]
pub const TAR: &str = "application/vnd.oci.image.layer.v1.tar";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// As much as an input can make in a moment.
const LIMITS: Limits = Limits {
    bytes: 8 << 20,
    entries: 1 << 12,
};

pub struct Layout {
    dir: PathBuf,
}

impl Layout {
    pub fn new(target: &str) -> Layout {
        let name = format!("ampoule-fuzz-{target}-{}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(dir.join("blobs/sha256")).expect("a folder can be made");
        let layout = Layout { dir };
        layout.write("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
        layout
    }

    pub fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.dir.join(name), bytes).expect("and written to");
    }

    /// Puts a blob in; gives its digest.
    pub fn blob(&self, bytes: &[u8]) -> String {
        let digest = Digest::of(bytes);
        self.write(&format!("blobs/sha256/{digest}"), bytes);
        format!("sha256:{digest}")
    }

    /// An index of this manifest.
    pub fn index(&self, manifest: &str) {
        let digest = self.blob(manifest.as_bytes());
        let descriptor = descriptor(MANIFEST, &digest, manifest.len());
        self.write(
            "index.json",
            format!(r#"{{"manifests":[{descriptor}]}}"#).as_bytes(),
        );
    }

    pub fn open(&self) {
        let _ = rootfs::open(&self.dir, &std::env::temp_dir(), &LIMITS, &|| false);
    }
}

pub fn descriptor(media_type: &str, digest: &str, size: usize) -> String {
    format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{size}}}"#)
}
