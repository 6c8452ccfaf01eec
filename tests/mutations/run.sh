#!/bin/sh
# Shows that the tests can fail: each patch here breaks one rule of the library, and the tests it names must notice.
#
#   tests/mutations/run.sh [NAME..]      all patches, or those whose file name contains one of the words
#
# Works in a temporary copy of the tree, with a target directory of its own (kept if MUTATIONS_TARGET names one, which
# makes the next run quicker). A test passes this examination if it passes without the patch and fails with it; a patch that
# does not apply or does not compile is a failure of the examination.
set -u
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
copy=$(mktemp -d "${TMPDIR:-/tmp}/mutations.XXXXXX")
trap 'rm -rf "$copy"' EXIT
trap 'exit 130' INT TERM
CARGO_TARGET_DIR=${MUTATIONS_TARGET:-$copy/target}
export CARGO_TARGET_DIR
# Each patch is a build: what is only for a debugger is left out of it, and a quicker linker used where there is one.
export CARGO_PROFILE_TEST_DEBUG=0 CARGO_PROFILE_DEV_DEBUG=0 CARGO_INCREMENTAL=1
if command -v mold >/dev/null; then export RUSTFLAGS="${RUSTFLAGS:-} -Clink-arg=-fuse-ld=mold"; fi
mkdir -p "$copy/tree"
# What git knows or would know, as it lies here now.
(cd "$root" && git ls-files -z --cached --others --exclude-standard | tar --null --files-from=- --ignore-failed-read -cf - 2>/dev/null) |
    tar -xf - -C "$copy/tree"
cd "$copy/tree" || exit 1

# A run that hangs has noticed, too, but slowly: two minutes are enough for each of these tests.
run_test() {
    timeout 120 cargo test --quiet --all-features --test "$1" -- --exact "$2" >"$copy/log" 2>&1
}

bad=0
count=0
printf '%-42s %-96s %-10s %s\n' MUTATION TEST RESULT SECONDS
for patch in "$here"/*.patch; do
    name=$(basename "$patch" .patch)
    if [ $# -gt 0 ]; then
        wanted=no
        for word in "$@"; do
            case $name in *"$word"*) wanted=yes ;; esac
        done
        [ $wanted = yes ] || continue
    fi
    if ! patch --silent --batch -p1 <"$patch" >"$copy/log" 2>&1; then
        printf '%-42s %-96s %-10s\n' "$name" - 'NO PATCH'
        cat "$copy/log"
        bad=$((bad + 1))
        git -C "$root" diff --quiet -- src || echo "(src/ has changes that are not committed)"
        rm -rf src && cp -R "$root/src" src
        continue
    fi
    while read -r binary test; do
        count=$((count + 1))
        start=$(date +%s)
        if ! cargo test --quiet --all-features --no-run --test "$binary" >"$copy/log" 2>&1; then
            result='NO BUILD'
        elif run_test "$binary" "$test"; then
            if grep -q '1 passed' "$copy/log"; then result=SURVIVED; else result='NO TEST'; fi
        else
            result=caught
        fi
        printf '%-42s %-96s %-10s %s\n' "$name" "$binary $test" "$result" $(($(date +%s) - start))
        if [ "$result" != caught ]; then
            bad=$((bad + 1))
            if [ "$result" = 'NO BUILD' ]; then tail -20 "$copy/log"; fi
        fi
    done <<LIST
$(sed -n 's/^test: //p' "$patch")
LIST
    patch --silent --batch -R -p1 <"$patch" >/dev/null || exit 1
done
echo "$count tests examined, $bad that did not do what they should"
[ "$count" -gt 0 ] && [ "$bad" -eq 0 ]
