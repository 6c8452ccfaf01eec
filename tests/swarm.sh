#!/bin/sh
# A swarm of players on a battle of its own, of which every word must reach every member:
# tests/swarm.sh [PLAYERS [SECONDS [BATTLE'S FLAGS..]]], such as tests/swarm.sh 2000 30 --threads 2
#
# FEATURES=local puts the battle's sockets into a poller of each thread's own.
set -eu
cd "$(dirname "$0")/.."
players=${1:-200} seconds=${2:-8}
[ $# -lt 2 ] || shift
[ $# -lt 1 ] || shift

cargo build --quiet --release --features "${FEATURES:-}" --example battle --example swarm
target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
mkdir -p "$target/swarm"
# A socket for each player.
ulimit -n "$(ulimit -Hn)"
"$target/release/examples/battle" --listen 127.0.0.1:0 --seats 18 "$@" >"$target/swarm/battle.out" 2>"$target/swarm/battle.log" &
battle=$!
trap 'kill $battle 2>/dev/null || true' EXIT
tries=0
until address=$(sed -n 's|^open http://\([^/]*\)/.*|\1|p' "$target/swarm/battle.out") && [ -n "$address" ]; do
    tries=$((tries + 1))
    [ $tries -lt 100 ] || { cat "$target/swarm/battle.log" >&2; exit 1; }
    sleep 0.1
done
status=0
"$target/release/examples/swarm" --address "$address" --players "$players" --seconds "$seconds" --plot "$target/swarm/latency.svg" || status=$?
[ ! -r "/proc/$battle/stat" ] || awk -v hertz="$(getconf CLK_TCK)" '{ printf "the server took %.1f s of CPU time\n", ($14 + $15) / hertz }' "/proc/$battle/stat"
kill "$battle"
wait "$battle" || status=1
exit $status
