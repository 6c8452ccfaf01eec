#!/bin/bash
# What would the tests not notice? cargo-mutants names the changes of a line of `src/` that there are; each must make a test fail.
# tests/mutants.sh [SLICE..]: ring, close, hub, framing, client, deflate, server; all of them without a name.
#
# Needs cargo-mutants (cargo install --locked cargo-mutants) and Python; with mold it is quicker. All mutants are built at once, and
# each then runs the tests that come by its function, which takes a second or so: how, tests/mutants.py says. The figures, and why those
# that nobody noticed may live, are in tests/MUTANTS.md.
#
# SHARD=0/4 does every fourth mutant; shards add up, as what was found is kept until `src/` or the tests change. WORKERS=2 runs so many
# at once, TESTS="rules errors" builds and asks only these (and those in `src/`), MUTANTS=/dev/shm/mutants works there.
set -eu
cd "$(dirname "$0")/.."

if ! cargo mutants --version >/dev/null 2>&1; then
    echo "cargo-mutants is missing: cargo install --locked cargo-mutants" >&2
    exit 2
fi
root=${MUTANTS:-$PWD/target/mutants}
mkdir -p "$root/plain" "$root/tree"
# Two copies: one to compare with, and one to change. Only what changed, so that cargo does not build the rest again.
git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
    if [ -f "$file" ] && ! cmp -s "$file" "$root/plain/$file"; then
        install -D "$file" "$root/plain/$file"
        install -D "$file" "$root/tree/$file"
    fi
done
(cd "$root/plain" && cargo mutants --list --json --all-features \
    --file src/ring.rs --file 'src/{protocol,handshake}/**' --file 'src/connection/{close,hub}.rs' >"$root/list.json")

# Nothing is optimised: that is built soonest, and nearly all tests are quick as it is.
export CARGO_TARGET_DIR=$root/target CARGO_INCREMENTAL=1 CARGO_PROFILE_TEST_DEBUG=0 CARGO_PROFILE_TEST_OPT_LEVEL=0 CARGO_PROFILE_DEV_DEBUG=0
RUSTFLAGS=--cap-lints=allow
if command -v mold >/dev/null; then RUSTFLAGS="-Clink-arg=-fuse-ld=mold $RUSTFLAGS"; fi
export RUSTFLAGS
exec python3 tests/mutants.py "$root" "${SHARD:-0/1}" "$@"
