"""Work that has lost its lease stores nothing, through the pipeline or by the barrier."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import pytest
import trio

from actors.testing import FakeWorld
from protocols.link.vocabulary import AlertCode
from tests.unit.vault.conftest import Vault
from vault import operations
from vault.audit.record import AuditEvent
from vault.authn.roles import load_service_identity
from vault.authz.access import AccessRequest, Decision
from vault.barrier import KEYRING_ROW
from vault.cluster.leases import FencedError
from vault.handlers.handler import Call, Handler
from vault.handlers.rewrap import KeyRewrapper
from vault.handlers.stores import KeyStore
from vault.jobs.kek_rotation import KekRotation
from vault.model.identity import Identity
from vault.model.operation import Capability
from vault.pipeline import Pipeline, PipelineParts, SnapshotRefresher
from vault.store.fencing import fence_transactions
from vault.store.tables import SYSTEM
from vault.store.transaction import StoreTx


def refuse(_tx: StoreTx) -> None:
    """The fence of a lease that another agent has."""
    raise FencedError("lease_lost", "another agent has it")


class Permissive:
    """Each step of the pipeline, as far as it is asked; keeps the records."""

    def __init__(self) -> None:
        self.events: list[AuditEvent] = []

    def acquire(self, _key: str) -> None:
        """No limit."""

    def is_ready(self, _identity: Identity) -> bool:
        """Always."""
        return True

    def decide(self, _access: AccessRequest) -> Decision:
        """Yes."""
        return Decision(allowed=True)

    async def record(self, event: AuditEvent) -> None:
        """Durable."""
        await trio.lowlevel.checkpoint()
        self.events.append(event)

    def count_operation(self, _name: str, _status: str) -> None:
        """Counted."""


def pipeline_over(parts: Permissive, vault: Vault) -> Pipeline:
    """One that rotates the key."""
    every: Any = parts

    async def rotate(_call: Call[Any]) -> Any:
        return await vault.barrier.rotate()

    rotation: Handler[Any, Any] = Handler(
        operations.ROTATE_KEY, run=rotate, capability=Capability.SUDO, mutates=True
    )
    return Pipeline(PipelineParts(
        authenticator=every, authorizer=every, limits=every, audit=every, load_facts=every,
        load_service_identity=partial(load_service_identity, every),
        handlers={operations.ROTATE_KEY.name: rotation}, metrics=every, world=FakeWorld(),
        failures=None, refusals=None, self_service=None, inline_logins=every,
        snapshots=SnapshotRefresher((), lambda: 0),
    ))  # fmt: skip


async def test_a_job_s_operation(vault: Vault) -> None:
    """Its outcome is on record; it is no failure of a rotation, which another agent does."""
    parts, alerts = Permissive(), list[AlertCode]()
    rotation = KekRotation(
        pipeline_over(parts, vault).run_operation,
        lambda: True,
        FakeWorld(),
        lambda code, _count: alerts.append(code),
    )
    with fence_transactions(refuse), pytest.raises(FencedError):
        await rotation()
    assert vault.barrier.active_generation == 1
    assert await vault.store.get(SYSTEM, KEYRING_ROW) is None
    assert [(event.phase, event.code) for event in parts.events] == [
        ("intent", ""),
        ("outcome", "lease_lost"),
    ]
    assert alerts == []


async def test_what_a_job_does_by_the_barrier(vault: Vault) -> None:
    """Each step that would store anything."""
    await vault.put()
    await vault.barrier.rotate()
    keys = KeyStore(vault.barrier)
    steps: Sequence[Callable[[], Awaitable[object]]] = (
        vault.barrier.rotate,
        partial(keys.rewrap, [("i", 1)], 2),
        partial(keys.put_rewrapped_generation, 2),
        KeyRewrapper(keys).rewrap_next,
    )
    for step in steps:
        with fence_transactions(refuse), pytest.raises(FencedError):
            await step()
    assert vault.barrier.active_generation == 2
    assert await keys.get_rewrapped_generation() == 0
    assert await keys.rewrap([("i", 1)], 2) == 1, "it was not done yet"
