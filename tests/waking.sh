#!/bin/sh
# Looks for wake-ups that are lost, in random conversations over all six models of a transport, and counts the runs:
# tests/waking.sh [--long]. 10^5 and more in some seconds; --long: 10^6 in each model (goal G4), in ten minutes or so.
set -eu
cd "$(dirname "$0")/.."

case "${1:-}" in
    "") export RUNS=20000 ;;
    --long) export RUNS=1000000 ;;
    *)
        echo "tests/waking.sh [--long]" >&2
        exit 2
        ;;
esac
test=two_halves_never_lose_a_wake_up
output=$(cargo test --release --all-features --test waking -- --exact --nocapture $test 2>&1) || {
    echo "$output" >&2
    exit 1
}
counts=$(echo "$output" | sed -n "s/^.*$test: \([0-9]*\) runs, .*/\1/p")
runs=$(echo "$counts" | awk '{ sum += $1 } END { print sum + 0 }')
echo "$runs runs in $(echo "$counts" | wc -l) models, no wake-up lost"
[ "$runs" -ge $((6 * RUNS)) ] || {
    echo "fewer than $RUNS in each of six models" >&2
    exit 1
}
