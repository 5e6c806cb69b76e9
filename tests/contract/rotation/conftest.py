"""One rotation, as the engine would describe it to a rotator."""

import os
from collections.abc import Callable, Iterator, Mapping

import pytest

from actors.world import SystemWorld
from tests.support.rotation_launcher import Launcher, running
from vault.rotation.rotator import RotationContext

CANARY = "canary-Tr0ub4dor-7f3a91"
"""Stands for every secret: it must be in no error, no log and no address."""


@pytest.fixture
def canary() -> str:
    """See `CANARY`."""
    return CANARY


@pytest.fixture
def world() -> SystemWorld:
    """The real clock."""
    return SystemWorld()


@pytest.fixture
def make_context() -> Callable[..., RotationContext]:
    """A context of this connection; a new rotation unless it is named."""

    def make(
        connection: Mapping[str, str] | None = None,
        *,
        rotation: str = "0197-rotation",
        fence: int = 1,
        timeout: float = 20.0,
    ) -> RotationContext:
        return RotationContext(rotation, fence, timeout, connection or {}, os.urandom)

    return make


@pytest.fixture(scope="module")
def launcher() -> Iterator[Launcher]:
    """One for all tests of a module."""
    if os.geteuid() != 0:
        pytest.skip("the launcher is root where there is no systemd")
    with running(SystemWorld()) as started:
        yield started
