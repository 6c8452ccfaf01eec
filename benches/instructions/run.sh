#!/usr/bin/env bash
# Counts instructions, which are the same on a busy machine: benches/instructions/run.sh [WHAT..]
set -euo pipefail
cd "$(dirname "$0")"
command -v valgrind >/dev/null || { echo "valgrind is missing: apt-get install valgrind" >&2; exit 2; }
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-../../target/benches}
cargo build --quiet --release
program=$CARGO_TARGET_DIR/release/instructions
total() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$program" "$1" "$2" 2>&1 | sed -n 's/.*Collected : *//p'
}
if [ $# -eq 0 ]; then
    set -- "receive 16 B" "receive 16 B text" "receive 16 B, one a read" "receive 1 KiB" "receive 16 KiB" "send 20 B, server" \
        "send 20 B, client" "echo 20 B" "echo 20 B, 16 a read, corked" "pong answered" "pong answered, one a read"
fi
for what in "$@"; do
    few=$(total "$what" 10000)
    many=$(total "$what" 30000)
    printf '| %s | %s |\n' "$what" $(((many - few) / 20000))
done
