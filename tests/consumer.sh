#!/bin/sh
# Builds a ten-line program against the package as it would be published, with and without default features, and runs it.
set -eu
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target"
target=$(cd "$target" && pwd)

cargo package --quiet --allow-dirty --no-verify
package=$(ls -t "$target"/package/unsync-websocket-*.crate | head -n 1)
work=$target/consumer
rm -rf "$work"
mkdir -p "$work/package" "$work/src"
tar -xzf "$package" -C "$work/package" --strip-components 1
for needed in README.md CHANGELOG.md LICENSE-MIT LICENSE-APACHE; do
    [ -f "$work/package/$needed" ] || { echo "the package lacks $needed" >&2; exit 1; }
done

cat >"$work/Cargo.toml" <<'TOML'
[package]
name = "consumer"
version = "0.0.0"
edition = "2024"

[dependencies]
futures-lite = "2.6"
unsync-websocket = { path = "package", default-features = false }

[features]
default = ["unsync-websocket/async-io"]

[workspace]
TOML
cat >"$work/src/main.rs" <<'RUST'
use unsync_websocket::{Config, Incoming, NoTimer, Role, WebSocket};

fn main() -> Result<(), unsync_websocket::Error> {
    let stream = futures_lite::io::Cursor::new(b"\x81\x05hello\x88\x00".to_vec());
    let mut ws = WebSocket::with_timer(stream, Role::Client, Config::new(), Vec::new(), NoTimer);
    futures_lite::future::block_on(async {
        assert_eq!(ws.receiver.receive().await?, Incoming::Message("hello".into()));
        assert_eq!(ws.receiver.receive().await?, Incoming::Close(None));
        ws.close().await
    })
}
RUST
cd "$work"
for features in "" --no-default-features; do
    # shellcheck disable=SC2086
    CARGO_TARGET_DIR=$target cargo run --quiet $features
    echo "consumer ${features:-with default features}: ok"
done
