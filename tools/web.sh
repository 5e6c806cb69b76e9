#!/usr/bin/env bash
# Builds the web interface (ui/web/dist), if its sources changed since the last time.
#
#   tools/web.sh
#
# Quick when nothing changed: the stamp holds the hash of all that goes into it. `node_modules` is
# laid anew only when the lock file changed.
set -euo pipefail
cd "$(dirname "$0")/../ui/web"

readonly packages=node_modules/.stamp built=dist/.stamp

say() { printf 'web: %s\n' "$*"; }
die() { printf 'web: %s\n' "$*" >&2; exit 1; }
hash_of() { find "$@" -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -d ' ' -f 1; }
is() { [ -f "$1" ] && [ "$(cat "$1")" = "$2" ]; }

# Two that run at once (make -j, two checkouts' helpers) would remove files under each other.
exec 9>.lock
flock 9

locked=$(hash_of package.json package-lock.json .npmrc)
sources=$(hash_of package.json package-lock.json vite.config.ts tsconfig.json *.html src public)
if ! is "$packages" "$locked" || ! is "$built" "$sources"; then
  command -v npm >/dev/null || die "needs node and npm: sudo apt-get install nodejs npm"
fi
if ! is "$packages" "$locked"; then
  say "installing what package-lock.json names"
  npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
  printf '%s' "$locked" >"$packages"
fi
if ! is "$built" "$sources"; then
  npm run --silent build -- --logLevel warn
  printf '%s' "$sources" >"$built"
  say "built ui/web/dist"
fi
