//! What a program was made with: language, compiler and C library.

use std::collections::BTreeMap;

use serde::Serialize;

use super::binary::Binary;

/// What a program was made with, as far as it shows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Make {
    /// `Go`, `Rust`, `C`, `C++`, `Zig`, `Haskell`, `Java` …
    pub language: Option<String>,
    /// The compiler with its version, as it calls itself.
    pub compiler: Option<String>,
    /// The C library linked in.
    pub libc: Option<Libc>,
    /// The main module or package, with its version.
    pub module: Option<Module>,
    /// Modules, crates or packages linked in, where the program lists them: name to version.
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

/// Tells what `binary` was made with.
#[must_use]
pub fn make(_binary: &Binary<'_>) -> Make {
    Make::default()
}
