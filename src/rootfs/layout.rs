//! The OCI image layout: which image of a directory is taken, and its blobs, each
//! held against its digest and size (image-spec: image-layout.md, image-index.md,
//! manifest.md, descriptor.md).

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::digest::Digest;
use crate::units::Arch;

use super::config::{self, Image};
use super::layer::{Layer, Spool};
use super::{Limits, Rootfs, RootfsError};

/// The file that makes a directory a layout.
const MARK: &str = "oci-layout";
/// Bytes of a JSON document that are read: registries are asked to take manifests of
/// 4 MiB (distribution-spec, Pushing Manifests); configurations are as long.
const DOCUMENT_MAX: u64 = 8 << 20;
/// How deep an index may lie in an index, and how many images are looked at.
const DEPTH_MAX: usize = 4;
const IMAGES_MAX: usize = 1024;
/// Layers of one image. Runtimes stop at 127 or 500.
const LAYERS_MAX: usize = 1024;

/// Media types (image-spec, media-types.md), and those of Docker that they came from.
const INDEXES: &[&str] = &[
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];
const MANIFESTS: &[&str] = &[
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];
const LAYERS: &[&str] = &[
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
];
/// The annotation in which tools keep an image's name (annotations.md).
const NAME: &str = "org.opencontainers.image.ref.name";

#[derive(Deserialize)]
struct Mark {
    #[serde(rename = "imageLayoutVersion")]
    version: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    size: u64,
    platform: Option<Platform>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Clone, Deserialize)]
struct Platform {
    architecture: String,
    os: String,
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Manifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

/// An image that could be taken.
struct Candidate {
    arch: Arch,
    name: String,
    digest: String,
    manifest: Manifest,
    image: Image,
}

pub(super) struct Layout {
    dir: PathBuf,
}

impl Layout {
    /// The layout in the directory `dir`, if it is one.
    pub fn at(dir: &Path) -> Result<Option<Layout>, RootfsError> {
        let mark = dir.join(MARK);
        if !mark.is_file() {
            return Ok(None);
        }
        let found: Mark = parse(&mark, &document(&mark)?, "the mark of an image layout")?;
        if !found.version.starts_with("1.") {
            return Err(RootfsError::Version {
                path: mark,
                version: found.version,
            });
        }
        Ok(Some(Layout {
            dir: dir.to_owned(),
        }))
    }

    /// Applies the layers of the one image that can be run.
    pub fn unpack(
        &self,
        scratch: &Path,
        limits: &Limits,
        interrupted: &dyn Fn() -> bool,
    ) -> Result<Rootfs, RootfsError> {
        let Candidate {
            arch,
            manifest,
            image,
            ..
        } = self.choose()?;
        let mut root = Rootfs::new();
        let mut spool = Spool::new(scratch, &self.dir, limits, interrupted)?;
        let diffs = &image.rootfs.diff_ids;
        if diffs.len() != manifest.layers.len() || diffs.len() > LAYERS_MAX {
            return Err(self.unsupported(format!(
                "has {} layers, and its configuration speaks of {}; copy the image anew",
                manifest.layers.len(),
                diffs.len()
            )));
        }
        for (number, (layer, diff)) in manifest.layers.iter().zip(diffs).enumerate() {
            if !LAYERS.contains(&layer.media_type.as_str()) {
                let kind = layer.media_type.escape_debug();
                return Err(self.unsupported(format!(
                    "has a layer of the type {kind}, which is not known here"
                )));
            }
            let layer = Layer {
                number,
                path: self.blob(layer)?,
                size: layer.size,
                digest: self.digest(&layer.digest)?,
                unpacked: self.digest(diff)?,
            };
            layer.apply(&mut root, &mut spool)?;
        }
        root.defaults = Some(config::defaults(&image, &root.tree)?);
        root.arch = Some(arch);
        root.spool = Some(spool.keep());
        Ok(root)
    }

    fn unsupported(&self, what: String) -> RootfsError {
        RootfsError::Unsupported {
            path: self.dir.clone(),
            what,
        }
    }

    /// The image for this machine's own architecture, else for our other one.
    fn choose(&self) -> Result<Candidate, RootfsError> {
        let path = self.dir.join("index.json");
        let index: Index = parse(&path, &document(&path)?, "the index")?;
        let mut candidates: Vec<Candidate> = Vec::new();
        let mut others = Vec::new();
        self.look(index, String::new(), 0, &mut candidates, &mut others)?;
        let own = |arch: Arch| arch.name() == std::env::consts::ARCH;
        let any_own = candidates.iter().any(|one| own(one.arch));
        candidates.retain(|one| own(one.arch) == any_own);
        match candidates.len() {
            0 => {
                others.sort_unstable();
                others.dedup();
                Err(RootfsError::NoImage {
                    path: self.dir.clone(),
                    found: others,
                })
            }
            1 => Ok(candidates.remove(0)),
            _ => Err(RootfsError::Several {
                path: self.dir.clone(),
                arch: candidates[0].arch.name().to_owned(),
                names: candidates.into_iter().map(|one| one.name).collect(),
            }),
        }
    }

    /// Looks at what an index lists, and at the indexes in it.
    fn look(
        &self,
        index: Index,
        name: String,
        depth: usize,
        candidates: &mut Vec<Candidate>,
        others: &mut Vec<String>,
    ) -> Result<(), RootfsError> {
        for descriptor in index.manifests {
            let annotated = descriptor.annotations.as_ref();
            let annotated = annotated.and_then(|all| all.get(NAME)).cloned();
            let name = annotated.unwrap_or_else(|| name.clone());
            if INDEXES.contains(&descriptor.media_type.as_str()) {
                if depth == DEPTH_MAX {
                    return Err(self.unsupported("has indexes in indexes without end".to_owned()));
                }
                let inner: Index = self.json(&descriptor, "an index")?;
                self.look(inner, name, depth + 1, candidates, others)?;
                continue;
            }
            let known = candidates.iter().any(|one| one.digest == descriptor.digest);
            if known || !MANIFESTS.contains(&descriptor.media_type.as_str()) {
                continue;
            }
            if let Some(platform) = &descriptor.platform {
                if arch(&platform.os, &platform.architecture).is_none() {
                    // "unknown" are the attestations of builders
                    if platform.os != "unknown" {
                        others.push(format!("{}/{}", platform.os, platform.architecture));
                    }
                    continue;
                }
            }
            if candidates.len() == IMAGES_MAX {
                return Err(self.unsupported(format!("has more than {IMAGES_MAX} images")));
            }
            let manifest: Manifest = self.json(&descriptor, "a manifest")?;
            let image: Image = match self.json(&manifest.config, "a configuration") {
                // an artifact that is no image
                Err(RootfsError::Json { .. }) => continue,
                other => other?,
            };
            let Some(arch) = arch(&image.os, &image.architecture) else {
                others.push(format!("{}/{}", image.os, image.architecture));
                continue;
            };
            candidates.push(Candidate {
                arch,
                name: match name.as_str() {
                    "" => descriptor.digest.clone(),
                    name => name.escape_debug().to_string(),
                },
                digest: descriptor.digest,
                manifest,
                image,
            });
        }
        Ok(())
    }

    fn digest(&self, text: &str) -> Result<Digest, RootfsError> {
        let digits = text.strip_prefix("sha256:");
        let digest = digits.and_then(|digits| digits.parse().ok());
        digest.ok_or_else(|| RootfsError::Algorithm {
            path: self.dir.clone(),
            digest: text.escape_debug().to_string(),
        })
    }

    /// Where the blob lies, whose length is as it should be.
    fn blob(&self, descriptor: &Descriptor) -> Result<PathBuf, RootfsError> {
        let digest = self.digest(&descriptor.digest)?;
        // by the digest as we write it, so that no text of the image becomes a path
        let path = self.dir.join("blobs/sha256").join(digest.to_string());
        let has = file_len(&path)?;
        if has != descriptor.size {
            return Err(RootfsError::Size {
                path,
                says: descriptor.size,
                has,
            });
        }
        Ok(path)
    }

    fn json<T: DeserializeOwned>(
        &self,
        descriptor: &Descriptor,
        what: &'static str,
    ) -> Result<T, RootfsError> {
        let path = self.blob(descriptor)?;
        let bytes = document(&path)?;
        let (says, has) = (self.digest(&descriptor.digest)?, Digest::of(&bytes));
        if says != has {
            return Err(RootfsError::Digest {
                path,
                what: "content",
                says,
                has,
            });
        }
        parse(&path, &bytes, what)
    }
}

/// The length of a regular file: opening a pipe would wait for a writer.
fn file_len(path: &Path) -> Result<u64, RootfsError> {
    let metadata = fs::metadata(path).and_then(|metadata| match metadata.is_file() {
        true => Ok(metadata),
        false => Err(io::Error::other("no regular file")),
    });
    match metadata {
        Ok(metadata) => Ok(metadata.len()),
        Err(source) => Err(RootfsError::Read {
            path: path.to_owned(),
            source,
        }),
    }
}

fn document(path: &Path) -> Result<Vec<u8>, RootfsError> {
    let read = |source| RootfsError::Read {
        path: path.to_owned(),
        source,
    };
    let len = file_len(path)?;
    if len > DOCUMENT_MAX {
        return Err(read(io::Error::other(format!(
            "{len} bytes are too many for a JSON document"
        ))));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(read)?;
    file.take(DOCUMENT_MAX)
        .read_to_end(&mut bytes)
        .map_err(read)?;
    Ok(bytes)
}

fn parse<T: DeserializeOwned>(
    path: &Path,
    bytes: &[u8],
    what: &'static str,
) -> Result<T, RootfsError> {
    serde_json::from_slice(bytes).map_err(|source| RootfsError::Json {
        path: path.to_owned(),
        what,
        source,
    })
}

/// Our architecture of this name (Go's GOOS and GOARCH, image-index.md).
fn arch(os: &str, name: &str) -> Option<Arch> {
    match (os, name) {
        ("linux", "amd64") => Some(Arch::X86_64),
        ("linux", "arm64") => Some(Arch::Aarch64),
        _ => None,
    }
}
