#!/usr/bin/env bash
# `make run`: an agent for development, and the first steps with it.
#
#   [ONCE=1] tools/run.sh FREEHOLD PORT [DIR]
#
# Everything it keeps is in DIR (.run, which `make clean` removes). With ONCE=1 it ends after the
# first secret, for scripts that only want to know whether it works.
set -euo pipefail
cd "$(dirname "$0")/.."

freehold=$1
bin=$(dirname "$freehold")
address=http://127.0.0.1:$2
dir=${3:-.run}
umask 077
mkdir -p "$dir"

# A token of one's own, kept, so that the next run finds the same vault.
[ -s "$dir/token" ] || head -c 24 /dev/urandom | base64 | tr '+/' '-_' >"$dir/token"
# Given to curl by file: a command line can be read by others.
printf 'X-Vault-Token: %s\n' "$(cat "$dir/token")" >"$dir/header"

call() { # curl, after showing the command as one would type it
  local word
  printf '\n$ curl -H @%s' "$dir/header"
  for word in "$@"; do
    case $word in *[!A-Za-z0-9_./:=-]*) printf " '%s'" "$word" ;; *) printf ' %s' "$word" ;; esac
  done
  echo
  curl --silent --show-error --fail-with-body -H "@$dir/header" "$@"
  echo
}

is_ready() { curl --silent --fail --max-time 5 --output /dev/null "$address/v1/sys/health"; }
fail() { echo "$1" >&2; cat "$dir/agent.log" >&2; exit 1; }

if (exec 3<>"/dev/tcp/127.0.0.1/$2") 2>/dev/null; then
  echo "something listens on 127.0.0.1:$2 already; try: make run PORT=$(($2 + 1))" >&2
  exit 1
fi
"$freehold" agent dev --listen "127.0.0.1:$2" --root-token "$(cat "$dir/token")" \
  --data-dir "$dir/data" >"$dir/agent.log" 2>&1 &
agent=$!
trap 'kill "$agent" 2>/dev/null || true; wait "$agent" || true' EXIT
trap 'exit 0' INT TERM

for _ in $(seq 150); do
  kill -0 "$agent" 2>/dev/null || fail "the agent did not start:"
  is_ready && break
  sleep 0.1
done
is_ready || fail "the agent is not ready after 15 s:"

echo "An agent for development listens on $address; its data is in $dir/data."
echo "A first secret, stored and read:"
call -d '{"data": {"greeting": "hello"}}' "$address/v1/secret/data/first"
call "$address/v1/secret/data/first"
[ -z "${ONCE:-}" ] || exit 0
cat <<EOF

To go on, in another terminal and this folder (docs/cli.md has the rest of the command line):

  export FREEHOLD_ADDR=$address FREEHOLD_TOKEN=\$(cat $dir/token)
  printf 's3cret' | $freehold secret put secret/app/db
  $freehold secret get secret/app/db

Plain HTTP, here with the token from a file (a command line can be read by others):

  curl -H @$dir/header $address/api/v1/secrets/secret/app/db

Clients of Vault, unchanged:

  export VAULT_ADDR=$address VAULT_TOKEN=\$(cat $dir/token)
  $bin/bao kv get secret/first
  $bin/python -c 'import hvac; print(hvac.Client().secrets.kv.v2.read_secret("first"))'

Is the audit log whole?

  $freehold audit verify --log $dir/data/audit.log

The agent's log is $dir/agent.log. Ctrl-C stops the agent.
EOF
wait "$agent"
