#!/bin/sh
# After an installation or upgrade: users, folders, and a restart of what runs.
#   dpkg: configure [OLD-VERSION]        rpm: 1 (installed), 2 (upgraded)
set -e

case "$1" in
configure | 1 | 2) ;;
*) exit 0 ;;
esac

systemd-sysusers /usr/lib/sysusers.d/freehold.conf
systemd-tmpfiles --create /usr/lib/tmpfiles.d/freehold.conf

if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
  if [ -n "$2" ] || [ "$1" = 2 ]; then
    systemctl try-restart freehold-control.service freehold-agent.service
  fi
fi
