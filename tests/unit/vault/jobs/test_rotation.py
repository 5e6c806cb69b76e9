"""The scheduler of rotations: what is due goes on, and nobody waits for a target that hangs."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import trio
import trio.testing
from msgspec.structs import replace

from actors.testing import FakeWorld
from protocols.instant import HOUR
from vault.cluster.leases import Lease
from vault.errors import AuthorizationError, ConflictError
from vault.jobs.rotation import (
    MAX_ACTIVE,
    PER_TARGET,
    STEP_SECONDS,
    RotationParts,
    open_rotation_scheduler,
)
from vault.model.operation import Operation
from vault.model.records import FolderPolicyRow, RotationRow, SecretRow

NOW: Final = 1_800_000_000 * 10**9


def rotation(secret: str, connection: str = "", **more: Any) -> RotationRow:
    """One that has begun."""
    return RotationRow(
        secret_id=secret, number=1, path=f"secret/{secret}", cause="schedule", previous=1,
        policy={"rotator": "fake", "connection": connection}, began_at=NOW,
        **{"next_at": NOW} | more,
    )  # fmt: skip


def secret(name: str) -> SecretRow:
    """One that is due."""
    return SecretRow(
        name=f"secret/{name}", id=name, created_at=0, updated_at=0, created_by="", rotation_due=NOW
    )


@dataclass
class Vault:
    """What is due, and the operations that are asked for."""

    rotations: list[RotationRow] = field(default_factory=list)
    secrets: list[SecretRow] = field(default_factory=list)
    asked: list[Operation] = field(default_factory=list)
    answer: Callable[[Operation], Any] = lambda _: None
    hanging: set[str] = field(default_factory=set)
    stuck: int = 0
    lease: Lease | None = None
    is_shared: bool = False
    paused: bool = False
    folders: list[FolderPolicyRow] = field(default_factory=list)
    policy_changes: int = 0
    folder_lists: int = 0

    async def list_due(
        self, now: int, after: tuple[str, int] | None, limit: int
    ) -> list[RotationRow]:
        """In the order of the keys."""
        await trio.lowlevel.checkpoint()
        rows = sorted(self.rotations, key=lambda row: (row.secret_id, row.number))
        return [
            row
            for row in rows
            if 0 < row.next_at <= now and (after is None or (row.secret_id, row.number) > after)
        ][:limit]

    def count_folder_policy_transactions(self) -> int:
        """As told."""
        return self.policy_changes

    async def list_unscheduled_folders(self) -> list[FolderPolicyRow]:
        """As told."""
        await trio.lowlevel.checkpoint()
        self.folder_lists += 1
        return self.folders

    async def is_paused(self) -> bool:
        """As told."""
        await trio.lowlevel.checkpoint()
        return self.paused

    async def list_due_secrets(self, now: int, _after: str, limit: int) -> list[SecretRow]:
        """All of them."""
        await trio.lowlevel.checkpoint()
        return [row for row in self.secrets if 0 < row.rotation_due <= now][:limit]

    async def run(self, op: Operation) -> Any:
        """Take a step, or hang as the target does."""
        await trio.lowlevel.checkpoint()
        self.asked.append(op)
        if op.name == "rotation.step":
            mine = next(row for row in self.rotations if row.secret_id == op.payload.secret_id)
            if mine.policy["connection"] in self.hanging:
                await trio.sleep_forever()
        return self.answer(op)

    def on_settled(self) -> None:
        """Somebody is told."""
        self.stuck += 1

    def parts(self) -> RotationParts:
        """For a scheduler."""
        lease = (lambda: self.lease) if self.is_shared else None
        return RotationParts(
            due=self, run=self.run, world=FakeWorld(NOW), lease=lease, on_settled=self.on_settled
        )

    def steps(self) -> list[str]:
        """The secrets that a step was asked for, in order."""
        return [op.payload.secret_id for op in self.asked if op.name == "rotation.step"]


async def test_what_is_due_begins_and_goes_on_until_it_has_to_wait() -> None:
    """Under the scheduler's own name, without a credential."""
    vault = Vault(rotations=[rotation("a")], secrets=[secret("b")])
    states = iter(["stored", "applied", "verified"])

    def answer(op: Operation) -> RotationRow | None:
        if op.name == "rotation.begin":
            return None
        state = next(states)
        row = rotation("a", state=state)
        return replace(row, next_at=NOW + HOUR) if state == "verified" else row

    vault.answer = answer
    async with open_rotation_scheduler(vault.parts()) as scheduler:
        await scheduler.run_turn()
        await trio.testing.wait_all_tasks_blocked()
    assert [op.name for op in vault.asked].count("rotation.begin") == 1
    assert vault.steps() == ["a", "a", "a"]
    assert {op.service for op in vault.asked} == {"rotation"}
    assert {op.payload.timeout for op in vault.asked if op.name == "rotation.step"} == {
        STEP_SECONDS
    }


async def test_a_target_that_hangs_delays_no_other() -> None:
    """However many of its rotations are due before the others, and no step is taken twice."""
    vault = Vault(hanging={"dead"})
    vault.rotations = [rotation(f"a{n:03}", "dead") for n in range(200)]
    vault.rotations += [rotation(f"b{n:03}", "live") for n in range(PER_TARGET)]
    vault.answer = lambda op: rotation(op.payload.secret_id, "live", next_at=0)
    async with open_rotation_scheduler(vault.parts()) as scheduler:
        for _ in range(3):
            await scheduler.run_turn()
            await trio.testing.wait_all_tasks_blocked()
            done = {row for row in vault.steps() if row.startswith("b")}
            vault.rotations = [row for row in vault.rotations if row.secret_id not in done]
    steps = vault.steps()
    assert sorted(row for row in steps if row.startswith("b")) == [
        f"b{n:03}" for n in range(PER_TARGET)
    ]
    assert len([row for row in steps if row.startswith("a")]) == PER_TARGET


async def test_a_bounded_number_of_rotations_is_under_way() -> None:
    """Also of those that connect with nothing."""
    vault = Vault(hanging={""})
    vault.rotations = [rotation(f"a{n:03}") for n in range(200)]
    async with open_rotation_scheduler(vault.parts()) as scheduler:
        for _ in range(3):
            await scheduler.run_turn()
            await trio.testing.wait_all_tasks_blocked()
    assert len(vault.steps()) == MAX_ACTIVE


async def test_without_time_on_the_lease_no_step_begins() -> None:
    """A step that could outlast the lease would go on beside the next holder's."""
    world = FakeWorld(NOW)
    vault = Vault(rotations=[rotation("a")], is_shared=True)
    vault.answer = lambda _: rotation("a", next_at=0)
    async with open_rotation_scheduler(vault.parts()) as scheduler:
        await scheduler.run_turn()  # it is lost
        await trio.testing.wait_all_tasks_blocked()
        assert vault.steps() == []
    vault.lease = Lease("rotation", "me", 7, world.uptime() + 2.0, world)
    async with open_rotation_scheduler(vault.parts()) as scheduler:
        await scheduler.run_turn()
        await trio.testing.wait_all_tasks_blocked()
        assert vault.steps() == []
        vault.lease = Lease("rotation", "me", 7, world.uptime() + 8.0, world)
        await scheduler.run_turn()
        await trio.testing.wait_all_tasks_blocked()
    step = vault.asked[-1].payload
    assert (step.term, step.timeout) == (7, 8.0)


async def test_a_rotation_that_is_stuck_is_an_alert() -> None:
    """Once, when it comes to that; a step that somebody else took is none."""
    vault = Vault(rotations=[rotation("a"), rotation("b")])

    def answer(op: Operation) -> RotationRow:
        if op.payload.secret_id == "b":
            raise ConflictError("rotation_moved", "another agent")
        return replace(rotation("a", state="stuck", error_code="target_down"), next_at=0)

    vault.answer = answer
    async with open_rotation_scheduler(vault.parts()) as scheduler:
        await scheduler.run_turn()
        await trio.testing.wait_all_tasks_blocked()
    assert vault.stuck == 1


async def test_while_they_are_paused_nothing_begins_or_goes_on() -> None:
    """Until somebody says otherwise."""
    vault = Vault(rotations=[rotation("a")], secrets=[secret("b")], paused=True)
    async with open_rotation_scheduler(vault.parts()) as scheduler:
        await scheduler.run_turn()
        await trio.testing.wait_all_tasks_blocked()
    assert vault.asked == []


async def test_secrets_below_a_folder_are_scheduled_until_nothing_is_left() -> None:
    """Then only when a policy has changed; also while rotations are paused."""
    vault, folder = (
        Vault(paused=True),
        FolderPolicyRow(path="", policy={}, updated_at=NOW, updated_by=""),
    )
    vault.folders = [replace(folder, path=f"secret/{number}/") for number in range(6)]
    async with open_rotation_scheduler(vault.parts()) as scheduler:
        await scheduler.run_turn()
        assert [op.name for op in vault.asked] == 4 * ["rotation.schedule"]
        assert [op.payload.folder for op in vault.asked] == [f"secret/{n}/" for n in range(4)]
        vault.folders = []
        for _ in range(3):
            await scheduler.run_turn()
        assert vault.folder_lists == 2
        vault.policy_changes += 1
        await scheduler.run_turn()
        assert vault.folder_lists == 3


async def test_what_policies_do_not_allow_is_put_on_record_as_a_failure() -> None:
    """Of a rotation that is due, and of one that has begun; it is not asked for again at once."""
    vault = Vault(rotations=[rotation("a")], secrets=[secret("b")])

    def answer(op: Operation) -> Any:
        if op.name != "rotation.refuse":
            raise AuthorizationError("permission_denied", f"update on {op.path}")
        vault.secrets = []
        return replace(vault.rotations[0], state="stuck", next_at=0, error_code="rotation_denied")

    vault.answer = answer
    async with open_rotation_scheduler(vault.parts()) as scheduler:
        await scheduler.run_turn()
        await trio.testing.wait_all_tasks_blocked()
    refusals = [op for op in vault.asked if op.name == "rotation.refuse"]
    assert {op.path for op in refusals} == {"sys/rotations"}
    assert {(op.payload.path, op.payload.number, op.payload.reason) for op in refusals} == {
        ("secret/b", 0, "update on secret/b"), ("secret/a", 1, "update on secret/a"),
    }  # fmt: skip
    assert vault.steps() == ["a"]
    assert vault.stuck == 1
