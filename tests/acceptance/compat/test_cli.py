"""The `bao` client cannot tell Freehold from OpenBao: exit codes, JSON, words.

The stories start it a thousand times, so they are told to an agent of several processes alone: that
one process answers the same is in tests/acceptance/workers/test_every_route.py and in the tests of
hvac, which are run with either.
"""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from tests.acceptance.agent import SEVERAL, Form
from tests.acceptance.compat.agent import AGENT, SEAL
from tests.acceptance.compat.client import Outcome, tell
from tests.acceptance.compat.conftest import Both
from tests.acceptance.compat.kv import KV1, KV2, READER, READER_HCL, READER_RULE
from tests.acceptance.compat.servers import NEW, Server
from tests.acceptance.compat.stories import Step

pytestmark = pytest.mark.parametrize(
    "form", [SEVERAL], ids=["2 workers"], indirect=True, scope="session"
)
Once = Callable[[str, Callable[[], list[Outcome]]], list[Outcome]]


class Stories:
    """Tells both of a thing, and compares step by step."""

    def __init__(self, servers: Both, home: Path, once: Once) -> None:
        self.servers = servers
        self._home = home
        self._once = once

    def compare(self, story: list[Step], mount: str = "") -> None:
        """Tell the story to both."""
        openbao, freehold = self.servers
        expected = self._once(f"{mount} {story}", lambda: tell(openbao, story, self._home, mount))
        found = tell(freehold, story, self._home, mount)
        assert found == expected, differences(expected, found)

    def mounted(self, mount: str, version: int) -> str:
        """A new key-value mount on both."""
        enable = [Step(f"secrets enable -path={mount} -version={version} kv")]
        for server in self.servers:
            assert tell(server, enable, self._home)[0].exit_code == 0
        return mount


@pytest.fixture
def stories(both: Both, tmp_path: Path, once: Once) -> Stories:
    """With the servers of all tests."""
    return Stories(both, tmp_path, once)


def differences(expected: list[Outcome], found: list[Outcome]) -> str:
    """The steps that went differently, for whoever reads the failure."""
    pairs = zip(expected, found, strict=True)
    return "\n\n".join(f"OpenBao:  {a}\nFreehold: {b}" for a, b in pairs if a != b)


@pytest.mark.parametrize("name", KV2)
def test_kv_version_2(stories: Stories, name: str) -> None:
    """Every `bao kv` command on a versioned mount."""
    stories.compare(KV2[name], stories.mounted(f"two-{name}", 2))


@pytest.mark.parametrize("name", KV1)
def test_kv_version_1(stories: Stories, name: str) -> None:
    """Every `bao kv` command on a mount without versions, and making it a versioned one."""
    stories.compare(KV1[name], stories.mounted(f"one-{name}", 1))


@pytest.mark.parametrize("name", AGENT)
def test_agent(stories: Stories, name: str) -> None:
    """`bao status`, `login`, `token …`, `secrets …`."""
    stories.compare(AGENT[name], f"agent-{name.replace(' ', '-')}")


def test_a_token_that_is_not_root(stories: Stories) -> None:
    """What a policy does not allow is refused in the same words; what it allows works alike."""
    mount = stories.mounted("two-reader", 2)
    openbao, freehold = stories.servers
    call(openbao, "PUT", "/v1/sys/policies/acl/reader", policy=READER_HCL.replace("MOUNT", mount))
    rule = READER_RULE | {"paths": [f"{mount}/app/*"]}
    call(freehold, "PUT", "/api/v1/policies/reader", name="reader", rules=[rule])
    stories.compare(READER, mount)


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


def test_seal(tmp_path: Path, form: Form, once: Once) -> None:
    """`bao operator init`, `unseal`, `seal`, `rotate`: a vault's first hour."""
    with ExitStack() as stack:
        servers: list[Server] = []
        for name, start in NEW.items():
            folder = tmp_path / name
            folder.mkdir()
            servers.append(stack.enter_context(start(folder, form)))
        Stories((servers[0], servers[1]), tmp_path, once).compare(SEAL)
