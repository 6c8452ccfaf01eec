#!/bin/sh
# Which lines of `src/` do the tests run? tests/coverage.sh
#
# Needs cargo-tarpaulin: cargo install --locked cargo-tarpaulin. Prints the lines that no test runs, and the share of those that
# one does; the figure, and what is left, is in tests/COVERAGE.md.
set -eu
cd "$(dirname "$0")/.."

if ! cargo tarpaulin --version >/dev/null 2>&1; then
    echo "cargo-tarpaulin is missing: cargo install --locked cargo-tarpaulin" >&2
    exit 2
fi
# `limits` and `fairness` measure heap and time, which counting changes.
cargo tarpaulin --engine llvm --all-features --include-files 'src/*' --skip-clean --timeout 900 --out Stdout --out Json --output-dir target/coverage \
    --target-dir target/coverage --lib --test client --test handshake --test rules --test rfc --test errors --test deflate \
    --test closing --test bad_input --test regressions --test review --test reentry --test alive --test sockets --test cancel_send --test shown --test polled --test moved --test local --test hub \
    -- --skip _tcp::closing_always_ends --skip both_ends_send_64_mib --skip dropped_at_random
