#!/bin/sh
# Checks the dependencies against deny.toml: versions with known faults, licences, where they come from. tests/deny.sh
#
# Needs cargo-deny: cargo install --locked cargo-deny (some minutes). It is not installed from here. What is missing is said aloud;
# with CI=true it is a failure. (The versions are also checked by `cargo test --test architecture`, which needs nothing.)
set -eu
cd "$(dirname "$0")/.."

if ! cargo deny --version >/dev/null 2>&1; then
    echo "=====================================================================" >&2
    echo "DEPENDENCIES NOT CHECKED: cargo-deny is not installed" >&2
    echo "(cargo install --locked cargo-deny)" >&2
    echo "=====================================================================" >&2
    [ "${CI:-}" = true ] && exit 1
    exit 0
fi
# Advisories are not checked here, as their database would have to be fetched: deny.toml has the floors.
cargo deny --all-features check bans licenses sources
