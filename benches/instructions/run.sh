#!/usr/bin/env bash
# Counts instructions a message, which are the same on a busy machine: benches/instructions/run.sh [--check | --peers | WHAT..]
# --check compares with counts.md, and fails if a message has become dearer by more than a twentieth.
# --peers builds other libraries, and prints the table of peers.md.
set -euo pipefail
cd "$(dirname "$0")"
command -v valgrind >/dev/null || { echo "valgrind is missing: apt-get install valgrind" >&2; exit 2; }
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-../../target/benches}
features=
[ "${1:-}" != --peers ] || features="--features peers"
# shellcheck disable=SC2086
cargo build --quiet --release $features
program=$CARGO_TARGET_DIR/release/instructions

total() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$program" "$@" 2>&1 | sed -n 's/.*Collected : *//p'
}

# What each of many costs beyond a few, so that the start does not count: each WHAT [LIBRARY].
each() {
    echo $((($(total "$1" 7000 "${@:2}") - $(total "$1" 2000 "${@:2}")) / 5000))
}

if [ "${1:-}" = --peers ]; then
    peers=(fastwebsockets soketto tokio-websockets tungstenite wtx)
    echo "| | ours$(printf ' | %s' "${peers[@]}") |"
    echo "|---|---|$(printf -- '---|%.0s' "${peers[@]}")"
    for what in "receive 16 B" "send 20 B, server" "pong answered, one a read"; do
        printf '| %s | %s |' "$what" "$(each "$what")"
        for peer in "${peers[@]}"; do printf ' %s |' "$(each "$what" "$peer")"; done
        echo
    done
    exit
fi

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
