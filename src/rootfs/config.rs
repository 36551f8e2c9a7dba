//! How an image is run (image-spec, config.md): its program, environment, user and
//! working directory, as far as a sealed machine has the same.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};

use serde::Deserialize;

use crate::root::Node;

use super::{RootfsError, Tree};

/// Bytes of passwd(5) and group(5) that are read.
const ACCOUNTS_MAX: u64 = 4 << 20;
const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";

/// An image's configuration.
#[derive(Deserialize)]
pub(super) struct Image {
    pub architecture: String,
    pub os: String,
    #[serde(default)]
    pub config: Option<Execution>,
    pub rootfs: Layers,
}

#[derive(Deserialize)]
pub(super) struct Layers {
    pub diff_ids: Vec<String>,
}

/// Where a field is null, as some tools write it, nothing is said.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Execution {
    user: Option<String>,
    env: Option<Vec<String>>,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    working_dir: Option<String>,
    volumes: Option<BTreeMap<String, serde_json::Value>>,
}

/// What an image says of how it is run, as defaults under what its user says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Defaults {
    /// Its program and the first arguments, which stay when others are given.
    pub entrypoint: Vec<String>,
    /// The arguments that go when others are given; the program too, where the
    /// entrypoint is empty.
    pub cmd: Vec<String>,
    /// Its environment.
    pub env: Vec<(String, String)>,
    /// Its user, where it names one.
    pub user: Option<Identity>,
    /// Its working directory.
    pub workdir: Option<String>,
    /// Directories that it expects to write to.
    pub volumes: Vec<String>,
}

/// A user and its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The user's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
}

/// What `image` says, names of users looked up in its own files.
pub(super) fn defaults(image: &Image, tree: &Tree) -> Result<Defaults, RootfsError> {
    let nothing = Execution::default();
    let says = image.config.as_ref().unwrap_or(&nothing);
    let mut env = Vec::new();
    for variable in says.env.iter().flatten() {
        let pair = variable.split_once('=');
        let (name, value) = pair.ok_or_else(|| {
            let variable = variable.escape_debug();
            RootfsError::Configuration(format!("the variable `{variable}` has no value"))
        })?;
        env.push((name.to_owned(), value.to_owned()));
    }
    let user = says.user.as_deref().filter(|user| !user.is_empty());
    let workdir = says.working_dir.clone().filter(|dir| !dir.is_empty());
    Ok(Defaults {
        entrypoint: says.entrypoint.clone().unwrap_or_default(),
        cmd: says.cmd.clone().unwrap_or_default(),
        env,
        user: user.map(|user| identity(user, tree)).transpose()?,
        workdir,
        volumes: says
            .volumes
            .iter()
            .flatten()
            .map(|(path, _)| path.clone())
            .collect(),
    })
}

/// `user`, `uid`, `user:group`, `uid:gid`, `uid:group` or `user:gid`. A user without a
/// group has that of passwd(5), and one that is not there its own number: here no file
/// belongs to a group, so that runtimes' group 0 would give nothing.
fn identity(text: &str, tree: &Tree) -> Result<Identity, RootfsError> {
    let unknown = |file| RootfsError::NoUser {
        user: text.escape_debug().to_string(),
        file,
    };
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (text, None),
    };
    let number = |text: &str| text.parse::<u32>().ok().filter(|id| *id != u32::MAX);
    let passwd = accounts(tree, PASSWD)?;
    // name:password:UID:GID:… (passwd(5))
    let entry = passwd.iter().find(|entry| match number(user) {
        Some(uid) => entry.get(2).is_some_and(|field| number(field) == Some(uid)),
        None => entry.first().is_some_and(|name| name == user),
    });
    let field = |at: usize| entry.and_then(|entry| number(entry.get(at)?));
    let uid = number(user)
        .or_else(|| field(2))
        .ok_or_else(|| unknown(PASSWD))?;
    let gid = match group {
        None => field(3).unwrap_or(uid),
        Some(group) => match number(group) {
            Some(gid) => gid,
            // name:password:GID:… (group(5))
            None => accounts(tree, GROUP)?
                .iter()
                .find(|entry| entry.first().is_some_and(|name| name == group))
                .and_then(|entry| number(entry.get(2)?))
                .ok_or_else(|| unknown(GROUP))?,
        },
    };
    Ok(Identity { uid, gid })
}

/// The lines of a file of accounts, each in its fields; none if there is no such file.
fn accounts(tree: &Tree, path: &'static str) -> Result<Vec<Vec<String>>, RootfsError> {
    let Some(Node::File {
        host: Some(host), ..
    }) = tree.walk(path).node
    else {
        return Ok(Vec::new());
    };
    let mut text = Vec::new();
    let read = |source: io::Error| RootfsError::Read {
        path: path.into(),
        source,
    };
    let file = File::open(host).map_err(read)?;
    file.take(ACCOUNTS_MAX)
        .read_to_end(&mut text)
        .map_err(read)?;
    let text = String::from_utf8_lossy(&text);
    let fields = |line: &str| line.split(':').map(str::to_owned).collect();
    Ok(text.lines().map(fields).collect())
}
