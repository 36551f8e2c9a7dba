//! Why a root cannot be taken, in one line each.

use std::io;
use std::path::PathBuf;

use crate::digest::Digest;
use crate::units::Bytes;

/// A root that cannot be taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RootfsError {
    /// The directory, or something in it, cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no place to unpack to.
    #[error("cannot unpack into {}", path.display())]
    Spool {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is neither a directory nor a layout.
    #[error("{} is no directory; unpack an image with `skopeo copy … oci:DIR`", .0.display())]
    NotADirectory(PathBuf),
    /// A JSON document is not what the specification says.
    #[error("{}: {what} cannot be understood", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What it should be.
        what: &'static str,
        /// Why.
        source: serde_json::Error,
    },
    /// A layout of a version that is not known.
    #[error("{}: is an image layout of version {version}; 1.x is known", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: String,
    },
    /// A digest that is no SHA-256.
    #[error("{}: the digest `{digest}` is no SHA-256; copy the image anew", path.display())]
    Algorithm {
        /// The layout.
        path: PathBuf,
        /// The digest.
        digest: String,
    },
    /// A blob of another length than its descriptor says.
    #[error("{}: has {has} bytes instead of {says}; copy the image anew", path.display())]
    Size {
        /// The blob.
        path: PathBuf,
        /// What its descriptor says.
        says: u64,
        /// What it has.
        has: u64,
    },
    /// A blob with another content than its name says.
    #[error("{}: its {what} has the digest {has} instead of {says}; copy the image anew", path.display())]
    Digest {
        /// The blob.
        path: PathBuf,
        /// The blob itself, or what is in it.
        what: &'static str,
        /// What its descriptor says.
        says: Digest,
        /// What it has.
        has: Digest,
    },
    /// No image in it can be run.
    #[error("{} holds no image for Linux on x86_64 or aarch64{}", path.display(), but_for(found))]
    NoImage {
        /// The layout.
        path: PathBuf,
        /// The platforms that it has.
        found: Vec<String>,
    },
    /// More than one image in it can be run.
    #[error(
        "{} holds several images for {arch}: {}; copy one into a layout of its own, with `skopeo copy oci:DIR:NAME oci:NEW`",
        path.display(), names.join(", ")
    )]
    Several {
        /// The layout.
        path: PathBuf,
        /// The architecture.
        arch: String,
        /// The names, or the digests of those that have none.
        names: Vec<String>,
    },
    /// Something in the image that we do not read.
    #[error("{}: {what}", path.display())]
    Unsupported {
        /// Where.
        path: PathBuf,
        /// What, with the remedy.
        what: String,
    },
    /// A layer that is no archive, or a hostile one.
    #[error("{}: {reason}", path.display())]
    Layer {
        /// The blob.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// It unpacks to more than anybody wants in memory.
    #[error("{} unpacks to more than {}, which no machine would want in its memory", path.display(), Bytes(*limit))]
    TooLarge {
        /// The root.
        path: PathBuf,
        /// The limit in bytes.
        limit: u64,
    },
    /// It has more files than anybody wants in memory.
    #[error("{} has more than {limit} files", path.display())]
    TooMany {
        /// The root.
        path: PathBuf,
        /// The limit.
        limit: u64,
    },
    /// The image's user is not in its files.
    #[error(
        "the image runs as `{user}`, and its {file} knows nobody of that name; give --user UID:GID"
    )]
    NoUser {
        /// What the image says.
        user: String,
        /// Where it was looked for.
        file: &'static str,
    },
    /// Something that the image says of how it is run cannot be.
    #[error("the image's configuration: {0}")]
    Configuration(String),
}

fn but_for(platforms: &[String]) -> String {
    match platforms {
        [] => String::new(),
        some => format!(", but for {}", some.join(", ")),
    }
}
