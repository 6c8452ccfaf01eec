#!/usr/bin/env bash
# Tests run.sh itself: what it lets pass, how it uses docker, and what it says when the suite is not to be had.
#
# Docker is a stand-in on PATH: it records its arguments, takes only those that it knows, and runs the wstest of the Python engine in
# the folder that is mounted. So this needs CPython 2.7, and shows that a container would find what it is told of.
set -euo pipefail
cd "$(dirname "$0")/.."

python3 autobahn/suite_test.py --quiet

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/docker" "$work/nothing"
fail() {
    echo "FAILED: $1" >&2
    sed 's/^/    /' "$work"/log "$work"/calls >&2 || true
    exit 1
}

cat >"$work/docker/docker" <<'DOCKER'
#!/usr/bin/env bash
set -eu
echo "$*" >>"$CALLS"
case $1 in
    info | pull | rm) exit ;;
    image) exit 1 ;; # not fetched yet
    run) shift ;;
    *) exit 125 ;;
esac
folder='' workdir=''
while [ $# -gt 0 ]; do
    case $1 in
        --rm) ;;
        --name | --user) shift ;;
        --network) [ "$2" = host ] && shift || exit 125 ;;
        --volume) folder=${2%:/reports} && shift ;;
        --workdir) workdir=$2 && shift ;;
        -*) exit 125 ;;
        *) break ;;
    esac
    shift
done
[ "$1" = "$IMAGE" ] && [ "$2" = wstest ] && [ "$workdir" = /reports ] || exit 125
shift 2
cd "$folder"
exec "$WSTEST" "$@"
DOCKER
printf '#!/bin/sh\nexit 1\n' >"$work/nothing/docker"
chmod +x "$work"/*/docker
for name in python2.7 python2 pyenv; do cp "$work/nothing/docker" "$work/nothing/$name"; done

# The Python engine must be there for what follows; this is its own test, too.
some=1.1.1,7.1.6,12.1.1,13.5.1
autobahn/run.sh all --engine python --cases "$some" >"$work/log" 2>&1 || fail "by python"
grep -qF '| all | 4 | 3 OK, 1 INFORMATIONAL | 3 OK, 1 INFORMATIONAL |' "$work/log" || fail "by python: the table"

target=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)
WSTEST=$(ls -t "$target"/autobahn-*/v/bin/wstest | head -n 1)
IMAGE=crossbario/autobahn-testsuite:25.10.1
CALLS=$work/calls
export WSTEST IMAGE CALLS
: >"$CALLS"
PATH=$work/docker:$PATH autobahn/run.sh all --cases "$some" >"$work/log" 2>&1 || fail "by docker"
grep -qF 'by docker' "$work/log" || fail "docker was not chosen"
grep -qF '| all | 4 | 3 OK, 1 INFORMATIONAL | 3 OK, 1 INFORMATIONAL |' "$work/log" || fail "by docker: the table"
grep -qxF info "$CALLS" || fail "it must ask whether an engine answers"
grep -qxF "pull --quiet $IMAGE" "$CALLS" || fail "the image must be pulled by its version"
options="--network host --user $(id -u):$(id -g) --volume $PWD/autobahn/reports"
for call in "server/part-[12]:/reports --workdir /reports $IMAGE wstest -m fuzzingclient -s spec.json" \
    "client/part-[12]:/reports --workdir /reports $IMAGE wstest -m fuzzingserver -s spec.json -u 0"; do
    [ "$(grep -cE "^run --rm --name autobahn-[0-9]+-[a-z]+-part-[12] $options/$call\$" "$CALLS")" = 2 ] || fail "$call"
done
[ "$(grep -c '^rm --force autobahn-' "$CALLS")" = 4 ] || fail "no container may be left"

# An engine whose containers do not run.
IMAGE=other PATH=$work/docker:$PATH autobahn/run.sh server --cases 1.1.1 >"$work/log" 2>&1 && fail "containers that fail pass"
grep -qF 'case 1.1.1: it did not run' "$work/log" || fail "containers that fail"

# Neither docker nor Python 2.7.
status=0
PATH=$work/nothing:$PATH PYENV_ROOT=$work PYTHON27='' CARGO_TARGET_DIR=$work/target \
    autobahn/run.sh --quick >"$work/log" 2>&1 || status=$?
[ "$status" = 3 ] || fail "exit code $status when there is no suite"
grep -q 'docker' "$work/log" && grep -q 'CPython 2.7' "$work/log" || fail "the message must name both ways"

status=0
autobahn/run.sh --cases 8.1.1 >"$work/log" 2>&1 || status=$?
[ "$status" = 2 ] || fail "exit code $status for a case that is not there"
echo "autobahn/run.sh: ok"
