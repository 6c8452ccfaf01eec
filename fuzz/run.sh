#!/usr/bin/env bash
# Fuzzes for a while: fuzz/run.sh [target|all] [seconds] [--runs=N] [--lean] [--record]
# With a nightly toolchain under AddressSanitizer, on stable without; overflow checks are on either way. `all` builds once and
# gives each target the seconds, as many side by side as there are cores (JOBS=1: one by one). One line a target: executions, edges,
# result; --record adds it to EXECUTIONS.md. --runs=N ends it after N executions, or after the seconds if those are given, too. SEED=1
# before it begins the same way each time, if nothing has been found that lies in target/found. --lean is for large numbers: without a
# sanitizer and without looking into comparisons, on short inputs.
set -eu
cd "$(dirname "$0")"
lean=no record=no runs= words=()
for word in "$@"; do
    case $word in
        --lean) lean=yes ;;
        --record) record=yes ;;
        --runs=*) runs=${word#*=} ;;
        *) words+=("$word") ;;
    esac
done
target=${words[0]:-recv_stream} seconds=${words[1]:-60}
# To libFuzzer, 0 seconds are no limit, and -1 executions.
[ -z "$runs" ] || seconds=${words[1]:-0}
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
built="${toolchain:-stable}, $sanitizer" options=(--fuzz-dir . -s "$sanitizer") flags=(-max_len=4096)
if [ "$lean" = yes ]; then
    built="${toolchain:-stable}, none, lean"
    options=(--fuzz-dir . -s none -O --no-trace-compares --target-dir target/lean)
    flags=(-max_len=256 -entropic=0)
fi
only=$target
[ "$target" = all ] && only=""
# shellcheck disable=SC2086
cargo $toolchain fuzz build "${options[@]}" $only

fuzz() {
    local name=$1 log=target/found/$1.log status=0 count edges result=nothing arguments=()
    # New inputs go to a folder that git ignores; the corpus in the repository stays as it is.
    mkdir -p "target/found/$name" "artifacts/$name"
    [ ! -f "dictionaries/$name.dict" ] || arguments+=("-dict=dictionaries/$name.dict")
    [ -z "${SEED:-}" ] || arguments+=("-seed=$SEED")
    # shellcheck disable=SC2086
    cargo $toolchain fuzz run "${options[@]}" "$name" "target/found/$name" "corpus/$name" -- "${arguments[@]}" "${flags[@]}" \
        -max_total_time="$seconds" -runs="${runs:--1}" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 >"$log" 2>&1 || status=$?
    count=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | tail -1)
    # A crash prints no statistics: then the last count that was seen.
    [ -n "$count" ] || count=$(sed -n 's/^#\([0-9]*\).*/\1/p' "$log" | tail -1)
    edges=$(sed -n 's/.* cov: \([0-9]*\).*/\1/p' "$log" | tail -1)
    [ "$status" = 0 ] || result=FAILED
    echo "$name: ${count:-0} executions, ${edges:-0} edges, $result"
    if [ "$record" = yes ]; then
        echo "| $name | $built | ${count:-0} | ${edges:-0} | $(date -u +%F) | $result |" >>EXECUTIONS.md
    fi
    [ "$status" = 0 ] || { tail -30 "$log"; echo "the whole log: fuzz/$log"; } >&2
    return "$status"
}

failed=0 running=() jobs=${JOBS:-$(nproc)}
for name in $targets; do
    fuzz "$name" &
    running+=($!)
    if [ ${#running[@]} -ge "$jobs" ]; then
        wait "${running[0]}" || failed=1
        running=("${running[@]:1}")
    fi
done
for pid in "${running[@]}"; do
    wait "$pid" || failed=1
done
if [ "$record" = yes ]; then
    echo "in all, by EXECUTIONS.md:"
    awk -F' *[|] *' '$4 ~ /^[0-9]+$/ { sum[$2] += $4 } END { for (name in sum) print "  " name ": " sum[name] }' EXECUTIONS.md | sort
fi
exit "$failed"
