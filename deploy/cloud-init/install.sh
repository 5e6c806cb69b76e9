#!/bin/sh
# Installs Freehold on a Debian or Ubuntu machine that becomes an image: as docs/start/install.md says,
# and what a first boot needs. It makes no key, no certificate and no configuration: those belong to
# one machine.
#
#   deploy/cloud-init/install.sh WHEEL
#
# WHEEL: a file; it lies with requirements/base.txt and deploy/ as in the repository. Needs root.
set -eu

die() { echo "install: $*" >&2; exit 1; }

[ $# -eq 1 ] || die "needs the wheel: install.sh WHEEL"
[ -f "$1" ] || die "there is no $1: build it with 'pip wheel --no-deps --wheel-dir dist .'"
[ "$(id -u)" = 0 ] || die "needs root"
wheel=$(realpath "$1")
cd "$(dirname "$0")/../.."

export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -qq --yes --no-install-recommends python3 python3-venv ca-certificates e2fsprogs util-linux

# The same number in every image: a disk outlives the machines that it is attached to.
id freehold >/dev/null 2>&1 ||
  useradd --system --uid 10001 --user-group --home-dir /var/lib/freehold --no-create-home --shell /usr/sbin/nologin freehold

python3 -m venv /opt/freehold
/opt/freehold/bin/pip install --quiet --require-hashes -r requirements/base.txt
/opt/freehold/bin/pip install --quiet --no-deps --no-index "$wheel"
ln -sf /opt/freehold/bin/freehold /usr/local/bin/freehold

install -d -m 0750 -g freehold /etc/freehold
install -m 0644 deploy/systemd/freehold-agent.service /etc/systemd/system/
install -d /etc/systemd/system/freehold-agent.service.d
install -m 0644 deploy/cloud-init/disks.conf /etc/systemd/system/freehold-agent.service.d/
install -m 0755 deploy/cloud-init/first-boot.sh /usr/local/sbin/freehold-first-boot
freehold --version
