#!/usr/bin/env bash
# `make run`: a control plane and two enrolled agents for development, and the first steps with them.
#
#   [ONCE=1] tools/run.sh FREEHOLD PORT [DIR]
#
# The agents listen on PORT and PORT+1, the control plane on PORT+100, for agents on PORT+101.
# Everything they keep is in DIR (.run, which `make clean` removes), which is locked for as long as
# any of them lives. With ONCE=1 it ends after the first secret, for scripts that only want to know
# whether it works.
set -euo pipefail
cd "$(dirname "$0")/.."

freehold=$1
bin=$(dirname "$freehold")
port=$2
dir=${3:-.run}
last=$((65535 - 101))
if ! [[ $port =~ ^[1-9][0-9]{0,4}$ ]] || ((port > last)); then
  echo "PORT is a number from 1 to $last, the first of the four that are used, not: $port" >&2
  exit 1
fi
address=http://127.0.0.1:$port
plane=http://127.0.0.1:$((port + 100))
door=https://127.0.0.1:$((port + 101))
beat=2s # shown here within seconds; in production a minute
for need in flock curl; do
  if ! command -v $need >/dev/null; then
    echo "\`make run\` needs $need, which is not on this machine (flock is in util-linux). Install it, or" >&2
    echo "start an agent alone, which needs neither: $freehold agent dev --listen 127.0.0.1:$port" >&2
    exit 1
  fi
done
umask 077
mkdir -p "$dir"

free() { # PORT: whether all four from it on are
  local each
  for each in "$1" $(($1 + 1)) $(($1 + 100)) $(($1 + 101)); do
    (exec 3<>"/dev/tcp/127.0.0.1/$each") 2>/dev/null && taken=$each && return 1
  done
  return 0
}
other=$((port + 2))
while ((other < last)) && ! free "$other"; do other=$((other + 2)); done
((other <= last)) || other=8200

# What is started inherits the lock, so that a folder whose agents outlive this script is in use, too.
exec 9>>"$dir/lock"
if ! flock --nonblock 9; then
  first=$(cat "$dir/run.pid" 2>/dev/null || true)
  echo "$dir is in use by another \`make run\`, which goes on undisturbed." >&2
  if [ -n "$first" ] && kill -0 "$first" 2>/dev/null; then
    echo "To end that one: Ctrl-C in its terminal, or kill $first" >&2
  else
    echo "It has ended and left some running. To end those: kill \$(cat $dir/*.pid)" >&2
  fi
  echo "To have a second one beside it: make run PORT=$other RUN=.run-$other" >&2
  exit 1
fi
if ! free "$port"; then
  echo "something listens on 127.0.0.1:$taken already; try: make run PORT=$other" >&2
  exit 1
fi

# A token of one's own, kept, so that the next run finds the same vaults.
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

fleet() { # METHOD PATH [BODY]: the control plane's API, as its first account
  curl --silent --show-error --max-time 20 -X "$1" -H "@$dir/plane-header" \
    -H 'Content-Type: application/json' "$plane/api/v1/$2" ${3:+-d "$3"}
}

now() { echo $(($(date +%s%N) / 1000000)); } # milliseconds
field() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }
fail() { echo "$1" >&2; cat "$2" >&2; exit 1; }

declare -A pids
start() { # NAME WORDS…: in the background, its output and process id in files
  local name=$1
  shift
  : >"$dir/$name.log"
  "$freehold" "$@" >>"$dir/$name.log" 2>&1 &
  pids[$name]=$!
  echo $! >"$dir/$name.pid"
}

await() { # NAME WHAT URL: until it answers
  for _ in $(seq 300); do
    kill -0 "${pids[$1]}" 2>/dev/null || fail "$2 did not start:" "$dir/$1.log"
    curl --silent --fail --max-time 5 --output /dev/null "$3" && return
    sleep 0.1
  done
  fail "$2 is not ready after 30 s:" "$dir/$1.log"
}

enrol() { # NAME: begin it with a token, if it was not enrolled before
  local made
  [ -e "$dir/$1/uplink/enrolment.json" ] && return
  made=$(fleet POST organizations/demo/enrolment-tokens "{\"vault\": \"$1\", \"replace\": true}")
  mkdir -p "$dir/$1"
  FREEHOLD_ENROLMENT_TOKEN=$(field secret <<<"$made") start "$1" agent enrol --data-dir "$dir/$1" \
    --control "$door" --pin "$(field pin <<<"$made")"
}

enrolled() { # NAME: wait until it is
  [ -z "${pids[$1]:-}" ] || wait "${pids[$1]}" || fail "agent $1 could not enrol:" "$dir/$1.log"
}

agent() { # NAME PORT
  start "$1" agent dev --listen "127.0.0.1:$2" --root-token-file "$dir/token" \
    --data-dir "$dir/$1" --heartbeat $beat
}

online() { fleet GET organizations/demo/agents | grep -o '"presence":"online"' | wc -l; }

stop() { # whom this script started, however the files of their ids look by now
  local running
  running=$(jobs -pr)
  [ -z "$running" ] || kill $running 2>/dev/null
  wait
  rm -f "$dir"/*.pid
}
rm -f "$dir"/*.pid
echo $$ >"$dir/run.pid"
trap 'stop || true' EXIT
trap 'exit 0' INT TERM

start plane control dev --listen "127.0.0.1:$((port + 100))" --data-dir "$dir/control" \
  --heartbeat $beat --offline-after 10s
await plane "the control plane" "$plane/health/ready"
up=$(now)
: >"$dir/plane-header"
printf '{"organization": "platform", "name": "admin", "password": "%s"}' "$(cat "$dir/control/password")" \
  >"$dir/login"
fleet POST sessions "@$dir/login" | field secret >"$dir/session"
[ -s "$dir/session" ] || fail "the control plane does not let us in:" "$dir/plane.log"
printf 'Authorization: Bearer %s\n' "$(cat "$dir/session")" >"$dir/plane-header"
fleet POST organizations '{"id": "demo", "title": "For development"}' >/dev/null

enrol one
enrol two
enrolled one
enrolled two
began=$(now)
agent one "$port"
agent two $((port + 1))
await one "agent one" "$address/v1/sys/health"
await two "agent two" "http://127.0.0.1:$((port + 1))/v1/sys/health"
for _ in $(seq 300); do
  [ "$(online)" = 2 ] && break
  sleep 0.05
done
[ "$(online)" = 2 ] || fail "the agents are not linked after 30 s:" "$dir/plane.log"
live=$(now)

echo "A control plane for development is on $plane; its agents one and two are live,"
echo "$((live - began)) ms after they were started, $((live - up)) ms after the control plane was up (with enrolment)."
echo "Agent one listens on $address, agent two on $((port + 1))."
echo "Agent one's own pages, for a browser and the token in $dir/token: $address/"
echo "A first secret, stored and read:"
call -d '{"data": {"greeting": "hello"}}' "$address/v1/secret/data/first"
call "$address/v1/secret/data/first"
[ -z "${ONCE:-}" ] || exit 0

cat >"$dir/no-deletes.json" <<EOF
{"description": "Nobody deletes in production",
 "rules": [{"effect": "deny", "paths": ["secret/prod/*"], "capabilities": ["delete"]}]}
EOF
cat <<EOF

To go on, in another terminal and this folder (docs/reference/cli.md has the rest of the command line):

  export FREEHOLD_ADDR=$address FREEHOLD_TOKEN=\$(cat $dir/token)
  printf 's3cret' | $freehold secret put secret/app/db
  $freehold secret get secret/app/db

The dashboard is $plane/?org=demo
Sign in as admin of the organization platform; the password is in $dir/control/password.

The fleet from here, and a policy for all of it:

  export FREEHOLD_CONTROL_ADDR=$plane FREEHOLD_ORG=demo
  export FREEHOLD_CONTROL_TOKEN=\$(cat $dir/session)
  $freehold fleet agent list
  $freehold fleet policy push no-deletes --all --file $dir/no-deletes.json
  $freehold fleet policy status no-deletes

What agent one has ever sent to the control plane, to the byte:

  $freehold agent egress list --data-dir $dir/one --limit 5

Plain HTTP, here with the token from a file (a command line can be read by others):

  curl -H @$dir/header $address/api/v1/secrets/secret/app/db

Clients of Vault, as they are (docs/reference/vault-api.md has what is served):

  export VAULT_ADDR=$address VAULT_TOKEN=\$(cat $dir/token)
  $bin/bao kv get secret/first
  $bin/python -c 'import hvac; print(hvac.Client().secrets.kv.v2.read_secret("first"))'

Is the audit log whole?

  $freehold audit verify --log $dir/one/audit.log

Stop agent two and look at the fleet: it is late after 4 s, offline after 10 s, and an alert says so.

  kill \$(cat $dir/two.pid)
  $freehold fleet agent list

And start it again, here until Ctrl-C:

  $freehold agent dev --listen 127.0.0.1:$((port + 1)) --root-token-file $dir/token --data-dir $dir/two --heartbeat $beat

Logs are $dir/*.log. Ctrl-C stops the agents and the control plane.
EOF
wait "${pids[one]}"
