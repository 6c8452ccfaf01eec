#!/bin/sh
# Runs the benchmarks: benches/run.sh [--quick]
set -eu
cd "$(dirname "$0")"
exec cargo run --quiet --release --bin codec -- "$@"
