#!/usr/bin/env bash
# Counts instructions a message, which are the same on a busy machine: benches/instructions/run.sh [--check | WHAT..]
# --check compares with counts.md, and fails if a message has become dearer by more than a twentieth.
set -euo pipefail
cd "$(dirname "$0")"
command -v valgrind >/dev/null || { echo "valgrind is missing: apt-get install valgrind" >&2; exit 2; }
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-../../target/benches}
cargo build --quiet --release
program=$CARGO_TARGET_DIR/release/instructions

total() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$program" "$1" "$2" 2>&1 | sed -n 's/.*Collected : *//p'
}

# What each of many costs beyond a few, so that the start does not count.
each() {
    echo $((($(total "$1" 7000) - $(total "$1" 2000)) / 5000))
}

if [ "${1:-}" != --check ]; then
    if [ $# -eq 0 ]; then
        mapfile -t all < <(sed -n 's/^| \([a-z][^|]*[^ |]\) *| *[0-9].*/\1/p' counts.md)
        set -- "${all[@]}"
    fi
    for what in "$@"; do echo "| $what | $(each "$what") |"; done
    exit
fi
if ! grep -qF "$(rustc --version | cut -d' ' -f2)" counts.md; then
    echo "counts.md is of another rustc than $(rustc --version): nothing to compare with" >&2
    exit 0
fi
dearer=0
while IFS='|' read -r _ what most _; do
    what=$(echo "$what" | sed 's/^ *//; s/ *$//') most=$((most)) now=$(each "$what")
    echo "$what: $now, was $most"
    if [ $((now * 20)) -gt $((most * 21)) ]; then
        echo "^ dearer by more than a twentieth" >&2
        dearer=1
    fi
done < <(grep -E '^\| [a-z].*\| *[0-9]+ *\|' counts.md)
exit $dearer
