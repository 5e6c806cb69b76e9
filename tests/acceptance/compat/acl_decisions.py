"""Random policies in Vault's language, decided by OpenBao and by Freehold.

`python -m tests.acceptance.compat.acl_decisions [ROUNDS [SEED]]` compares them for longer than the
tests do: each round is two policies and some 40 paths.
"""

import random
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import requests

from tests.acceptance.agent import Form
from tests.acceptance.compat.servers import Server, freehold_dev, openbao_dev

Pair = tuple[Server, Server]
PATHS: Final = 40  # of a round
_SEGMENTS: Final = ("a", "b", "ab", "+", "a*", "*", "+b", "a+", "c")
_CAPABILITIES: Final = ("create", "read", "update", "delete", "list", "sudo", "patch", "scan")
_LITERALS: Final = ("a", "b", "ab", "c", "x", "+b", "a+")


def random_policy(chance: random.Random) -> str:
    """Some paths, each with some capabilities."""
    return "\n".join(_stanza(chance) for _ in range(chance.randint(1, 6)))


def _stanza(chance: random.Random) -> str:
    pattern = "/".join(chance.choice(_SEGMENTS) for _ in range(chance.randint(1, 4)))
    pattern = pattern.replace("+*", "+")  # OpenBao refuses it
    capabilities = chance.sample(_CAPABILITIES, chance.randint(0, 3))
    if chance.random() < 0.15:
        capabilities.append("deny")
    quoted = ", ".join(f'"{each}"' for each in capabilities)
    return f'path "{pattern}" {{ capabilities = [{quoted}] }}'


def random_path(chance: random.Random) -> str:
    """Perhaps of a folder."""
    path = "/".join(chance.choice(_LITERALS) for _ in range(chance.randint(1, 4)))
    return path + ("/" if chance.random() < 0.3 else "")


def ask(
    server: Server,
    method: str,
    path: str,
    body: Any = None,
    *,
    token: str = "",
    headers: dict[str, str] | None = None,
) -> requests.Response:
    """One request; with the root token if no other is given."""
    return requests.request(
        method,
        server.address + path,
        json=body,
        headers={"X-Vault-Token": token or server.token, **(headers or {})},
        timeout=30,
    )


def login(server: Server, name: str, *texts: str) -> str:
    """A token with these policies, and no other."""
    names = [f"{name}-{i}" for i in range(len(texts))]
    for each, text in zip(names, texts, strict=True):
        written = ask(server, "PUT", f"/v1/sys/policies/acl/{each}", {"policy": text})
        assert written.status_code == 204, written.text
    body = {"policies": names, "no_default_policy": True}
    made = ask(server, "POST", "/v1/auth/token/create", body).json()
    return str(made["auth"]["client_token"])


def compare_capabilities(pair: Pair, *, rounds: int, seed: int) -> int:
    """Returns how many paths were compared. Raises `AssertionError` with the policies."""
    chance, compared = random.Random(seed), 0  # noqa: S311  # repeatable
    for _ in range(rounds):
        texts = [random_policy(chance) for _ in range(2)]
        paths = sorted({random_path(chance) for _ in range(PATHS)})
        openbao, freehold = (_capabilities(server, texts, paths) for server in pair)
        assert openbao == freehold, "\n--\n".join(texts)
        compared += len(paths)
    return compared


def _capabilities(server: Server, texts: list[str], paths: list[str]) -> dict[str, list[str]]:
    body = {"paths": paths, "token": login(server, "random", *texts)}
    answer = ask(server, "POST", "/v1/sys/capabilities", body)
    assert answer.status_code == 200, answer.text
    return {path: sorted(answer.json()["data"][path]) for path in paths}


def main(rounds: int = 1_000, seed: int = 1) -> None:
    """Start both servers and compare them."""
    with tempfile.TemporaryDirectory() as scratch:
        folders = [Path(scratch, name) for name in ("openbao", "freehold")]
        for folder in folders:
            folder.mkdir()
        form = Form(1)
        with openbao_dev(folders[0], form) as openbao, freehold_dev(folders[1], form) as freehold:
            compared = compare_capabilities((openbao, freehold), rounds=rounds, seed=seed)
    sys.stdout.write(f"{compared} paths, decided alike\n")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
