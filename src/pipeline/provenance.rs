//! What an image says of the decisions that its build took by itself or by leave: a
//! file in the initramfs, so that whoever has the image can read it.

use serde::{Deserialize, Serialize};

use crate::initramfs::{Content, Tree};
use crate::payload::Addition;
use crate::spec::files::{LeftOut, Root};
use crate::units::Bytes;

use super::PipelineError;
use super::examine::Examined;

/// Where it is in the guest; nothing else can be put there.
pub(super) const PATH: &str = "/ampoule/provenance.json";

/// What was added to the app, what its owner accepted, and what was left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// What the app needed, did not bring, and was given.
    #[serde(default)]
    pub payload: Vec<Given>,
    /// What would have refused it, and its owner accepted.
    #[serde(default)]
    pub accepted: Vec<String>,
    /// What of the root that it was made from has no place in a sealed machine.
    #[serde(default)]
    pub left_out: Vec<LeftOut>,
}

/// One thing that was added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// Where it is.
    pub path: String,
    /// What it is.
    pub what: String,
    /// The crate and version that it comes from.
    pub source: String,
    /// Its length in bytes.
    pub size: Bytes,
    /// What in the app asks for it.
    pub why: Vec<String>,
}

impl Provenance {
    /// Of an app that was looked at, from a root if it has one.
    pub(super) fn of(examined: &Examined, root: Option<&Root>) -> Provenance {
        Provenance {
            payload: examined.payload.iter().map(Given::of).collect(),
            accepted: examined.verdict.accepted.clone(),
            left_out: root.map_or_else(Vec::new, |root| root.left_out.clone()),
        }
    }

    /// Puts it into the guest's tree, if it has something to say.
    pub(super) fn put(&self, tree: &mut Tree) -> Result<(), PipelineError> {
        if *self == Provenance::default() {
            return Ok(());
        }
        let text = serde_json::to_vec_pretty(self).map_err(PipelineError::Provenance)?;
        tree.file(PATH, 0o444, Content::Bytes(text))?;
        Ok(())
    }

    /// Reads the file's content; an image without the file has nothing to say.
    pub(super) fn read(file: &[u8]) -> Result<Provenance, PipelineError> {
        match file {
            [] => Ok(Provenance::default()),
            text => serde_json::from_slice(text).map_err(PipelineError::Provenance),
        }
    }
}

impl Given {
    fn of(addition: &Addition) -> Given {
        Given {
            path: addition.path.clone(),
            what: addition.what.clone(),
            source: addition.source.clone(),
            size: addition.size,
            why: addition.evidence.iter().map(ToString::to_string).collect(),
        }
    }
}
