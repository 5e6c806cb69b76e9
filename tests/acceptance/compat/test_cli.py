"""The `bao` client cannot tell Freehold from OpenBao: exit codes, JSON, words."""

from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from tests.acceptance.compat.agent import AGENT, SEAL
from tests.acceptance.compat.client import Outcome, tell
from tests.acceptance.compat.conftest import Both
from tests.acceptance.compat.kv import KV1, KV2, READER, READER_HCL, READER_RULE
from tests.acceptance.compat.servers import NEW, Server
from tests.acceptance.compat.stories import Step


def compare(servers: Both, story: list[Step], home: Path, mount: str) -> None:
    """Tell the story to both and compare step by step."""
    expected, found = (tell(server, story, home, mount) for server in servers)
    assert found == expected, differences(expected, found)


def differences(expected: list[Outcome], found: list[Outcome]) -> str:
    """The steps that went differently, for whoever reads the failure."""
    pairs = zip(expected, found, strict=True)
    return "\n\n".join(f"OpenBao:  {a}\nFreehold: {b}" for a, b in pairs if a != b)


def mounted(servers: Both, home: Path, mount: str, version: int) -> str:
    """A new key-value mount on both."""
    enable = [Step(f"secrets enable -path={mount} -version={version} kv")]
    for server in servers:
        assert tell(server, enable, home)[0].exit_code == 0
    return mount


@pytest.mark.parametrize("name", KV2)
def test_kv_version_2(both: Both, tmp_path: Path, name: str) -> None:
    """Every `bao kv` command on a versioned mount."""
    mount = mounted(both, tmp_path, f"two-{name}", 2)
    compare(both, KV2[name], tmp_path, mount)


@pytest.mark.parametrize("name", KV1)
def test_kv_version_1(both: Both, tmp_path: Path, name: str) -> None:
    """Every `bao kv` command on a mount without versions, and making it a versioned one."""
    mount = mounted(both, tmp_path, f"one-{name}", 1)
    compare(both, KV1[name], tmp_path, mount)


@pytest.mark.parametrize("name", AGENT)
def test_agent(both: Both, tmp_path: Path, name: str) -> None:
    """`bao status`, `login`, `token …`, `secrets …`."""
    compare(both, AGENT[name], tmp_path, f"agent-{name.replace(' ', '-')}")


def test_a_token_that_is_not_root(both: Both, tmp_path: Path) -> None:
    """What a policy does not allow is refused in the same words; what it allows works alike."""
    mount = mounted(both, tmp_path, "two-reader", 2)
    openbao, freehold = both
    call(openbao, "PUT", "/v1/sys/policies/acl/reader", policy=READER_HCL.replace("MOUNT", mount))
    rule = READER_RULE | {"paths": [f"{mount}/app/*"]}
    call(freehold, "PUT", "/api/v1/policies/reader", name="reader", rules=[rule])
    compare(both, READER, tmp_path, mount)


def call(server: Server, method: str, path: str, **body: object) -> None:
    """One request with the root token."""
    reply = requests.request(
        method,
        server.address + path,
        json=body,
        headers={"Authorization": f"Bearer {server.token}"},
        timeout=30,
    )
    reply.raise_for_status()


def test_seal(tmp_path: Path) -> None:
    """`bao operator init`, `unseal`, `seal`, `rotate`: a vault's first hour."""
    with ExitStack() as stack:
        servers: list[Server] = []
        for name, start in NEW.items():
            folder = tmp_path / name
            folder.mkdir()
            servers.append(stack.enter_context(start(folder)))
        compare((servers[0], servers[1]), SEAL, tmp_path, "")
