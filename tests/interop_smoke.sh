#!/bin/sh
# Other people's clients talk to `echo_server`: Node's `ws` and Python's `websockets`.
#
#     tests/interop_smoke.sh
#
# What is not installed is fetched by package name into the target directory; what cannot be had is skipped, loudly,
# and with CI=true that is a failure.
set -eu
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target/interop"
target=$(cd "$target" && pwd)
work=$target/interop
skipped=0

skip() {
    echo "!!!! SKIPPED: $1: $2 !!!!" >&2
    skipped=1
}

cargo build --quiet --release --example echo_server --example client
server=$target/release/examples/echo_server

: >"$work/address"
"$server" 127.0.0.1:0 --max-message $((8 << 20)) >"$work/address" 2>"$work/server.log" &
pid=$!
trap 'kill "$pid" 2>/dev/null || true' EXIT
url=
for _ in 1 2 3 4 5 6 7 8 9 10; do
    url=$(sed -n 's/^listening on //p' "$work/address")
    [ -n "$url" ] && break
    sleep 0.2
done
[ -n "$url" ] || { echo "echo_server does not tell where it listens" >&2; exit 1; }

node_client() {
    command -v node >/dev/null && command -v npm >/dev/null || { skip ws "no node and npm"; return 0; }
    if [ ! -d "$work/node/node_modules/ws" ]; then
        mkdir -p "$work/node"
        npm install --silent --no-audit --no-fund --prefix "$work/node" ws@8 || { skip ws "npm install failed"; return 0; }
    fi
    WS_FROM=$work/node node tests/interop/client.mjs "$url" || return 1
}

python_client() {
    command -v python3 >/dev/null || { skip websockets "no python3"; return 0; }
    if [ ! -x "$work/python/bin/python" ]; then
        python3 -m venv "$work/python" || { skip websockets "no venv module"; return 0; }
    fi
    if ! "$work/python/bin/python" -c 'import websockets.asyncio' 2>/dev/null; then
        "$work/python/bin/python" -m pip install --quiet --disable-pip-version-check 'websockets>=15' ||
            { skip websockets "pip install failed"; return 0; }
    fi
    "$work/python/bin/python" tests/interop/client.py "$url" || return 1
}

status=0
# Our own client first: what it finds is ours for certain.
"$target/release/examples/client" --check "$url" || status=1
node_client || status=1
python_client || status=1
kill -0 "$pid" 2>/dev/null || { echo "echo_server has died:" >&2; cat "$work/server.log" >&2; status=1; }
if [ "$skipped" = 1 ] && [ "${CI:-}" = true ]; then
    echo "with CI=true nothing may be skipped" >&2
    status=1
fi
exit "$status"
