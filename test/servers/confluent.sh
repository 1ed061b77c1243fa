#!/usr/bin/env bash
# confluent.sh -- make a Python virtual environment with confluent-kafka in it and print its python.
#   --find              print it only if it is complete, else exit 1; downloads nothing
#   CONFLUENT_VERSION   default 2.16.1
#   CONFLUENT_ROOT      default ${XDG_CACHE_HOME:-$HOME/.cache}/confluent-kafka
export LC_ALL=C
set -euo pipefail
v=${CONFLUENT_VERSION:-2.16.1}
dir=${CONFLUENT_ROOT:-${XDG_CACHE_HOME:-$HOME/.cache}/confluent-kafka}/venv-$v
if [ "${1:-}" = --find ]; then [ -e "$dir/.complete" ] || exit 1; fi
if [ ! -e "$dir/.complete" ]; then
  rm -rf "$dir"
  python3 -m venv "$dir" >&2
  "$dir/bin/pip" install --quiet --disable-pip-version-check "confluent-kafka==$v" >&2
  touch "$dir/.complete"
fi
echo "$dir/bin/python"
