#!/usr/bin/env bash
# Lets the Autobahn|Testsuite examine the library, as server and as client. autobahn/README.md tells more.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat <<'USAGE'
usage: autobahn/run.sh [server|client|all] [--quick | --cases LIST] [--one-byte] [--engine docker|python]

  server, client, all   which side of ours is examined (default all)
  --quick               without the 84 longest cases of sections 12 and 13: a minute a side instead of eleven
  --cases LIST          ids and patterns with commas between: 7.3.1,6.4.*; with a minus before it, a pattern takes cases away
  --one-byte            over a stream that gives and takes one byte at a time; the cases are those for which that is no
                        matter of minutes, unless --cases says otherwise
  --engine ENGINE       where the suite comes from: its docker image, or its package for Python 2.7 (default: docker if
                        its engine answers)

Reports: autobahn/reports/server/index.html and autobahn/reports/client/index.html.
Exit codes: 0 all is as it should be; 1 it is not; 2 bad usage; 3 the suite is not to be had.
USAGE
}

suite=25.10.1
image=crossbario/autobahn-testsuite:$suite
# The last that runs on Python 2.7.
virtualenv=20.15.1

quick=('*' '-1[23].*.9' '-1[23].*.10' '-1[23].*.1[4-8]')
one_byte_cases=('*' '-9.*' '-1[23].*' '12.*.1' '13.*.1' '12.1.4')

roles=() cases=() engine='' suffix='' flags=()
# Seconds for one process of the suite.
limit=1800
while [ $# -gt 0 ]; do
    case $1 in
        server | client) roles+=("$1") ;;
        all) roles+=(server client) ;;
        --quick) cases=("${quick[@]}") ;;
        --cases) IFS=, read -r -a cases <<<"${2:-}" && shift ;;
        --one-byte) suffix=-one-byte flags+=(--one-byte) ;;
        --engine) engine=${2:-} && shift ;;
        --help | -h) usage && exit ;;
        *) usage >&2 && exit 2 ;;
    esac
    shift
done
[ ${#roles[@]} -gt 0 ] || roles=(server client)
if [ ${#cases[@]} -eq 0 ] && [ -n "$suffix" ]; then cases=("${one_byte_cases[@]}"); fi

mkdir -p "${CARGO_TARGET_DIR:-target}"
target=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)
tool=$target/autobahn-$suite-$(cksum <autobahn/requirements.txt | cut -d ' ' -f 1)
reports=$PWD/autobahn/reports

not_run() {
    printf '%s\n' "AUTOBAHN NOT RUN: $1" >&2
    exit 3
}

# The wrappers of pyenv stand on PATH also when they lead nowhere, so each candidate is run.
python27() {
    local candidate root=${PYENV_ROOT:-$HOME/.pyenv}
    command -v pyenv >/dev/null && root=$(pyenv root)
    for candidate in "${PYTHON27:-}" python2.7 "$root"/versions/2.7*/bin/python2.7 python2; do
        if [ -n "$candidate" ] && "$candidate" -c 'import sys,ssl,zlib; sys.exit(sys.version_info[:2]!=(2,7))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
}

choose_engine() {
    if [ -z "$engine" ]; then
        engine=python
        if timeout 20 docker info >/dev/null 2>&1; then engine=docker; fi
    fi
    case $engine in
        docker) command -v python3 >/dev/null || not_run "its reports are read by Python 3, which is not there" ;;
        python)
            if [ ! -x "$tool/v/bin/wstest" ] && [ -z "$(python27)" ]; then
                not_run "no docker engine answers (try: docker info), and there is no CPython 2.7 with ssl and zlib,
  neither as PYTHON27=path, nor as python2.7 on PATH, nor among the versions of pyenv (pyenv install 2.7.18)"
            fi
            ;;
        *) usage >&2 && exit 2 ;;
    esac
}

# Fetches the suite, if that is still to be done.
fetch() {
    if [ "$engine" = docker ]; then
        docker image inspect "$image" >/dev/null 2>&1 || docker pull --quiet "$image" >/dev/null
        return
    fi
    if "$tool/v/bin/wstest" -a >/dev/null 2>&1; then return; fi
    local python
    python=$(python27)
    # It cannot be moved once it is built.
    rm -rf "$tool"
    "$python" -m pip install -q --disable-pip-version-check --target "$tool/virtualenv" "virtualenv==$virtualenv" &&
        PYTHONPATH="$tool/virtualenv" "$python" -m virtualenv -q --no-download "$tool/v" &&
        "$tool/v/bin/pip" install -q --disable-pip-version-check -r autobahn/requirements.txt
}

# The name of the container that works in FOLDER.
container() {
    echo "autobahn-$$-$(basename "$(dirname "$1")")-$(basename "$1")"
}

# wstest in FOLDER, in place of the shell that calls it, so that its process is the one that is stopped: wstest FOLDER ARGUMENT..
wstest() {
    local folder=$1
    shift
    if [ "$engine" = docker ]; then
        exec timeout -k 10 "$limit" docker run --rm --name "$(container "$folder")" --network host --user "$(id -u):$(id -g)" \
            --volume "$folder:/reports" --workdir /reports "$image" wstest "$@"
    fi
    cd "$folder"
    exec timeout -k 10 "$limit" "$tool/v/bin/wstest" "$@"
}

# One process of the suite, and one of ours, for the cases that are in FOLDER/cases: part ROLE FOLDER FLAG..
part() {
    local folder=$2
    started=()
    trap end_part EXIT
    trap 'exit 143' TERM
    if ! "as_$1" "$folder" "${@:3}"; then
        echo "$(basename "$folder"): the suite did not come to its end:" >&2
        tail -n 5 "$folder"/*.log >&2
        return 1
    fi
}

end_part() {
    if [ ${#started[@]} -gt 0 ]; then kill "${started[@]}" 2>/dev/null || true; fi
    if [ "$engine" = docker ]; then docker rm --force "$(container "$folder")" >/dev/null 2>&1 || true; fi
    wait
}

as_server() {
    local folder=$1 port=
    "$target/release/examples/autobahn_server" 127.0.0.1:0 "${@:2}" >"$folder/testee.log" 2>&1 &
    started+=($!)
    for _ in $(seq 100); do
        port=$(sed -n 's/^listening on ws:.*://p' "$folder/testee.log")
        [ -z "$port" ] || break
        sleep 0.1
    done
    [ -n "$port" ] || return 1
    # shellcheck disable=SC2046
    "$python" autobahn/suite.py spec server "$port" $(cat "$folder/cases") >"$folder/spec.json"
    wstest "$folder" -m fuzzingclient -s spec.json >"$folder/wstest.log" 2>&1 &
    started+=($!)
    wait $!
}

as_client() {
    local folder=$1 port tester
    for _ in 1 2 3; do
        # Somebody else may take it before wstest does.
        port=$("$python" autobahn/suite.py port)
        # shellcheck disable=SC2046
        "$python" autobahn/suite.py spec client "$port" $(cat "$folder/cases") >"$folder/spec.json"
        # Without `-u 0` it listens on port 8080 too.
        wstest "$folder" -m fuzzingserver -s spec.json -u 0 >"$folder/wstest.log" 2>&1 &
        tester=$!
        started+=("$tester")
        if accepts "$port" "$tester"; then break; fi
    done
    kill -0 "$tester" || return 1
    timeout "$limit" "$target/release/examples/autobahn_client" "127.0.0.1:$port" "${@:2}" >"$folder/testee.log" 2>&1 &
    started+=($!)
    wait $!
}

# Waits until PORT accepts connections; fails if the process PID ends before: accepts PORT PID
accepts() {
    for _ in $(seq 300); do
        kill -0 "$2" 2>/dev/null || return 1
        if (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then return; fi
        sleep 0.2
    done
    return 1
}

choose_engine
python=$(command -v python3 || echo "$tool/v/bin/python")
fetch >"$target/autobahn-fetch.log" 2>&1 &
fetching=$!
trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT
trap 'exit 130' INT TERM
cargo build --quiet --release --features deflate --example autobahn_server --example autobahn_client
wait "$fetching" || {
    tail -n 5 "$target/autobahn-fetch.log" >&2
    not_run "the suite could not be fetched ($engine)"
}
echo "Autobahn|Testsuite $suite, by $engine"

mkdir -p "$reports"
ids=$reports/cases$suffix
"$python" autobahn/suite.py cases ${cases[@]+"${cases[@]}"} >"$ids" || exit 2

# wstest is one thread that is always busy, and slower than we are: so there are two processes of it a side, with section 12 and
# with the rest, which take the same time in a full run; and as many at once as there are processors. (In a quick run the rest takes
# longer, so it comes first.)
# Section 12 is run with what the library does if it is not told otherwise: nobody keeps a window. In section 13, which is about
# parameters, everything may be asked for.
for role in "${roles[@]}"; do rm -rf "$reports/$role$suffix"; done
for number in 1 2; do
    for role in "${roles[@]}"; do
        folder=$reports/$role$suffix/part-$number
        mkdir -p "$folder"
        more=(${flags[@]+"${flags[@]}"})
        if [ $number = 1 ]; then
            grep -v '^12[.]' "$ids" >"$folder/cases" || continue
            more+=(--takeover)
        else
            grep '^12[.]' "$ids" >"$folder/cases" || continue
        fi
        while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do wait -n || true; done
        part "$role" "$folder" ${more[@]+"${more[@]}"} </dev/null &
    done
done
wait

results=()
for role in "${roles[@]}"; do
    "$python" autobahn/suite.py merge "$reports/$role$suffix" "$reports/$role$suffix"/part-*
    results+=("$role=autobahn/reports/$role$suffix")
done
"$python" autobahn/suite.py table "$ids" "${results[@]}"
