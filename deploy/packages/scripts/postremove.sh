#!/bin/sh
# After a removal. Data and users stay: a package manager that removes secrets by accident loses
# them for good. `apt purge` is no accident; an .rpm has no purge (docs/start/upgrade.md).
#   dpkg: remove, purge, upgrade …       rpm: 0 (removed), 1 (upgraded)
set -e

if [ -d /run/systemd/system ]; then
  systemctl daemon-reload || true
fi

if [ "$1" = purge ]; then
  rm -rf /var/lib/freehold /var/lib/freehold-anchor /var/lib/freehold-key \
    /var/lib/freehold-control /var/log/freehold /etc/freehold
  for user in freehold freehold-control; do
    if getent passwd "$user" >/dev/null; then
      userdel "$user" || true
    fi
  done
fi
