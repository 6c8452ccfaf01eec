#!/usr/bin/env bash
# Fuzzes for a while: fuzz/run.sh [target|all] [seconds] [--record]
# With a nightly toolchain under AddressSanitizer, on stable without; overflow checks are on either way. `all` builds once and
# gives each target the seconds. One line a target: executions, edges, result; --record adds it to EXECUTIONS.md. SEED=1 before it
# begins the same way each time, if nothing has been found that lies in target/found.
set -eu
cd "$(dirname "$0")"
record=no
if [ "${!#}" = --record ]; then
    record=yes
    set -- "${@:1:$#-1}"
fi
target=${1:-recv_stream} seconds=${2:-60}
targets=$target
[ "$target" = all ] && targets=$(ls fuzz_targets | sed 's/\.rs$//')
if [ "$target" != all ] && [ ! -f "fuzz_targets/$target.rs" ]; then
    echo "no target '$target'. There are: all $(ls fuzz_targets | sed 's/\.rs$//' | tr '\n' ' ')" >&2
    exit 2
fi
if ! cargo fuzz --version >/dev/null 2>&1; then
    echo "cargo-fuzz is missing. Install it with: cargo install --locked cargo-fuzz" >&2
    exit 2
fi
toolchain="" sanitizer=none
if cargo +nightly --version >/dev/null 2>&1; then
    toolchain=+nightly sanitizer=address
else
    echo "no nightly toolchain: fuzzing on stable, without AddressSanitizer (rustup toolchain install nightly)" >&2
fi
only=$target
[ "$target" = all ] && only=""
# shellcheck disable=SC2086
cargo $toolchain fuzz build --fuzz-dir . -s "$sanitizer" $only

failed=0
for name in $targets; do
    # New inputs go to a folder that git ignores; the corpus in the repository stays as it is.
    mkdir -p "target/found/$name" "artifacts/$name"
    log=target/found/$name.log
    dictionary=""
    [ -f "dictionaries/$name.dict" ] && dictionary="-dict=dictionaries/$name.dict"
    status=0
    # shellcheck disable=SC2086
    cargo $toolchain fuzz run --fuzz-dir . -s "$sanitizer" "$name" "target/found/$name" "corpus/$name" -- $dictionary ${SEED:+-seed=$SEED} \
        -max_total_time="$seconds" -max_len=4096 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 >"$log" 2>&1 || status=$?
    count=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | tail -1)
    # A crash prints no statistics: then the last count that was seen.
    [ -n "$count" ] || count=$(sed -n 's/^#\([0-9]*\).*/\1/p' "$log" | tail -1)
    edges=$(sed -n 's/.* cov: \([0-9]*\).*/\1/p' "$log" | tail -1)
    result=nothing
    if [ "$status" != 0 ]; then
        result="FAILED"
        failed=1
    fi
    echo "$name: ${count:-0} executions, ${edges:-0} edges, $result"
    [ "$status" = 0 ] || { tail -30 "$log"; echo "the whole log: fuzz/$log"; } >&2
    if [ "$record" = yes ]; then
        echo "| $name | ${toolchain:-stable}, $sanitizer | ${count:-0} | ${edges:-0} | $(date -u +%F) | $result |" >>EXECUTIONS.md
    fi
done
if [ "$record" = yes ]; then
    echo "in all, by EXECUTIONS.md:"
    awk -F' *[|] *' '$4 ~ /^[0-9]+$/ { sum[$2] += $4 } END { for (name in sum) print "  " name ": " sum[name] }' EXECUTIONS.md | sort
fi
exit "$failed"
