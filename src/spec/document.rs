//! `ampoule.toml`: the schema that `docs/ampoule.toml.md` describes.
//!
//! The parser keeps where each value stands, so that every complaint has its
//! line. A key is known because `read` asks for it: there is no second list.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::seccomp::{self, Seccomp};
use super::value::{self, Checked};
use super::{Network, Origin, Settings, SpecError};

/// How alike a known key must be to be offered for an unknown one (Jaro-Winkler,
/// 0 to 1).
const ALIKE: f64 = 0.75;

/// Reads the settings out of `text`, the content of the file at `path`. Relative
/// paths in it are taken from the file's own directory.
///
/// # Errors
/// [`SpecError`] with the line: no TOML, an unknown key, a value out of bounds.
pub fn load(text: &str, path: &Path) -> Result<Settings, SpecError> {
    let source = Source { text, path };
    let document = DeTable::parse(text).map_err(|error| SpecError::Syntax {
        origin: source.origin(error.span().map_or(0, |span| span.start)),
        message: error.message().trim().replace('\n', ", "),
    })?;
    let mut table = Table::new(&source, String::new(), document.get_ref());
    let settings = read(&mut table, path.parent().unwrap_or(Path::new("")))?;
    table.finish()?;
    Ok(settings)
}

/// The schema.
fn read(table: &mut Table<'_>, base: &Path) -> Result<Settings, SpecError> {
    let path = |text: &str| -> Checked<PathBuf> {
        if text.is_empty() || text.contains('\0') {
            return Err("an empty path".to_owned());
        }
        Ok(base.join(text))
    };
    Ok(Settings {
        app: table.text("app", path)?,
        output: table.text("output", path)?,
        name: table.text("name", value::name)?,
        argv0: table.text("argv0", value::argument)?,
        args: table.texts("args", value::argument)?,
        env: pairs(table, "env", value::env_key, value::argument)?,
        files: pairs(table, "files", value::file_path, path)?,
        ports: ports(table)?,
        user: user(table)?,
        workdir: table.text("workdir", value::guest_path)?,
        hostname: table.text("hostname", value::hostname)?,
        network: network(table)?,
        dns: dns(table)?,
        dhcp_wait: table.text("dhcp-wait", value::seconds)?,
        grace: stop(table)?,
        on_exit: table.text("on-exit", value::on_exit)?,
        memory_extra: table.text("memory-extra", value::memory)?,
        allow_shell: table
            .get("allow-shell")
            .map(|entry| entry.boolean())
            .transpose()?,
        libs: table.text("libs", path)?,
        rootfs: table.text("rootfs", path)?,
        app_at: None,
        seccomp: seccomp(table)?,
        accept: table
            .texts("accept", value::accepted)?
            .unwrap_or_default()
            .into_iter()
            .collect(),
    })
}

/// A table from key to string, both checked.
fn pairs<V>(
    table: &mut Table<'_>,
    key: &'static str,
    check_key: impl Fn(&str) -> Checked<String>,
    check: impl Fn(&str) -> Checked<V>,
) -> Result<std::collections::BTreeMap<String, V>, SpecError> {
    let Some(entry) = table.get(key) else {
        return Ok(std::collections::BTreeMap::new());
    };
    let mut all = std::collections::BTreeMap::new();
    for (name, entry) in entry.entries()? {
        let name = entry.checked(check_key(&name))?;
        let value = entry.text(&check)?;
        if all.insert(name, value).is_some() {
            return Err(entry.refuse("the same path is there twice"));
        }
    }
    Ok(all)
}

fn ports(table: &mut Table<'_>) -> Result<Option<Vec<u16>>, SpecError> {
    let Some(entry) = table.get("ports") else {
        return Ok(None);
    };
    let mut list = Vec::new();
    for item in entry.items()? {
        list.push(item.checked(value::port(item.integer()?))?);
    }
    entry.checked(value::ports(list)).map(Some)
}

fn dns(table: &mut Table<'_>) -> Result<Option<Vec<IpAddr>>, SpecError> {
    let Some(entry) = table.get("dns") else {
        return Ok(None);
    };
    let mut list = Vec::new();
    for item in entry.items()? {
        list.push(item.text(value::name_server)?);
    }
    entry.checked(value::name_servers(list)).map(Some)
}

/// A number, or `"UID:GID"`.
fn user(table: &mut Table<'_>) -> Result<Option<super::User>, SpecError> {
    let Some(entry) = table.get("user") else {
        return Ok(None);
    };
    let checked = match entry.value {
        DeValue::Integer(_) => value::user(&entry.integer()?.to_string()),
        DeValue::String(text) => value::user(text),
        _ => return Err(entry.wrong_type("a number or \"UID:GID\"")),
    };
    entry.checked(checked).map(Some)
}

/// `"dhcp"`, `"none"`, or a table with `address` and `gateway`.
fn network(table: &mut Table<'_>) -> Result<Option<Network>, SpecError> {
    let Some(entry) = table.get("network") else {
        return Ok(None);
    };
    if let DeValue::String(text) = entry.value {
        let checked = match text.as_ref() {
            "dhcp" => Ok(Network::Dhcp),
            "none" => Ok(Network::None),
            _ => Err(format!(
                "`{text}` is neither \"dhcp\" nor \"none\"; a fixed one is a table with `address`"
            )),
        };
        return entry.checked(checked).map(Some);
    }
    if !entry.value.is_table() {
        return Err(entry.wrong_type("\"dhcp\", \"none\" or a table with `address`"));
    }
    let mut inner = entry.table()?;
    let address = inner.text("address", value::argument)?;
    let gateway = inner.text("gateway", value::argument)?;
    inner.finish()?;
    let Some(address) = address else {
        return Err(entry.refuse("a fixed network needs its `address`, like \"192.0.2.10/24\""));
    };
    entry
        .checked(value::static_network(&address, gateway.as_deref()))
        .map(Some)
}

fn stop(table: &mut Table<'_>) -> Result<Option<u32>, SpecError> {
    let Some(entry) = table.get("stop") else {
        return Ok(None);
    };
    let mut inner = entry.table()?;
    let grace = inner.text("grace", value::seconds)?;
    inner.finish()?;
    Ok(grace)
}

/// A policy's name, or a table with `calls`.
fn seccomp(table: &mut Table<'_>) -> Result<Option<Seccomp>, SpecError> {
    let Some(entry) = table.get("seccomp") else {
        return Ok(None);
    };
    if let DeValue::String(_) = entry.value {
        return entry.text(seccomp::named).map(Some);
    }
    if !entry.value.is_table() {
        return Err(entry.wrong_type("the name of a policy or a table with `calls`"));
    }
    let mut inner = entry.table()?;
    let calls = inner.texts("calls", seccomp::call)?;
    inner.finish()?;
    match calls {
        Some(calls) => Ok(Some(Seccomp::Calls(calls.into_iter().collect()))),
        None => Err(entry.refuse("a table needs the `calls`; `ampoule learn` finds them")),
    }
}

/// The file, to tell lines.
struct Source<'a> {
    text: &'a str,
    path: &'a Path,
}

impl Source<'_> {
    fn origin(&self, offset: usize) -> Origin {
        let before = self.text.as_bytes().iter().take(offset);
        Origin::Line {
            path: self.path.to_owned(),
            line: 1 + before.filter(|octet| **octet == b'\n').count(),
        }
    }
}

/// A table that remembers which keys it was asked for.
struct Table<'a> {
    source: &'a Source<'a>,
    /// The keys that lead here, with a dot after each.
    prefix: String,
    map: &'a DeTable<'a>,
    asked: Vec<&'static str>,
}

impl<'a> Table<'a> {
    fn new(source: &'a Source<'a>, prefix: String, map: &'a DeTable<'a>) -> Table<'a> {
        Table {
            source,
            prefix,
            map,
            asked: Vec::new(),
        }
    }

    fn get(&mut self, key: &'static str) -> Option<Entry<'a>> {
        self.asked.push(key);
        self.map
            .iter()
            .find(|(name, _)| name.get_ref() == key)
            .map(|(_, value)| Entry::new(self.source, format!("{}{key}", self.prefix), value))
    }

    fn text<T>(
        &mut self,
        key: &'static str,
        check: impl Fn(&str) -> Checked<T>,
    ) -> Result<Option<T>, SpecError> {
        self.get(key).map(|entry| entry.text(check)).transpose()
    }

    fn texts<T>(
        &mut self,
        key: &'static str,
        check: impl Fn(&str) -> Checked<T>,
    ) -> Result<Option<Vec<T>>, SpecError> {
        let Some(entry) = self.get(key) else {
            return Ok(None);
        };
        let items = entry.items()?;
        let texts: Result<_, _> = items.iter().map(|item| item.text(&check)).collect();
        texts.map(Some)
    }

    /// Refuses keys that nobody asked for, the first in the file first.
    fn finish(self) -> Result<(), SpecError> {
        let unknown = self
            .map
            .keys()
            .filter(|key| !self.asked.contains(&key.get_ref().as_ref()))
            .min_by_key(|key| key.span().start);
        let Some(key) = unknown else {
            return Ok(());
        };
        let nearest = nearest(key.get_ref(), &self.asked);
        Err(SpecError::UnknownKey {
            origin: self.source.origin(key.span().start),
            key: format!("{}{}", self.prefix, key.get_ref()),
            nearest: nearest.map(|name| format!("{}{name}", self.prefix)),
        })
    }
}

/// The known key most like `key`, if it is like enough; `_` stands for `-`.
fn nearest(key: &str, known: &[&'static str]) -> Option<&'static str> {
    let key = key.to_lowercase().replace('_', "-");
    known
        .iter()
        .map(|name| (strsim::jaro_winkler(&key, name), *name))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

/// A value with the way to it.
struct Entry<'a> {
    source: &'a Source<'a>,
    key: String,
    offset: usize,
    value: &'a DeValue<'a>,
}

impl<'a> Entry<'a> {
    fn new(source: &'a Source<'a>, key: String, value: &'a Spanned<DeValue<'a>>) -> Entry<'a> {
        Entry {
            source,
            key,
            offset: value.span().start,
            value: value.get_ref(),
        }
    }

    fn refuse(&self, reason: &str) -> SpecError {
        SpecError::Value {
            origin: self.source.origin(self.offset),
            reason: format!("{}: {reason}", self.key),
        }
    }

    fn wrong_type(&self, wanted: &str) -> SpecError {
        let found = match self.value {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a fraction",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.refuse(&format!("must be {wanted}, not {found}"))
    }

    fn checked<T>(&self, checked: Checked<T>) -> Result<T, SpecError> {
        checked.map_err(|reason| self.refuse(&reason))
    }

    fn text<T>(&self, check: impl Fn(&str) -> Checked<T>) -> Result<T, SpecError> {
        match self.value {
            DeValue::String(text) => self.checked(check(text)),
            _ => Err(self.wrong_type("a string")),
        }
    }

    fn integer(&self) -> Result<i64, SpecError> {
        let number = self
            .value
            .as_integer()
            .ok_or_else(|| self.wrong_type("an integer"))?;
        i64::from_str_radix(number.as_str(), number.radix())
            .map_err(|_| self.refuse("is out of bounds"))
    }

    fn boolean(&self) -> Result<bool, SpecError> {
        self.value
            .as_bool()
            .ok_or_else(|| self.wrong_type("true or false"))
    }

    fn items(&self) -> Result<Vec<Entry<'a>>, SpecError> {
        match self.value {
            DeValue::Array(items) => Ok(items
                .iter()
                .map(|item| Entry::new(self.source, self.key.clone(), item))
                .collect()),
            _ => Err(self.wrong_type("a list")),
        }
    }

    fn table(&self) -> Result<Table<'a>, SpecError> {
        match self.value {
            DeValue::Table(map) => Ok(Table::new(self.source, format!("{}.", self.key), map)),
            _ => Err(self.wrong_type("a table")),
        }
    }

    /// The entries of a table whose keys are free, in the file's order.
    fn entries(&self) -> Result<Vec<(String, Entry<'a>)>, SpecError> {
        let table = self.table()?;
        let mut all: Vec<_> = table
            .map
            .iter()
            .map(|(name, value)| {
                let name = name.get_ref().to_string();
                let key = format!("{}{name}", table.prefix);
                (name, Entry::new(self.source, key, value))
            })
            .collect();
        all.sort_by_key(|(_, entry)| entry.offset);
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        load(text, Path::new("ampoule.toml"))
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn the_pages_example_is_read() {
        let page = include_str!("../../docs/ampoule.toml.md");
        let example = page.split("```toml\n").nth(1).unwrap();
        let example = example.split("```").next().unwrap();
        let settings = load(example, Path::new("deploy/ampoule.toml")).unwrap();
        assert_eq!(
            settings.app.as_deref(),
            Some(Path::new("deploy/build/caddy"))
        );
        assert_eq!(settings.grace, Some(20));
        assert_eq!(
            settings.files.get("/srv").map(PathBuf::as_path),
            Some(Path::new("deploy/site"))
        );
        settings.resolve().unwrap();
    }

    #[test]
    fn the_page_names_every_key() {
        let page = include_str!("../../docs/ampoule.toml.md");
        let source = Source {
            text: "",
            path: Path::new(""),
        };
        let empty = DeTable::new();
        let mut table = Table::new(&source, String::new(), &empty);
        read(&mut table, Path::new("")).unwrap();
        for key in table.asked {
            assert!(
                page.contains(&format!("| `{key}")),
                "{key} is not in the page"
            );
        }
    }

    #[test]
    fn an_unknown_key_is_told_with_its_line_and_the_nearest() {
        assert_eq!(
            error("name = \"a\"\nprots = [80]\n"),
            "ampoule.toml:2: there is no key `prots`; did you mean `ports`?"
        );
        assert_eq!(
            error("[stop]\ngrase = \"1s\"\n"),
            "ampoule.toml:2: there is no key `stop.grase`; did you mean `stop.grace`?"
        );
        assert_eq!(
            error("on_exit = \"reboot\""),
            "ampoule.toml:1: there is no key `on_exit`; did you mean `on-exit`?"
        );
        assert_eq!(error("zzz = 1"), "ampoule.toml:1: there is no key `zzz`");
    }

    #[test]
    fn a_wrong_type_is_told_with_its_key() {
        for (text, told) in [
            ("name = 1", "name: must be a string, not an integer"),
            ("ports = 80", "ports: must be a list, not an integer"),
            (
                "ports = [\"80\"]",
                "ports: must be an integer, not a string",
            ),
            ("ports = [0x1ffff]", "ports: 131071 is no port: 1 to 65535"),
            ("env = [1]", "env: must be a table, not a list"),
            ("env.A = 1", "env.A: must be a string, not an integer"),
            (
                "allow-shell = \"yes\"",
                "allow-shell: must be true or false, not a string",
            ),
            (
                "user = 1.5",
                "user: must be a number or \"UID:GID\", not a fraction",
            ),
            (
                "network = 1979-05-27",
                "network: must be \"dhcp\", \"none\" or a table with `address`, not a date",
            ),
        ] {
            assert_eq!(error(text), format!("ampoule.toml:1: {told}"));
        }
    }

    #[test]
    fn a_policy_is_a_name_or_a_list_of_calls() {
        let policy = |text: &str| load(text, Path::new("ampoule.toml")).unwrap().seccomp;
        assert_eq!(policy("seccomp = 'derived'"), Some(Seccomp::Derived));
        let calls = ["read", "openat"].map(str::to_owned).into();
        let learned = policy("[seccomp]\ncalls = [\n  'read', # comment\n  'openat',\n]");
        assert_eq!(learned, Some(Seccomp::Calls(calls)));
        for (text, told) in [
            (
                "seccomp = 'none'",
                "seccomp: `none` is none of \"derived\", \"default\" and \"off\"",
            ),
            (
                "seccomp.calls = ['opnat']",
                "seccomp.calls: `opnat` is no system call of Linux",
            ),
            (
                "seccomp = {}",
                "seccomp: a table needs the `calls`; `ampoule learn` finds them",
            ),
            (
                "seccomp = false",
                "seccomp: must be the name of a policy or a table with `calls`, not a boolean",
            ),
        ] {
            assert_eq!(error(text), format!("ampoule.toml:1: {told}"));
        }
    }

    #[test]
    fn what_is_no_toml_is_one_line() {
        for text in ["a = ", "a = 1\na = 2", "[", "= 3", "a = \"\n\""] {
            let told = error(text);
            assert!(told.starts_with("ampoule.toml:"), "{told}");
            assert!(!told.contains('\n'), "{told}");
        }
    }

    #[test]
    fn the_forms_of_user_and_network() {
        let load = |text| load(text, Path::new("ampoule.toml"));
        assert_eq!(
            load("user = 7").unwrap().user,
            Some(value::user("7").unwrap())
        );
        assert_eq!(load("user = \"7:8\"").unwrap().user.unwrap().gid, 8);
        assert_eq!(
            load("network = \"none\"").unwrap().network,
            Some(Network::None)
        );
        assert!(matches!(
            load("network.address = \"10.0.0.2/8\"").unwrap().network,
            Some(Network::Static { gateway: None, .. })
        ));
        assert!(load("network = {}").is_err());
    }

    #[test]
    fn one_guest_path_in_two_spellings_is_refused() {
        assert!(error("[files]\n\"/srv\" = \"a\"\n\"/srv/\" = \"b\"").contains("twice"));
    }
}
