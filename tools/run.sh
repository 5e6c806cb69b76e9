#!/usr/bin/env bash
# `make run`: an agent for development, and the first steps with it.
#
#   tools/run.sh FREEHOLD PORT
#
# Everything it keeps is in .run; `make clean` removes it.
set -euo pipefail
cd "$(dirname "$0")/.."

freehold=$1
address=http://127.0.0.1:$2
umask 077
mkdir -p .run

# A token of one's own, kept, so that the next run finds the same vault.
[ -s .run/token ] || head -c 24 /dev/urandom | base64 | tr '+/' '-_' >.run/token
# Given to curl by file: a command line can be read by others.
printf 'X-Vault-Token: %s\n' "$(cat .run/token)" >.run/header

show() { printf '\n$ %s\n' "$*"; "$@"; }
call() { show curl --silent --show-error --fail-with-body -H @.run/header "$@"; echo; }

"$freehold" agent dev --listen "127.0.0.1:$2" --root-token "$(cat .run/token)" \
  --data-dir .run/data >.run/agent.log 2>&1 &
agent=$!
trap 'kill "$agent" 2>/dev/null || true; wait "$agent" || true' EXIT
trap 'exit 0' INT TERM

for _ in $(seq 150); do
  kill -0 "$agent" 2>/dev/null || { echo "the agent did not start:" >&2; cat .run/agent.log >&2; exit 1; }
  curl --silent --fail --output /dev/null "$address/v1/sys/health" && break
  sleep 0.1
done
curl --silent --fail --output /dev/null "$address/v1/sys/health" ||
  { echo "the agent is not ready after 15 s:" >&2; cat .run/agent.log >&2; exit 1; }

echo "An agent for development listens on $address; its data is in .run/data."
echo "A first secret, stored and read:"
call --request POST --data '{"data": {"greeting": "hello"}}' "$address/v1/secret/data/first"
call "$address/v1/secret/data/first"
cat <<EOF

To go on, in another terminal:

  export FREEHOLD_ADDR=$address FREEHOLD_TOKEN=\$(cat .run/token)
  printf 's3cret' | $freehold secret put secret/app/db
  $freehold secret get secret/app/db
  $freehold --help

Vault's own clients work too:

  export VAULT_ADDR=$address VAULT_TOKEN=\$(cat .run/token)
  .venv/bin/bao kv get secret/first

The agent's log is .run/agent.log. Ctrl-C stops the agent.
EOF
wait "$agent"
