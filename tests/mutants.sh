#!/bin/bash
# What would the tests not notice? cargo-mutants changes a line of `src/` at a time; each change must make a test fail.
# tests/mutants.sh [SLICE..]: ring, framing, close, hub, server, client, deflate; all of them without a name, which takes an hour or two.
#
# Needs cargo-mutants: cargo install --locked cargo-mutants; with mold it is quicker. What a slice found lies in
# target/mutants/SLICE; the figures, and why those that nobody noticed may live, in tests/MUTANTS.md.
# SHARD=0/4 does every fourth of a slice: counts of shards add up, and a few of them are a fair sample.
#
# Most mutants are noticed by quick tests; those that are not are tried again with more of them. It works in a copy of the tree that
# stays, so that a build begins where the last one ended.
set -eu
cd "$(dirname "$0")/.."

if ! cargo mutants --version >/dev/null 2>&1; then
    echo "cargo-mutants is missing: cargo install --locked cargo-mutants" >&2
    exit 2
fi
[ $# -gt 0 ] || set -- ring framing close hub server client deflate
root=$PWD/target/mutants
mkdir -p "$root/tree"
# Only what changed, so that cargo does not build the rest again.
git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
    [ ! -f "$file" ] || cmp -s "$file" "$root/tree/$file" || install -D "$file" "$root/tree/$file"
done
export CARGO_TARGET_DIR=$root/target CARGO_INCREMENTAL=1 CARGO_PROFILE_TEST_DEBUG=0 CARGO_PROFILE_DEV_DEBUG=0
if command -v mold >/dev/null; then export RUSTFLAGS=-Clink-arg=-fuse-ld=mold; fi

# mutate OUT FILES SHARD SECONDS TESTS [--iterate]
mutate() {
    local out=$1 files=$2 shard=$3 seconds=$4 tests=$5 test arguments=(--cargo-arg=--lib)
    shift 5
    # For the build as for the run, so that nothing else is built.
    for test in $tests; do arguments+=("--cargo-arg=--test=$test"); done
    # Status 2 says that some were missed, 3 that some timed out: they are counted below.
    (cd "$root/tree" && cargo mutants --in-place --all-features --file "$files" --shard "$shard" --sharding round-robin --no-shuffle --output "$out" \
        --timeout "$seconds" --no-times --colors never "${arguments[@]}" "$@") >>"$out/log" 2>&1 || [ $? -le 3 ] || {
        tail -20 "$out/log" >&2
        exit 1
    }
}

for slice in "$@"; do
    # The tests that know the files best, and more of those that know them: an unnoticed mutant here may still be noticed elsewhere.
    case $slice in
        ring) files="src/ring.rs" quick="" more="shown" ;;
        framing) files="src/protocol/{header,inbound,mask,utf8,outbound,spare,error}.rs" quick="rules" more="rules bad_input lengths review splits shown" ;;
        close) files="src/{protocol,connection}/close.rs" quick="rules" more="rules errors closing shown" ;;
        hub) files="src/connection/hub.rs" quick="" more="rules review" ;;
        server) files="src/handshake/{error,head,headers,key,link,origin,refusal,request,responding,response,server}.rs" quick="handshake" more="handshake client errors shown" ;;
        client) files="src/handshake/{answer,client,offer,url}.rs" quick="client" more="client handshake errors shown" ;;
        deflate) files="src/{handshake/extensions,protocol/deflate}.rs" quick="" more="handshake client deflate shown" ;;
        *)
            echo "no slice '$slice'. There are: ring framing close hub server client deflate" >&2
            exit 2
            ;;
    esac
    shard=${SHARD:-0/1}
    out=$root/$slice-${shard/\//-}
    rm -rf "$out" && mkdir -p "$out"
    mutate "$out" "$files" "$shard" 20 "$quick"
    cp "$out/mutants.out/timeout.txt" "$out/timeouts"
    count() { wc -l <"$out/mutants.out/$1.txt"; }
    caught=$(count caught) unviable=$(count unviable)
    if [ -s "$out/mutants.out/missed.txt" ]; then
        mutate "$out" "$files" "$shard" 90 "$more" --iterate
        caught=$((caught + $(count caught)))
        sort -u "$out/timeouts" "$out/mutants.out/timeout.txt" -o "$out/timeouts"
    fi
    echo "$slice $shard: $caught caught, $(wc -l <"$out/timeouts") timeout, $(count missed) missed, $unviable unviable"
    cat "$out/mutants.out/missed.txt"
done
