#!/usr/bin/env bash
# Fuzzes one target for a while: fuzz/run.sh [target] [seconds]
# With a nightly toolchain under AddressSanitizer, on stable without; overflow checks are on either way.
set -eu
cd "$(dirname "$0")"
target=${1:-recv_stream}
seconds=${2:-60}
if ! cargo fuzz --version >/dev/null 2>&1; then
    echo "cargo-fuzz is missing. Install it with: cargo install --locked cargo-fuzz" >&2
    exit 2
fi
if [ ! -f "fuzz_targets/$target.rs" ]; then
    echo "no target '$target'. There are: $(ls fuzz_targets | sed 's/\.rs$//' | tr '\n' ' ')" >&2
    exit 2
fi
toolchain="" sanitizer=none
if cargo +nightly --version >/dev/null 2>&1; then
    toolchain=+nightly sanitizer=address
else
    echo "no nightly toolchain: fuzzing on stable, without AddressSanitizer" >&2
fi
# New inputs go to a folder that git ignores; the corpus in the repository stays as it is.
mkdir -p "target/found/$target"
# shellcheck disable=SC2086
exec cargo $toolchain fuzz run --fuzz-dir . -s "$sanitizer" "$target" "target/found/$target" "corpus/$target" -- \
    -max_total_time="$seconds" -max_len=4096 -timeout=5 -rss_limit_mb=2048
