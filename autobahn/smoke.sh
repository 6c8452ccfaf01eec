#!/usr/bin/env bash
# Runs the Autobahn|Testsuite's cases of the base protocol against examples/echo_server.
# Needs docker, or a CPython 2.7 with pip: PYTHON27=path, python2.7 on PATH, or one of pyenv's versions.
set -eu
cd "$(dirname "$0")/.."
suite=25.10.1
port=${PORT:-9001}
reports=autobahn/reports
mkdir -p "$reports" target
cat >"$reports/fuzzingclient.json" <<JSON
{ "outdir": "$reports/servers", "servers": [{ "agent": "unsync-websocket", "url": "ws://127.0.0.1:$port" }],
  "cases": ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.1.*", "9.2.*", "9.5.*", "9.6.*", "9.7.*", "9.8.*", "10.*"],
  "exclude-cases": [], "exclude-agent-cases": {} }
JSON

# The wrappers of pyenv stand on PATH also when they lead nowhere, so each candidate is run.
find_python27() {
    for candidate in "${PYTHON27:-}" python2.7 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/2.7*/bin/python2.7 python2; do
        if [ -n "$candidate" ] && "$candidate" -c 'import sys,ssl,zlib; sys.exit(sys.version_info[:2]!=(2,7))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
}

wstest() {
    if docker info >/dev/null 2>&1; then
        docker run --rm --network host -v "$PWD:/suite" -w /suite "crossbario/autobahn-testsuite:$suite" wstest "$@"
        return
    fi
    local tool=$PWD/target/autobahn-$suite python
    if [ ! -x "$tool/v/bin/wstest" ]; then
        python=$(find_python27)
        if [ -z "$python" ]; then
            echo "AUTOBAHN NOT RUN: there is neither a docker engine nor a CPython 2.7 (set PYTHON27 to one)" >&2
            return 3
        fi
        rm -rf "$tool"
        "$python" -m pip install -q --disable-pip-version-check --target "$tool/tool" 'virtualenv==20.15.1' 2>/dev/null
        PYTHONPATH="$tool/tool" "$python" -m virtualenv -q --no-download "$tool/v"
        "$tool/v/bin/pip" install -q --disable-pip-version-check "autobahntestsuite==$suite" 2>/dev/null
    fi
    "$tool/v/bin/wstest" "$@"
}

cargo build --quiet --release --example echo_server
"${CARGO_TARGET_DIR:-target}/release/examples/echo_server" "127.0.0.1:$port" --max-message $((32 << 20)) \
    >target/autobahn-server.log 2>&1 &
server=$!
trap 'kill "$server" 2>/dev/null || true' EXIT
for _ in 1 2 3 4 5 6 7 8 9 10; do
    grep -q listening target/autobahn-server.log && break
    sleep 0.2
done
wstest -m fuzzingclient -s "$reports/fuzzingclient.json" >target/autobahn.log 2>&1 || {
    status=$?
    tail -n 5 target/autobahn.log >&2
    [ "$status" = 3 ] && [ "${CI:-}" != true ] && exit 0
    exit 1
}
python3 - "$reports/servers/index.json" <<'PYTHON'
import collections, json, sys
cases = json.load(open(sys.argv[1]))["unsync-websocket"]
informational = {"7.1.6", "7.13.1", "7.13.2"}
bad = {id: (case["behavior"], case["behaviorClose"]) for id, case in cases.items()
       if case["behavior"] != ("INFORMATIONAL" if id in informational else "OK")
       or case["behaviorClose"] not in ("OK", "INFORMATIONAL")}
print(len(cases), "cases:", dict(collections.Counter(case["behavior"] for case in cases.values())))
for id, verdict in sorted(bad.items()):
    print("  ", id, *verdict)
sys.exit(bool(bad) or len(cases) < 280)
PYTHON
