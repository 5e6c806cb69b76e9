#!/bin/sh
# Before a removal, not before an upgrade: the services stop.
#   dpkg: remove, upgrade NEW-VERSION    rpm: 0 (removed), 1 (upgraded)
set -e

case "$1" in
remove | 0) ;;
*) exit 0 ;;
esac

if [ -d /run/systemd/system ]; then
  systemctl --no-reload disable --now freehold-agent.service freehold-control.service \
    freehold-rotator.socket || true
fi
