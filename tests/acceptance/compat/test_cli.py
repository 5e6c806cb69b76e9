"""The `bao` client cannot tell Freehold from OpenBao: exit codes, JSON, words.

The stories start it five hundred times, so they are told to an agent of several processes alone:
that one process answers the same is in tests/acceptance/workers/test_every_route.py and in the
tests of hvac, which are run with either. What OpenBao answers is on record (`recorded`).
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.agent import SEVERAL, Form
from tests.acceptance.compat.agent import AGENT
from tests.acceptance.compat.client import Outcome, tell
from tests.acceptance.compat.kv import KV1, KV2, READER_RULE
from tests.acceptance.compat.recorded import (
    COMMAND,
    STORIES,
    answers,
    call,
    enable,
    installed_version,
    recorded_version,
    tell_openbao,
)
from tests.acceptance.compat.servers import Server, freehold_dev, freehold_new, openbao_dev

FORM = Form(SEVERAL)


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Freehold, open, for the stories that do not mind each other."""
    with freehold_dev(tmp_path_factory.mktemp("freehold"), FORM) as server:
        yield server


def compare(name: str, server: Server, home: Path) -> None:
    """Tell Freehold the story; it must answer as OpenBao did."""
    story = STORIES[name]
    enable(server, story, home)
    expected = answers(name)
    found = tell(server, story.steps, home, story.mount)
    assert found == expected, differences(expected, found)


def differences(expected: list[Outcome], found: list[Outcome]) -> str:
    """The steps that went differently, for whoever reads the failure."""
    pairs = zip(expected, found, strict=True)
    return "\n\n".join(f"OpenBao:  {a}\nFreehold: {b}" for a, b in pairs if a != b)


@pytest.mark.parametrize("name", KV2)
def test_kv_version_2(together: Server, tmp_path: Path, name: str) -> None:
    """Every `bao kv` command on a versioned mount."""
    compare(f"kv 2: {name}", together, tmp_path)


@pytest.mark.parametrize("name", KV1)
def test_kv_version_1(together: Server, tmp_path: Path, name: str) -> None:
    """Every `bao kv` command on a mount without versions, and making it a versioned one."""
    compare(f"kv 1: {name}", together, tmp_path)


@pytest.mark.parametrize("name", [name for name in AGENT if name != "mounts"])
def test_agent(together: Server, tmp_path: Path, name: str) -> None:
    """`bao status`, `login`, `token …`."""
    compare(f"agent: {name}", together, tmp_path)


def test_mounts(tmp_path: Path) -> None:
    """`bao secrets …`: the whole list."""
    with freehold_dev(tmp_path, FORM) as server:
        compare("agent: mounts", server, tmp_path)


def test_a_token_that_is_not_root(together: Server, tmp_path: Path) -> None:
    """What a policy does not allow is refused in the same words; what it allows works alike."""
    rule = READER_RULE | {"paths": [f"{STORIES['reader'].mount}/app/*"]}
    call(together, "PUT", "/api/v1/policies/reader", name="reader", rules=[rule])
    compare("reader", together, tmp_path)


def test_seal(tmp_path: Path) -> None:
    """`bao operator init`, `unseal`, `seal`, `rotate`: a vault's first hour."""
    with freehold_new(tmp_path, FORM) as server:
        compare("seal", server, tmp_path)


def test_the_record_is_of_the_installed_openbao() -> None:
    """Another version may answer otherwise, and its client print otherwise."""
    assert installed_version() == recorded_version(), f"run {COMMAND}"


def test_openbao_answers_as_recorded(tmp_path: Path) -> None:
    """A story told anew: what is on record is neither edited nor a matter of chance."""
    name = "agent: token families"
    with openbao_dev(tmp_path, FORM) as server:
        assert tell_openbao(server, STORIES[name], tmp_path) == answers(name)
