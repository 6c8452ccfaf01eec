#!/bin/sh
# Builds the battle and puts it into a directory: examples/battle/deploy/install.sh DIRECTORY
# It is what the Dockerfile beside it does, and what the gate runs, to see that what was installed answers.
set -eu
cd "$(dirname "$0")/../../.."
directory=${1:?a directory to install to}
cargo build --release --locked --features deflate --example battle
target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
install -D -m 755 "$target/release/examples/battle" "$directory/battle"
"$directory/battle" --help >/dev/null
echo "installed $directory/battle"
