"""An agent that trusts an issuer, and jobs that come with its tokens."""

import itertools
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.acceptance.agent import Agent, running, served_agent
from tests.acceptance.backups.running import unseal
from tests.support.identity_source import SigningKey, key_set

ISSUER = "https://ci.example"
HCL = 'path "{path}" {{ capabilities = [{capabilities}] }}'
_IDS = itertools.count()


def claims(**changed: object) -> dict[str, Any]:
    """What a job's token says."""
    now = int(time.time())
    return {
        "iss": ISSUER,
        "aud": "freehold",
        "sub": "project:app",
        "exp": now + 300,
        "nbf": now - 5,
        "iat": now - 5,
        "jti": f"job-{next(_IDS)}",
        "branch": "main",
        **changed,
    }


def trusting_config(
    folder: Path, key: SigningKey, *, workers: int = 1, **changed: Any
) -> dict[str, Any]:
    """Settings with one issuer, whose key is in a file."""
    keys = folder / "jwks.json"
    keys.write_bytes(key_set(key))
    issuer: dict[str, Any] = {
        "name": "ci",
        "issuer": ISSUER,
        "audiences": ["freehold"],
        "jwks_file": str(keys),
        "policies": ["app"],
        "ceiling": ["read-only"],
        "mount": "jobs",
        **changed,
    }
    return {
        "server": {"workers": workers, "listen": "127.0.0.1:0", "tls": {"enabled": False}},
        "authentication": {
            "methods": ["api_key", "token", "jwt"],
            "jwt": {"issuers": [issuer]},
        },
    }


@contextmanager
def trusting_agent(folder: Path, key: SigningKey, *, workers: int = 1) -> Iterator[Agent]:
    """Open; `app` may read and write `secret/app/*`, the ceiling is reading of `secret/*`."""
    with running(served_agent(folder, trusting_config(folder, key, workers=workers))) as agent:
        unseal(agent)
        mount(agent)
        yield agent


def mount(agent: Agent) -> None:
    """A key-value mount with a secret, policies, and an auth mount for aliases."""
    ok(agent, "POST", "sys/mounts/secret", {"type": "kv", "options": {"version": "2"}})
    ok(agent, "POST", "secret/data/app/a", {"data": {"x": 1}})
    ok(agent, "POST", "secret/data/other", {"data": {"x": 2}})
    policy(agent, "app", "secret/data/app/*", "read", "create", "update")
    policy(agent, "read-only", "secret/data/*", "read")
    ok(agent, "POST", "sys/auth/jobs", {"type": "jwt"})


def policy(agent: Agent, name: str, path: str, *capabilities: str) -> None:
    """A policy of one path."""
    listed = ", ".join(json.dumps(each) for each in capabilities)
    text = HCL.format(path=path, capabilities=listed)
    ok(agent, "PUT", f"sys/policies/acl/{name}", {"policy": text})


def ok(agent: Agent, method: str, path: str, body: object = None, **more: Any) -> Any:
    """A call of the Vault API that has to succeed."""
    answer = agent.call(method, f"/v1/{path}", body, **more)
    assert answer.status in {200, 201, 204}, (path, answer.status, answer.body)
    return answer.json if answer.body else None
