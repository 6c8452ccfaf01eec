#!/bin/sh
# Installs the battle as its Dockerfile does, starts it, asks whether it is well, and ends it as a service manager would:
# tests/deploy.sh. (No container is built here, and no systemd asked: there may be neither.)
set -eu
cd "$(dirname "$0")/.."
place=$(mktemp -d "${TMPDIR:-/tmp}/battle.XXXXXX")
trap 'kill $battle 2>/dev/null || true; rm -rf "$place"' EXIT
battle=
examples/battle/deploy/install.sh "$place/bin"
"$place/bin/battle" --listen 127.0.0.1:0 --threads 2 --bots 2 --results "$place/best.redb" >"$place/out" 2>"$place/log" &
battle=$!
tries=0
until address=$(sed -n 's|^open http://\([^/]*\)/.*|\1|p' "$place/out") && [ -n "$address" ]; do
    tries=$((tries + 1))
    [ $tries -lt 100 ] || { cat "$place/log" >&2; exit 1; }
    sleep 0.1
done
[ "$(python3 -c 'import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=10).read().decode().strip())' "http://$address/health")" = ok ]
kill -TERM "$battle"
wait "$battle"
battle=
echo "installed, well, and ended on SIGTERM"
