"""CI jobs that come with a token of a trusted issuer: what they leave behind, and what they cost.

`python -m loadtests.signed_tokens` has so many jobs read a secret, each with a token of its own,
counts what the agent keeps of them, and prints Markdown. With wrk it also compares the rate of
reads with such a token and with an ordinary one.
"""

import argparse
import json
import re
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from loadtests.agent_process import Agent, own_folder, served_agent
from vault.authn.jwt.claims import ExpectedClaims, check_claims
from vault.authn.jwt.compact import parse_claims, parse_token
from vault.authn.jwt.keys import keys_from_jwks, verify_signature

ISSUER: Final = "https://ci.example"
AUDIENCE: Final = "freehold"
AT_ONCE: Final = 8  # connections
NAMES: Final = 100  # secrets
TABLES: Final = {
    "tokens": "",
    "dynamic_leases": "",
    "users": "",
    "entity_aliases": "",
    "auth_entries": "",
    "credential_usage": "WHERE credential_id LIKE 'jwt:%'",
}
"""In which a login or a use of a credential leaves something, and which rows are meant."""
KEYS: Final[dict[str, tuple[Any, Any]]] = {
    "RS256": (lambda: rsa.generate_private_key(65537, 2048), RSAAlgorithm),
    "PS256": (lambda: rsa.generate_private_key(65537, 2048), RSAAlgorithm),
    "ES256": (lambda: ec.generate_private_key(ec.SECP256R1()), ECAlgorithm),
    "ES384": (lambda: ec.generate_private_key(ec.SECP384R1()), ECAlgorithm),
    "EdDSA": (ed25519.Ed25519PrivateKey.generate, OKPAlgorithm),
}
"""What makes a key of each algorithm, and what writes it as a JSON Web Key."""


class Jobs(NamedTuple):
    """Jobs that all read their secret. `seconds` for all; `left`: rows that are new, by table."""

    count: int
    seconds: float
    left: dict[str, int]


class Signer:
    """A key of the issuer."""

    def __init__(self, algorithm: str = "ES256") -> None:
        make, kind = KEYS[algorithm]
        self.algorithm = algorithm
        self._private = make()
        public = kind.to_jwk(self._private.public_key(), as_dict=True)
        self.jwks = json.dumps({"keys": [{**public, "kid": "k", "alg": algorithm, "use": "sig"}]})

    def token(self, job: int) -> str:
        """The token of a job."""
        now = int(time.time())
        claims = {
            "iss": ISSUER, "aud": AUDIENCE, "sub": f"repo:app:{job}", "jti": f"job-{job}",
            "iat": now, "nbf": now, "exp": now + 3600, "ref": "refs/heads/main",
            "repository": "company/app", "run_id": str(job), "workflow": "release",
        }  # fmt: skip
        return jwt.encode(claims, self._private, self.algorithm, headers={"kid": "k"})


@contextmanager
def trusting_agent(folder: Path, signer: Signer, workers: int = 1) -> Iterator[Agent]:
    """An open agent whose ceiling for jobs is reading, with secrets."""
    keys = folder / "jwks.json"
    keys.write_text(signer.jwks)
    issuer = {
        "name": "ci", "issuer": ISSUER, "audiences": [AUDIENCE], "jwks_file": str(keys),
        "policies": ["jobs"], "ceiling": ["jobs"],
    }  # fmt: skip
    open_gates = {"requests_per_second": 1_000_000, "burst_size": 1_000_000}
    config: dict[str, Any] = {
        "server": {"workers": workers, "listen": "127.0.0.1:0", "tls": {"enabled": False}},
        "authentication": {
            "methods": ["api_key", "token", "jwt"], "jwt": {"issuers": [issuer]},
        },
        "limits": {"rate": open_gates},
    }  # fmt: skip
    agent = served_agent(folder, config)
    agent.start()
    try:
        made = agent.call("PUT", "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1}).json
        agent.token = made["root_token"]
        agent.call("PUT", "/v1/sys/unseal", {"key": made["keys"][0]})
        agent.call("POST", "/v1/sys/mounts/secret", {"type": "kv", "options": {"version": "2"}})
        for number in range(NAMES):
            agent.call("POST", f"/v1/secret/data/bench/s{number}", {"data": {"a": "b" * 64}})
        policy = 'path "secret/data/*" { capabilities = ["read"] }'
        agent.call("PUT", "/v1/sys/policies/acl/jobs", {"policy": policy})
        yield agent
    finally:
        agent.stop()


def run_jobs(agent: Agent, signer: Signer, count: int) -> Jobs:
    """Each job reads a secret with its own token. Raises `RuntimeError` if one may not."""
    tokens = [signer.token(job) for job in range(count)]
    before = count_rows(agent)
    begin = time.perf_counter()

    def work(part: int) -> None:
        with agent.client() as client:
            for job in range(part, count, AT_ONCE):
                path = f"/v1/secret/data/bench/s{job % NAMES}"
                answer = client.call("GET", path, token=tokens[job])
                if answer.status != 200:  # noqa: PLR2004  # OK
                    raise RuntimeError(f"job {job} got {answer.status}: {answer.body!r}")

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(work, range(AT_ONCE)))
    seconds = time.perf_counter() - begin
    left = {table: rows - before[table] for table, rows in count_rows(agent).items()}
    return Jobs(count, seconds, left)


def count_rows(agent: Agent) -> dict[str, int]:
    """Rows of `TABLES`."""
    with closing(sqlite3.connect(f"file:{agent.database}?mode=ro", uri=True)) as database:
        return {
            table: database.execute(f"SELECT count(*) FROM {table} {meant}").fetchone()[0]  # noqa: S608  # our own names
            for table, meant in TABLES.items()
        }


def verification_cost(algorithm: str, batches: int = 10, rounds: int = 200) -> float:
    """µs of a core to take a token apart, verify it and check its claims: of the quickest batch."""
    signer = Signer(algorithm)
    keys, text = keys_from_jwks(signer.jwks), signer.token(1)
    expected, now = ExpectedClaims(issuer=ISSUER, audiences=(AUDIENCE,)), int(time.time())
    found = []
    for _ in range(batches):
        begin = time.thread_time()
        for _ in range(rounds):
            token = parse_token(text)
            verify_signature(token, keys.select(token))
            check_claims(parse_claims(token.payload), expected, now)
        found.append((time.thread_time() - begin) / rounds * 1e6)
    return min(found)


def read_rate(agent: Agent, token: str, seconds: int) -> float:
    """Reads a second over 8 connections with a token, which ends with the agent."""
    command = [
        "wrk", "-t1", f"-c{AT_ONCE}", f"-d{seconds}s", "-H", f"Authorization: Bearer {token}",
        f"http://127.0.0.1:{agent.port}/v1/secret/data/bench/s1",
    ]  # fmt: skip
    done = subprocess.run(  # noqa: S603  # our own command
        command, capture_output=True, text=True, timeout=seconds + 30, check=True
    )
    found = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    if found is None or "Non-2xx" in done.stdout:
        raise RuntimeError(done.stdout)
    return float(found[1])


def main() -> None:
    """Print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--seconds", type=int, default=0, help="of each run of wrk; 0: none")
    parser.add_argument("--turns", type=int, default=3)
    asked = parser.parse_args()
    print("| algorithm | verification, µs of a core |\n|---|--:|")
    for algorithm in KEYS:
        print(f"| {algorithm} | {verification_cost(algorithm):.0f} |")
    signer = Signer()
    with own_folder() as folder, trusting_agent(folder, signer) as agent:
        done = run_jobs(agent, signer, asked.jobs)
        print(
            f"\n{done.count} jobs in {done.seconds:.1f} s, {done.count / done.seconds:.0f} a second"
        )
        print(f"new rows: {done.left}")
        if asked.seconds:
            body = {"policies": ["jobs"]}
            made = agent.call("POST", "/v1/auth/token/create", body).json["auth"]["client_token"]
            print("\n| turn | ordinary token, reads/s | signed token, reads/s |\n|---|--:|--:|")
            for turn in range(asked.turns):
                rates = [read_rate(agent, each, asked.seconds) for each in (made, signer.token(0))]
                print(f"| {turn + 1} | {rates[0]:.0f} | {rates[1]:.0f} |")


if __name__ == "__main__":
    main()
