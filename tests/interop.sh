#!/bin/sh
# Other people's WebSockets: as clients of `echo_server`, and as servers for `client --check`.
#
#     tests/interop.sh
#
# Needs Node.js, Python, a Java development kit, Chromium and OpenSSL. Packages are fetched by the versions that stand in
# tests/interop. What is not installed is skipped, loudly; with CI=true that is a failure. At the end there is a table.
set -eu
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target/interop"
work=$(cd "$target/interop" && pwd)
table=$work/table
printf '| peer | version | it is the | |\n|---|---|---|---|\n' >"$table"
status=0
skipped=0
started=

skip() {
    echo "!!!! SKIPPED: $1: $2 !!!!" >&2
    echo "| $1 | | | skipped: $2 |" >>"$table"
    skipped=1
}

have() {
    command -v "$1" >/dev/null
}

end() {
    for pid in $started; do kill "$pid" 2>/dev/null || true; done
}
trap end EXIT

# Starts a server that prints what it listens on, and sets `url` and `pid`: start NAME COMMAND..
start() {
    name=$1
    shift
    : >"$work/$name.out"
    "$@" >"$work/$name.out" 2>"$work/$name.err" &
    pid=$!
    started="$started $pid"
    url=
    for _ in $(seq 100); do
        url=$(sed -n 's/^listening on //p' "$work/$name.out")
        [ -z "$url" ] || return 0
        sleep 0.1
    done
    echo "$name does not tell where it listens:" >&2
    cat "$work/$name.out" "$work/$name.err" >&2
    return 1
}

# Runs a client of `echo_server`, whose last line is `== NAME | VERSION | CHECKS`: client NAME COMMAND..
client() {
    name=$1
    shift
    if "$@" >"$work/client.out" 2>&1; then
        sed -n 's/^== \(.*\) | \(.*\) | \(.*\)$/| \1 | \2 | client | \3 checks |/p' "$work/client.out" >>"$table"
        grep -v '^== ' "$work/client.out"
    else
        cat "$work/client.out" >&2
        echo "| $name | | client | FAILED |" >>"$table"
        status=1
    fi
}

# Runs `client --check` on a server, whose first line is `== NAME | VERSION`: server NAME COMMAND..
server() {
    : >"$work/check.out"
    # shellcheck disable=SC2086
    if start "$@" && "$ours" --check ${authority:+--authority "$authority"} "$url" >"$work/check.out" 2>&1; then
        checks=$(grep -c '^ok' "$work/check.out")
        sed -n "s/^== \(.*\) | \(.*\)$/| \1 | \2 | server | $checks checks |/p" "$work/$1.out" >>"$table"
        sed "s/^/$1: /" "$work/check.out"
    else
        cat "$work/check.out" "$work/$1.err" >&2
        echo "| $1 | | server | FAILED |" >>"$table"
        status=1
    fi
}

# What `client` shows and how it ends, if nothing is typed: expect CODE TEXT COMMAND..
expect() {
    code=$1
    text=$2
    shift 2
    got=0
    "$@" >"$work/client.out" 2>&1 || got=$?
    if [ "$got" != "$code" ] || ! grep -qF "$text" "$work/client.out"; then
        echo "exit code $code and \"$text\" were expected of $*, and came $got:" >&2
        cat "$work/client.out" >&2
        status=1
    else
        echo "client: $text: ok"
    fi
}

cargo build --quiet --release --features deflate,rustls --example echo_server --example client
echo_server=$target/release/examples/echo_server
ours=$target/release/examples/client

has_node=
if have node && have npm; then
    fetched=tests/interop/node_modules/.package-lock.json
    if [ "$fetched" -nt tests/interop/package-lock.json ] ||
        (cd tests/interop && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error); then
        has_node=yes
    fi
fi
python=$work/python/bin/python
has_python=
if have python3 && { [ -x "$python" ] || python3 -m venv "$work/python"; } &&
    "$python" -m pip install --quiet --disable-pip-version-check -r tests/interop/requirements.txt; then
    has_python=yes
fi

start echo_server "$echo_server" 127.0.0.1:0 --max-message $((8 << 20))
echo_pid=$pid
echo_url=$url/

# Our own client first: what it finds is ours for certain.
if "$ours" --check "$echo_url" >"$work/check.out" 2>&1; then
    echo "| our \`client --check\` | | client | $(grep -c '^ok' "$work/check.out") checks |" >>"$table"
else
    cat "$work/check.out" >&2
    echo '| our `client --check` | | client | FAILED |' >>"$table"
    status=1
fi
if [ -n "$has_node" ]; then
    client ws node tests/interop/client.mjs "$echo_url"
    client undici node tests/interop/web_client.mjs undici "$echo_url"
    if node --experimental-websocket -e '' 2>/dev/null; then
        client node node --no-warnings --experimental-websocket tests/interop/web_client.mjs node "$echo_url"
    elif node -e 'process.exit(globalThis.WebSocket ? 0 : 1)'; then
        client node node tests/interop/web_client.mjs node "$echo_url"
    else
        # Debian's may be older than the one that has it; no reason to fail.
        echo "| Node.js, built in | $(node --version) | client | has none |" >>"$table"
    fi
else
    skip "ws, undici, Node.js" "no Node.js, or npm cannot fetch them"
fi

if [ -n "$has_python" ]; then
    client websockets "$python" tests/interop/client.py "$echo_url"
    client aiohttp "$python" tests/interop/aiohttp_client.py "$echo_url"
else
    skip "websockets, aiohttp" "no Python, or pip cannot fetch them"
fi

if have java && have javac; then
    client java.net.http java -Djava.net.useSystemProxies=false tests/interop/Client.java "$echo_url"
else
    skip "java.net.http" "no Java development kit"
fi

chromium=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)}
if [ -n "$chromium" ] && [ -n "$has_node" ] &&
    { [ -d tests/browser/node_modules/playwright-core ] ||
        (cd tests/browser && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error); }; then
    client Chromium node tests/interop/chromium.mjs "$chromium" tests/browser "$echo_url"
else
    skip "Chromium" "no Chromium (set CHROMIUM to its path), or no driver for it"
fi

[ -z "$has_node" ] || server ws node tests/interop/server.mjs
node_url=$url
[ -z "$has_python" ] || server websockets "$python" tests/interop/server.py websockets
[ -z "$has_python" ] || server aiohttp "$python" tests/interop/server.py aiohttp

# Compressed. Python's two keep their contexts, unless asked not to.
[ -z "$has_node" ] || client "ws, compressed" node tests/interop/deflate.mjs "$echo_server" "$ours"
if [ -n "$has_python" ]; then
    for how in --deflate --takeover; do
        start echo_server "$echo_server" 127.0.0.1:0 $how
        client "websockets, aiohttp, $how" "$python" tests/interop/deflate.py "$url/"
        for name in websockets aiohttp; do
            start $name "$python" tests/interop/server.py $name
            if "$ours" --check $how "$url" >"$work/check.out" 2>&1; then
                echo "$name, server, $how: ok"
            else
                cat "$work/check.out" "$work/$name.err" >&2
                status=1
            fi
        done
    done
fi

# Over TLS, with a certificate of an authority that is made for it.
authority=$work/authority.pem
if [ -n "$has_node" ] && have openssl; then
    make="openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    $make -keyout "$work/authority.key" -out "$authority" -subj /CN=authority 2>/dev/null
    $make -CA "$authority" -CAkey "$work/authority.key" -keyout "$work/server.key" -out "$work/server.pem" -subj /CN=server \
        -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=CA:FALSE 2>/dev/null
    server ws_tls node tests/interop/server.mjs "$work/server.pem" "$work/server.key"
    expect 3 "UnknownIssuer" "$ours" "$url"
else
    skip "ws, over TLS" "no Node.js, or no openssl"
fi

# The client's other faces.
printf 'hello\nworld\n' >"$work/typed"
if printf 'hello\nworld' | "$ours" "$echo_url" 2>/dev/null | cmp - "$work/typed"; then
    echo "client: what is typed comes back: ok"
else
    status=1
fi
exec </dev/null
expect 2 "usage:" "$ours" --nonsense
expect 3 "may not be sent" "$ours" --header "X: a$(printf '\r\n')Cookie: b" "$echo_url"
expect 3 "\"a b\" cannot be offered" "$ours" --subprotocol "a b" "$echo_url"
printf '%s\n' "12345678901" >"$work/long"
expect 5 "frame of 11 bytes, 10 are allowed" "$ours" --max-message 10 "$echo_url" <"$work/long"
start choosy "$echo_server" 127.0.0.1:0 --origin http://a.example
expect 0 closed "$ours" --header "Origin: http://a.example" "$url/"
expect 3 "status 403" "$ours" --header "Origin: http://b.example" "$url/"

# With a Ping each second, until Ctrl-C: its Pong is shown, and the connection is closed in order.
mkfifo "$work/keys" 2>/dev/null || true
"$ours" --ping "$echo_url" <"$work/keys" >"$work/ping.out" 2>&1 &
pid=$!
started="$started $pid"
exec 9>"$work/keys"
for _ in $(seq 100); do
    if grep -q '^pong after [0-9.]* ms$' "$work/ping.out"; then break; fi
    sleep 0.1
done
kill -INT "$pid"
got=0
wait "$pid" || got=$?
exec 9>&-
if [ "$got" = 0 ] && grep -q '^pong after' "$work/ping.out" && [ "$(tail -n 1 "$work/ping.out")" = closed ]; then
    echo "client: --ping until Ctrl-C: ok"
else
    echo "client --ping ended with $got:" >&2
    cat "$work/ping.out" >&2
    status=1
fi
expect 3 "TLS" "$ours" "wss://${echo_url#ws://}"
if [ -n "$has_node" ]; then
    expect 0 closed "$ours" "$node_url"
    expect 0 "connected, speaking chat" "$ours" --subprotocol chat --subprotocol other "$node_url"
    expect 0 closed "$ours" --echo "${node_url}drive"
    expect 1 "FAILED text" "$ours" --check "${node_url}bye"
    expect 4 "closed the connection with 4321" "$ours" "${node_url}bye"
    expect 3 "no entry!" "$ours" "${node_url}refuse"
fi

kill -0 "$echo_pid" 2>/dev/null || { echo "echo_server has died:" >&2; cat "$work/echo_server.err" >&2; status=1; }
echo
cat "$table"
if [ "$skipped" = 1 ] && [ "${CI:-}" = true ]; then
    echo "with CI=true nothing may be skipped" >&2
    status=1
fi
exit "$status"
