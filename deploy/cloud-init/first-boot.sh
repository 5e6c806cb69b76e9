#!/bin/sh
# Prepares a machine made from an image of deploy/packer: mounts its disks, then `freehold agent init`,
# then the service. It may be repeated; a disk that has anything on it is never formatted.
#
#   freehold-first-boot --data DEVICE --anchor DEVICE --name NAME [--name NAME…]
#
# --data: the disk of database, audit log and certificates. --anchor: a small disk of its own for the
# anchor, so that an older copy of the data does not set it back as well. --name: by which clients call
# the agent. /etc/freehold/vault.yaml is written before, by cloud-init.
#   WAIT   seconds for a disk to be attached (default: 300)
set -eu

readonly config=/etc/freehold/vault.yaml disk=/srv/freehold
say() { echo "first-boot: $*"; }
die() { echo "first-boot: $*" >&2; exit 1; }

data='' anchor='' names=''
while [ $# -gt 0 ]; do
  [ $# -ge 2 ] || die "$1 needs a value"
  case $1 in
    --data) data=$2 ;;
    --anchor) anchor=$2 ;;
    --name)
      case $2 in '' | -* | *[!A-Za-z0-9.:-]*) die "$2 is no name or address" ;; esac
      names="$names --name $2"
      ;;
    *) die "unknown option $1" ;;
  esac
  shift 2
done
if [ -z "$data" ] || [ -z "$anchor" ] || [ -z "$names" ]; then die "needs --data, --anchor and --name"; fi
[ "$(id -u)" = 0 ] || die "needs root"
[ -f "$config" ] || die "there is no $config: cloud-init writes it before"

# prepare DEVICE: wait for it, make a file system if it is blank, set `uuid`.
prepare() {
  left=${WAIT:-300}
  until [ -b "$1" ]; do
    [ "$left" -gt 0 ] || die "$1 is not there: attach the disk, then run this again"
    sleep 1
    left=$((left - 1))
  done
  # 0: something is on it. 2: nothing. Everything else, such as an ambivalent disk, is for a person.
  found=0
  blkid -p "$1" >/dev/null 2>&1 || found=$?
  case $found in
    0) ;;
    2) say "making a file system on $1" && mkfs.ext4 -q -m 1 "$1" ;;
    *) die "blkid cannot tell what is on $1 (exit $found): look at it, nothing was changed" ;;
  esac
  uuid=$(blkid -p -s UUID -o value "$1")
  [ -n "$uuid" ] || die "$1 has no file system with a UUID: nothing was changed"
}

# persist SOURCE TARGET TYPE OPTIONS [DEVICE]: mount it now, and at each boot. `nofail` lets a machine
# boot without the disk, so that people can log in; disks.conf keeps the agent from starting. Not for
# now: with it mount(8) says nothing about a disk that it does not find.
persist() {
  grep -q "^[^#[:space:]]*[[:space:]]$2[[:space:]]" /etc/fstab || echo "$1 $2 $3 $4,nofail 0 0" >>/etc/fstab
  mountpoint -q "$2" || mount -t "$3" -o "$4" "${5:-$1}" "$2"
  mountpoint -q "$2" || die "$2 is not mounted: the agent is not started"
}

install -d -m 0755 "$disk"
install -d -m 0700 -o freehold -g freehold /var/lib/freehold /var/lib/freehold-anchor /var/log/freehold
install -d -m 0755 /etc/freehold/tls

prepare "$data"
persist "UUID=$uuid" "$disk" ext4 noatime,nodev,nosuid,noexec "$data"
prepare "$anchor"
persist "UUID=$uuid" /var/lib/freehold-anchor ext4 noatime,nodev,nosuid,noexec "$anchor"

install -d -m 0700 -o freehold -g freehold "$disk/data" "$disk/log" /var/lib/freehold-anchor
install -d -m 0755 "$disk/tls"
persist "$disk/data" /var/lib/freehold none "bind,x-systemd.requires-mounts-for=$disk"
persist "$disk/log" /var/log/freehold none "bind,x-systemd.requires-mounts-for=$disk"
persist "$disk/tls" /etc/freehold/tls none "bind,x-systemd.requires-mounts-for=$disk"

chown root:freehold "$config"
chmod 0640 "$config"
# shellcheck disable=SC2086  # options are words, and were looked at above
freehold agent init --config "$config" $names --user freehold

systemctl daemon-reload
systemctl enable freehold-agent
systemctl start freehold-agent
say "the agent runs; once, with the credentials of the cloud in place: freehold operator init"
