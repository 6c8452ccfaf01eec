#!/bin/sh
# Runs a benchmark, and prints its table in Markdown: benches/run.sh [codec|echo|deflate|fanout|idle|claim] [--quick] [--peers] [--only NAME,..] [--rows TEXT,..]
# Without a name: those that the gate runs. Tables and plots stay in the folder of the built programs.
set -eu
cd "$(dirname "$0")"

quick= features= only= rows= what=
while [ $# -gt 0 ]; do
    case $1 in
        --quick) quick=--quick ;;
        --peers) features="$features --features peers" ;;
        --only) only="--only $2"; shift ;;
        --rows) rows=$2; shift ;;
        codec | echo | deflate | fanout | idle) what="$what $1" ;;
        claim) what="$what $1" features="$features --features claim" ;;
        *) sed -n '2,3s/^# //p' "$0"; exit 2 ;;
    esac
    shift
done

# Node's `ws` and Bun take part when they can be had.
node() {
    if command -v npm >/dev/null && [ ! -d "$1/node_modules" ]; then
        # shellcheck disable=SC2086
        npm $2 --prefix "$1" --silent --no-audit --no-fund || rm -rf "$1/node_modules"
    fi
}
case $features in *peers*) node ws 'install --no-package-lock' ;; esac
case $features in *claim*) node claim ci ;; esac
# A socket for each connection.
ulimit -n "$(ulimit -Hn)"
# shellcheck disable=SC2086
cargo build --quiet --release --bins $features
bin=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/release
# The servers run on the first core, the load on the last.
last=$(($(nproc --all) - 1))
for name in ${what:-codec echo}; do
    printf '\n%s\n\n' "## $name"
    case $name in
        codec) set -- "$bin/codec" ;;
        *) set -- "$bin/load" "$name" ;;
    esac
    # shellcheck disable=SC2086
    taskset -c "$last" "$@" $quick $only ${rows:+--rows "$rows"} >"$bin/$name.md" || { cat "$bin/$name.md"; exit 1; }
    cat "$bin/$name.md"
    case $name in
        codec | echo) "$bin/plot" <"$bin/$name.md" >"$bin/$name.svg" && echo "plotted in $bin/$name.svg" >&2 ;;
    esac
done
