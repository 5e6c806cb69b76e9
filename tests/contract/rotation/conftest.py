"""The targets, one server of each kind for a module."""

from collections.abc import Iterator

import pytest

from tests.contract.rotation.targets import LeaseTarget, Target, run_target

KINDS = ("postgresql", "mysql", "redis", "ldap")
LEASE_KINDS = KINDS[:3]


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
