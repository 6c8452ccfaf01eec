#!/bin/sh
# Installs the battle as its Dockerfile does, starts it, asks whether it is well, and ends it as a service manager would:
# tests/deploy.sh. (No container is built here, and no systemd asked: there may be neither.)
set -eu
cd "$(dirname "$0")/.."
place=$(mktemp -d "${TMPDIR:-/tmp}/battle.XXXXXX")
trap 'kill $battle 2>/dev/null || true; rm -rf "$place"' EXIT
battle=
examples/battle/deploy/install.sh "$place/bin"
"$place/bin/battle" --listen 127.0.0.1:0 --threads 2 --bots 2 --log json --results "$place/best.redb" >"$place/out" 2>"$place/log" &
battle=$!
tries=0
until address=$(sed -n 's|^open http://\([^/]*\)/.*|\1|p' "$place/out") && [ -n "$address" ]; do
    tries=$((tries + 1))
    [ $tries -lt 100 ] || { cat "$place/log" >&2; exit 1; }
    sleep 0.1
done
[ "$(python3 -c 'import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=10).read().decode().strip())' "http://$address/health")" = ok ]
# The first battle is each core's own, so a bot flies there at once.
tries=0
until grep -q '"event":"comes to its seat"' "$place/log"; do
    tries=$((tries + 1))
    [ $tries -lt 100 ] || { cat "$place/log" >&2; exit 1; }
    sleep 0.1
done
kill -TERM "$battle"
wait "$battle"
battle=
# A machine reads the log: every line is an object, and what was there is told with its connection, core and battle.
python3 - "$place/log" <<'PYTHON'
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
assert all({"time", "level", "event"} <= line.keys() for line in lines), lines
for event in ["is handed over", "looks on", "comes to its seat", "is dismissed"]:
    wanted = {"conn", "core"} if event == "is handed over" else {"conn", "core", "battle", "client"}
    assert any(line["event"] == event and wanted <= line.keys() for line in lines), (event, lines)
PYTHON
echo "installed, well, ended on SIGTERM, and its log can be read"
