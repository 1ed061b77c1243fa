#!/usr/bin/env bash
# build.sh [--find]: builds the foreign guests and prints the folder that they are in; --find only prints it, or fails
# when they are not built. Without a Rust toolchain it says so and ends with 3; without Go, the one guest in Go is left out.
set -euo pipefail
cd "$(dirname "$0")"
guests="$PWD/target/guests"

if [ "${1:-}" = --find ]; then
  [ -e "$guests/done" ] || exit 1
  echo "$guests"
  exit 0
fi
if ! command -v cargo > /dev/null || ! command -v rustup > /dev/null; then
  echo "skipped: foreign guests need cargo and rustup" >&2
  exit 3
fi
rustup target add wasm32-wasip1 wasm32-unknown-unknown
mkdir -p "$guests"
rm -f "$guests/done"
cargo build --release --locked --target wasm32-wasip1 -p redpanda-guests -p redpanda-abi1
cargo build --release --locked --target wasm32-unknown-unknown -p record-transform
cargo build --release --locked --target wasm32-unknown-unknown -p fluvio-guests --examples
# The same protocol with the startup and the panics of WASI.
cargo build --release --locked --target wasm32-wasip1 -p fluvio-guests --example trouble
cp target/wasm32-wasip1/release/examples/trouble.wasm "$guests/fluvio-trouble-wasi.wasm"
if command -v go > /dev/null; then (cd go && GOOS=wasip1 GOARCH=wasm go build -ldflags=-s -o "$guests/redpanda-go.wasm" .); fi
for file in target/wasm32-wasip1/release/*.wasm; do cp "$file" "$guests/redpanda-$(basename "$file")"; done
cp target/wasm32-unknown-unknown/release/record_transform.wasm "$guests/record-transform.wasm"
for file in target/wasm32-unknown-unknown/release/examples/*.wasm; do
  case $file in *-????????????????.wasm) ;; *) cp "$file" "$guests/fluvio-$(basename "$file")" ;; esac
done
touch "$guests/done"
echo "$guests"
