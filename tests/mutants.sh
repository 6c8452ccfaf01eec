#!/bin/sh
# What would the tests not notice? cargo-mutants changes a line of `src/` at a time; each change must make a test fail.
# tests/mutants.sh [SLICE..]: ring, framing, close, hub, handshake, deflate; all of them without a name, which takes hours.
#
# Needs cargo-mutants: cargo install --locked cargo-mutants. What a slice found lies in target/mutants/SLICE; the figures, and why
# those that nobody noticed may live, in tests/MUTANTS.md. SHARD=0/4 does a quarter of a slice; counts of shards add up.
set -eu
cd "$(dirname "$0")/.."

if ! cargo mutants --version >/dev/null 2>&1; then
    echo "cargo-mutants is missing: cargo install --locked cargo-mutants" >&2
    exit 2
fi
[ $# -gt 0 ] || set -- ring framing close hub handshake deflate
for slice in "$@"; do
    # Tests that know the files best, ten seconds of them: an unnoticed mutant here may still be noticed elsewhere.
    case $slice in
        ring) files="src/ring.rs" tests="shown" ;;
        framing) files="src/protocol/{header,inbound,mask,utf8,outbound,spare,error}.rs" tests="rules bad_input lengths review splits" ;;
        close) files="src/{protocol,connection}/close.rs" tests="rules errors closing shown" ;;
        hub) files="src/connection/hub.rs" tests="rules review mutual" ;;
        handshake) files="src/handshake/{answer,client,error,head,headers,key,link,offer,origin,refusal,request,responding,response,server,url}.rs" tests="handshake client errors" ;;
        deflate) files="src/{handshake/extensions,protocol/deflate}.rs" tests="handshake client deflate" ;;
        *)
            echo "no slice '$slice'. There are: ring framing close hub handshake deflate" >&2
            exit 2
            ;;
    esac
    # For the build as for the run, so that nothing else is built.
    arguments="--cargo-arg=--lib"
    for test in $tests; do arguments="$arguments --cargo-arg=--test=$test"; done
    shard=${SHARD:-0/1}
    out=target/mutants/$slice-$(echo "$shard" | tr / -)
    mkdir -p "$out"
    # Status 2 says that some were missed: that is counted below.
    # shellcheck disable=SC2086
    cargo mutants --all-features --file "$files" --shard "$shard" --output "$out" --timeout 90 --no-times --colors never \
        $arguments >"$out/log" 2>&1 || [ $? -le 3 ] || {
        tail -20 "$out/log" >&2
        exit 1
    }
    cd "$out/mutants.out"
    for kind in caught missed timeout unviable; do
        printf '%s %s, ' "$(wc -l <$kind.txt)" "$kind"
    done
    echo "of $slice $shard"
    cat missed.txt
    cd - >/dev/null
done
