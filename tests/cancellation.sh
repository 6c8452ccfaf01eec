#!/bin/sh
# Drops futures at random polls, in random conversations over all models of a transport, and counts them:
# tests/cancellation.sh [--long]. 10^5 and more in less than three minutes; --long: 10^7 and more, in ten. (29 November 2026: 10,360,180,
# and nothing was lost.)
set -eu
cd "$(dirname "$0")/.."

case "${1:-}" in
    "") export RUNS=1000 wanted=100000 ;;
    --long) export RUNS=95000 wanted=10000000 ;;
    *)
        echo "tests/cancellation.sh [--long]" >&2
        exit 2
        ;;
esac
output=$(cargo test --release --all-features --test cancel_receive --test cancel_send -- --nocapture dropped 2>&1) || {
    echo "$output" >&2
    exit 1
}
dropped=$(echo "$output" | sed -n 's/.* \([0-9]*\) futures dropped$/\1/p' | awk '{ sum += $1 } END { print sum + 0 }')
echo "$dropped futures dropped, nothing lost"
[ "$dropped" -ge "$wanted" ] || {
    echo "fewer than $wanted" >&2
    exit 1
}
