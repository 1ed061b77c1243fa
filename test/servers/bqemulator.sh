#!/usr/bin/env bash
# bqemulator.sh -- make a Python virtual environment with bqemulator in it and print its python.
#   --find               print it only if it is complete, else exit 1; downloads nothing
#   BQEMULATOR_VERSION   default 1.4.0
#   BQEMULATOR_ROOT      default ${XDG_CACHE_HOME:-$HOME/.cache}/bqemulator
# It is started by bqemulator-start.py beside this script. DuckDB stays below 2: bqemulator 1.4.0 breaks on it.
export LC_ALL=C
set -euo pipefail
v=${BQEMULATOR_VERSION:-1.4.0}
dir=${BQEMULATOR_ROOT:-${XDG_CACHE_HOME:-$HOME/.cache}/bqemulator}/venv-$v
if [ "${1:-}" = --find ]; then [ -e "$dir/.complete" ] || exit 1; fi
if [ ! -e "$dir/.complete" ]; then
  rm -rf "$dir"
  python3 -m venv "$dir" >&2
  "$dir/bin/pip" install --quiet --disable-pip-version-check "bqemulator==$v" numpy 'duckdb<2' >&2
  touch "$dir/.complete"
fi
echo "$dir/bin/python"
