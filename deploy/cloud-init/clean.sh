#!/bin/sh
# Removes what belongs to one machine from one that becomes an image: host keys, keys of people, ids,
# logs and history. The marketplaces ask for it. Needs root; run it last.
set -eu

for file in /etc/freehold/vault.yaml /var/lib/freehold/vault.db /etc/freehold/tls/ca.key; do
  [ ! -e "$file" ] || { echo "clean: $file is of one machine: start from a fresh one" >&2; exit 1; }
done
rm -rf /tmp/freehold
apt-get clean
rm -rf /var/lib/apt/lists/*
rm -f /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub
for home in $(getent passwd | cut -d: -f6 | sort -u); do
  rm -f "$home/.ssh/authorized_keys" "$home/.bash_history"
  rm -rf "$home/.cache/pip"
done
if command -v cloud-init >/dev/null; then cloud-init clean --logs --seed; fi
truncate --size=0 /etc/machine-id
find /var/log -type f -exec truncate --size=0 {} +
sync
