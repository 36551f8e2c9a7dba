# shellcheck shell=bash
# What the scripts share. Sourced, not run.

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CACHE=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/ampoule
# The oldest Rust that compiles this workspace (`rust-version` in Cargo.toml).
MSRV=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' "$ROOT/Cargo.toml" | head -n 1)

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() {
  say "error: $*"
  exit 1
}

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "'$1' needs root: run this as root, or install sudo"
  fi
}

CODENAME=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)

# sources: what the system's own apt draws from, whichever way it is written down: ADDRESS SUITE COMPONENT in lines.
sources() {
  # shellcheck disable=SC2016 # apt's own placeholders
  apt-get indextargets --format '$(CREATED_BY) $(REPO_URI) $(RELEASE) $(COMPONENT)' |
    sed -n 's/^Packages //p' | sort -u
}

# archive: the address of this release of Debian itself, which its backports share.
archive() { sources | awk -v release="$CODENAME" '$2 == release && $3 == "main" && !found { print $1; found = 1 }'; }

# at_least VERSION MINIMUM: compares dotted numbers.
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

# rust_version DIR: the version of the rustc in DIR, if cargo and rustc there work and are recent enough.
rust_version() {
  local version
  [ -x "$1/cargo" ] && [ -x "$1/rustc" ] || return 1
  version=$(PATH="$1:$PATH" "$1/rustc" --version 2>/dev/null | cut -d' ' -f2) || return 1
  [ -n "$version" ] && at_least "${version%%-*}" "$MSRV" || return 1
  PATH="$1:$PATH" "$1/cargo" --version >/dev/null 2>&1 || return 1
  printf '%s\n' "$version"
}

# find_rust: the folder of the first cargo and rustc that are recent enough, whoever installed them.
find_rust() {
  local dir
  while read -r dir; do
    [ -n "$dir" ] && rust_version "$dir" >/dev/null && printf '%s\n' "$dir" && return 0
  done < <(
    tr ':' '\n' <<<"$PATH"
    printf '%s\n' "${CARGO_HOME:-${HOME:-/root}/.cargo}/bin" /usr/bin "$CACHE/rust/bin"
  )
  return 1
}

# use_rust: puts that folder first on PATH.
use_rust() {
  local dir
  dir=$(find_rust) || die "no Rust of $MSRV or newer: run scripts/setup"
  PATH=$dir:$PATH
  export PATH
}

# seconds_since START: wall time since an earlier $EPOCHREALTIME, with one decimal.
seconds_since() {
  local micros=$((${EPOCHREALTIME/[.,]/} - ${1/[.,]/}))
  printf '%d.%d' $((micros / 1000000)) $((micros / 100000 % 10))
}
