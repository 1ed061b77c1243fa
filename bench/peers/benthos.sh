#!/usr/bin/env bash
# benthos.sh -- build the Benthos of ./benthos with Go's own module proxy and print the program's path.
#   --find   print the path only if this version is built, else exit 1; downloads nothing
#   BENTHOS_ROOT   default ${XDG_CACHE_HOME:-$HOME/.cache}/benthos-bench
export LC_ALL=C
set -euo pipefail
source=$(cd "$(dirname "$0")/benthos" && pwd)
version=$(cat "$source"/main.go "$source"/go.mod | sha256sum | cut -c1-12)
root=${BENTHOS_ROOT:-${XDG_CACHE_HOME:-$HOME/.cache}/benthos-bench}
program=$root/benthos-$version
if [ ! -x "$program" ]; then
  if [ "${1:-}" = --find ]; then exit 1; fi
  mkdir -p "$root"
  (cd "$source" && go build -mod=readonly -buildvcs=false -o "$program.new" .) >&2
  mv "$program.new" "$program"
fi
echo "$program"
