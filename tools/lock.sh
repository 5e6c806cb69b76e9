#!/usr/bin/env bash
# Pins every dependency with its hashes, for Linux, macOS and Windows, Python 3.11 and newer.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v uv >/dev/null || { echo "lock: needs uv (pip install uv)" >&2; exit 1; }

compile() {
  uv pip compile "$@" --quiet --universal --python-version 3.11 --generate-hashes \
    --no-emit-index-url ${UPGRADE:+--upgrade}
}
compile pyproject.toml --extra all -o requirements/base.txt
compile pyproject.toml -c requirements/base.txt --extra all --extra ldap -o requirements/binary.txt
compile requirements/build.in -o requirements/build.txt
compile pyproject.toml requirements/dev.in --extra all -o requirements/dev.txt
compile requirements/bench.in -o requirements/bench.txt
compile requirements/iac.in -o requirements/iac.txt
compile requirements/charts.in --no-deps -o requirements/charts.txt
compile requirements/release.in -o requirements/release.txt
