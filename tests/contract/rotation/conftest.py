"""One rotation, as the engine would describe it to a rotator, and servers to rotate at."""

import os
from collections.abc import Callable, Iterator, Mapping

import pytest

from actors.world import SystemWorld
from tests.contract.rotation.targets import LeaseTarget, Target, run_target
from tests.support.rotation_launcher import Launcher, running
from vault.rotation.rotator import RotationContext

KINDS = ("postgresql", "mysql", "redis", "ldap")
LEASE_KINDS = KINDS[:3]
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


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, object]]:
    """What makes targets, by kind; filled as tests ask for them."""
    from contextlib import ExitStack

    with ExitStack() as stack:

        class Made(dict[str, object]):
            def __missing__(self, kind: str) -> object:
                folder = tmp_path_factory.mktemp("t")
                self[kind] = stack.enter_context(run_target(kind, folder))
                return self[kind]

        yield Made()


@pytest.fixture(params=KINDS)
def target(request: pytest.FixtureRequest, servers: dict[str, object]) -> Target:
    """Each kind of rotator."""
    return servers[request.param]()  # type: ignore[operator,no-any-return]


@pytest.fixture(params=LEASE_KINDS)
def lease_target(request: pytest.FixtureRequest, servers: dict[str, object]) -> LeaseTarget:
    """Each kind of leased user."""
    return servers[request.param]()  # type: ignore[operator,no-any-return]
