#!/bin/sh
# Shows that the tests can fail: each patch here breaks one rule of the library, and the tests it names must notice.
#
#   tests/mutations/run.sh [NAME..]      all patches, or those whose file name contains one of the words
#
# Works in a copy of the tree, inside the target directory, so that dependencies are not built again. A test passes this examination
# if it passes without the patch and fails with it; a patch that does not apply or does not compile is a failure of the examination.
# one_build.py tells how all of them are in one build.
set -eu
cd "$(dirname "$0")/../.."
mkdir -p "${CARGO_TARGET_DIR:-target}"
CARGO_TARGET_DIR=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)
export CARGO_TARGET_DIR
copy=$CARGO_TARGET_DIR/mutations
rm -rf "$copy"
mkdir -p "$copy"
# What git knows or would know, as it lies here now; younger than all that was built of an earlier copy.
git ls-files -z --cached --others --exclude-standard | tar --null --files-from=- --ignore-failed-read -cf - 2>/dev/null |
    tar -xmf - -C "$copy"
# Of another version, or to cargo it would be the same package: the next `cargo test` out here would find its library in the target
# directory, built of the copy, and never look whether a file has changed since.
sed -i '0,/^version = "[^"]*/s//&+mutations/' "$copy/Cargo.toml" "$copy/tests/alloc/Cargo.toml"
exec python3 tests/mutations/one_build.py "$copy" "$@"
