//! What a program was made with: language, compiler and C library.

mod go;
mod rust;
mod signs;

use std::collections::BTreeMap;

use serde::Serialize;

use super::binary::Binary;
use super::traces::Traces;

/// Modules or crates that are listed of one program. The largest of the corpus has 600.
const DEPENDENCIES_MAX: usize = 4096;
/// Bytes of a compiler's name that are kept.
const COMPILER_MAX: usize = 128;

/// What a program was made with, as far as it shows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Make {
    /// The language of its runtime: `Go`, `Rust`, `C`, `C++`, `Haskell`, `Java` …
    pub language: Option<String>,
    /// Other languages whose code is linked in.
    pub with: Vec<String>,
    /// The compiler with its version, as it calls itself.
    pub compiler: Option<String>,
    /// The C library linked in.
    pub libc: Option<Libc>,
    /// The main module or package, with its version.
    pub module: Option<Module>,
    /// Modules, crates or packages linked in, where the program shows them: name to
    /// version. Of Rust without cargo-auditable these are those that can panic.
    pub dependencies: BTreeMap<String, String>,
}

/// A C library.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Libc {
    /// `glibc`, `musl`, `klibc` …
    pub name: String,
    /// Its version where it shows.
    pub version: Option<String>,
}

/// The program's own module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Module {
    /// Its path or name.
    pub path: String,
    /// Its version where it shows.
    pub version: Option<String>,
}

/// The strings that [`make`] wants to be searched for.
pub(super) fn texts() -> impl Iterator<Item = &'static [u8]> {
    signs::texts().chain([go::MAGIC, go::VERSION, rust::COMMIT, rust::DEBIAN])
}

/// Tells what `binary` was made with.
pub(super) fn make(binary: &Binary<'_>, traces: &Traces) -> Make {
    let comments = comments(binary);
    let mut make = Make {
        libc: signs::libc(binary, traces),
        ..Make::default()
    };
    let go = go::read(binary, traces);
    let rust = rust::read(binary, traces);
    let told = signs::language(traces);
    let beside = |make: &mut Make| {
        if signs::has_cxx(traces) {
            make.with.push("C++".to_owned());
        } else if make.libc.is_some() {
            make.with.push("C".to_owned());
        }
    };
    if let Some(go) = go {
        make.language = Some("Go".to_owned());
        make.compiler = go.version;
        make.module = go.module;
        make.dependencies = go.modules;
        beside(&mut make);
        return make;
    }
    let first = |starts: &[&str]| {
        let mut all = starts.iter().map(|start| {
            let says = |comment: &&String| comment.starts_with(start);
            comments.iter().find(says).cloned()
        });
        all.find_map(|found| found)
    };
    let language = match (told, rust) {
        (Some(runtime), _) if runtime != "C++" => runtime,
        (_, Some(rust)) => {
            let commented = first(&["rustc version "]);
            make.compiler = commented
                .map(|comment| comment.replacen("rustc version ", "rustc ", 1))
                .or(rust.compiler);
            make.module = rust.package;
            make.dependencies = rust.crates;
            // C's library comes with each program of Rust
            make.with
                .extend(signs::has_cxx(traces).then(|| "C++".to_owned()));
            make.language = Some("Rust".to_owned());
            return make;
        }
        (Some(cxx), None) => cxx,
        (None, None) if signs::zig(binary).is_some() => "Zig",
        (None, None) if make.libc.is_some() || !comments.is_empty() => "C",
        (None, None) => return make,
    };
    make.language = Some(language.to_owned());
    make.compiler = match language {
        "Haskell" => first(&["GHC "]),
        "Java" => graal(binary, traces),
        "Zig" => signs::zig(binary),
        _ => first(&["clang version ", "Ubuntu clang", "Debian clang", "GCC: "]),
    };
    make
}

/// What GraalVM calls itself, up to the end of the string.
fn graal(binary: &Binary<'_>, traces: &Traces) -> Option<String> {
    let at = usize::try_from(traces.first(signs::GRAAL)?).ok()? + signs::GRAAL.len();
    let text = binary.bytes.get(at..)?;
    let end = text.iter().take(COMPILER_MAX).position(|byte| *byte == 0)?;
    std::str::from_utf8(&text[..end]).ok().map(str::to_owned)
}

/// What compilers and linkers wrote into `.comment`.
fn comments(binary: &Binary<'_>) -> Vec<String> {
    let Some(section) = binary.section(".comment") else {
        return Vec::new();
    };
    let texts = binary.content(section).split(|byte| *byte == 0);
    let texts = texts.filter(|text| !text.is_empty() && text.len() <= COMPILER_MAX);
    let printable = texts.filter(|text| text.iter().all(|byte| matches!(byte, b' '..=b'~')));
    printable
        .take(64)
        .map(|text| String::from_utf8_lossy(text).into_owned())
        .collect()
}
