//! Where the real programs of `tests/corpus.toml` lie.

use std::path::PathBuf;

/// The program of this name, as `scripts/fetch-corpus` left it.
pub fn program(name: &str) -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache"),
        PathBuf::from,
    );
    let program = cache.join("ampoule/corpus").join(name);
    assert!(
        program.is_file(),
        "{} is missing: run scripts/fetch-corpus",
        program.display()
    );
    program
}
