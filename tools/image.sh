#!/usr/bin/env bash
# Builds the images of the agent, the control plane, the operator and the command line, from a Debian
# made by debootstrap: no registry of images is needed.
#
#   tools/image.sh [ARCHITECTURE] [PROGRAM…]
#
# ARCHITECTURE: amd64 or arm64 (default: this machine's). Another machine's needs qemu-user-static
# with binfmt. PROGRAM: agent, control, operator, cli (default: all). Needs root.
#   BUILDAH_OPTIONS   what `buildah build` needs here, such as --isolation chroot
#   CA_FILE           authorities, PEM: behind a proxy that has its own
#   TAG               default: the version in pyproject.toml
#   FOLDER            where the Debian is kept (default: .image)
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'image: %s\n' "$*"; }
die() { printf 'image: %s\n' "$*" >&2; exit 1; }

arch=${1:-$(dpkg --print-architecture)}
shift || true
case $arch in amd64 | arm64) ;; *) die "$arch is not built: amd64 or arm64" ;; esac
programs=("$@")
[ $# -gt 0 ] || programs=(agent control operator cli)
readonly suite=trixie folder=${FOLDER:-.image}
tag=${TAG:-$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)}
base=localhost/freehold-base:$suite-$arch

command -v buildah >/dev/null || die "needs buildah: sudo apt-get install buildah"
if ! buildah inspect --type image "$base" >/dev/null 2>&1; then
  [ "$(id -u)" = 0 ] || die "debootstrap needs root"
  command -v debootstrap >/dev/null || die "needs debootstrap: sudo apt-get install debootstrap"
  say "making Debian $suite for $arch"
  mkdir -p "$folder"
  rm -rf "${folder:?}/$arch"
  debootstrap --arch="$arch" --variant=minbase "$suite" "$folder/$arch" >"$folder/debootstrap.log" ||
    die "debootstrap failed: $folder/debootstrap.log"
  rm -rf "$folder/$arch"/var/cache/apt/archives/*.deb
  container=$(buildah from --arch "$arch" scratch)
  buildah add --quiet "$container" "$folder/$arch" / >/dev/null
  buildah config --arch "$arch" --cmd /bin/sh "$container"
  buildah commit --quiet --rm "$container" "$base" >/dev/null
  rm -rf "${folder:?}/$arch"
fi

tools/web.sh
for program in "${programs[@]}"; do
  say "building $program for $arch"
  # shellcheck disable=SC2086  # options are words
  buildah build ${BUILDAH_OPTIONS:-} --layers --quiet --format docker --platform "linux/$arch" --pull=never \
    --build-arg "BASE=$base" --build-context "pages=ui/web" ${CA_FILE:+--secret "id=ca,src=$CA_FILE"} \
    --target "$program" --tag "localhost/freehold-$program:$tag-$arch" .
done
