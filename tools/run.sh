#!/usr/bin/env bash
# `make run`: an agent for development, and the first steps with it.
#
#   tools/run.sh FREEHOLD PORT [DIR]
#
# Everything it keeps is in DIR (.run, which `make clean` removes).
set -euo pipefail
cd "$(dirname "$0")/.."

freehold=$1
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
cat <<EOF

To go on, in another terminal and this folder:

  export FREEHOLD_ADDR=$address FREEHOLD_TOKEN=\$(cat $dir/token)
  printf 's3cret' | $freehold secret put secret/app/db
  $freehold secret get secret/app/db
  $freehold --help

Vault's own clients work too:

  export VAULT_ADDR=$address VAULT_TOKEN=\$(cat $dir/token)
  $(dirname "$freehold")/bao kv get secret/first

The agent's log is $dir/agent.log. Ctrl-C stops the agent.
EOF
wait "$agent"
