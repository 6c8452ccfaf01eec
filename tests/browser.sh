#!/bin/sh
# Plays examples/battle and talks over examples/chat in a headless Chromium: tests/browser.sh
#
# Needs Node.js 20, npm and Chromium (Debian: apt-get install chromium nodejs npm; CHROMIUM=path for another).
# What is missing is said aloud; with CI=true it is a failure. Screenshots go to target/screenshots/.
set -eu
cd "$(dirname "$0")/.."

missing() {
    echo "=====================================================================" >&2
    echo "BROWSER TEST NOT RUN: $1" >&2
    echo "=====================================================================" >&2
    [ "${CI:-}" = true ] && exit 1
    exit 0
}

for tool in node npm cargo; do
    command -v "$tool" >/dev/null || missing "$tool is not installed"
done
chromium=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)}
[ -n "$chromium" ] && [ -x "$chromium" ] || missing "Chromium is not installed (set CHROMIUM to its path)"

# Builds an example and tells where it is.
example() {
    binary=$(cargo build --features deflate --example "$1" --message-format=json-render-diagnostics |
        sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)
    [ -x "$binary" ] || { echo "cargo built no $1" >&2; exit 1; }
    echo "$binary"
}
battle=$(example battle)
chat=$(example chat)

# Only the driver: it brings no browser, and its scripts are not run.
(cd tests/browser && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
mkdir -p target/screenshots
node tests/browser/chat.js "$chat" "$chromium" target/screenshots
node tests/browser/battle.js "$battle" "$chromium" target/screenshots
