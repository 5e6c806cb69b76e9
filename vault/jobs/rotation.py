"""The scheduler of rotations: begins what is due, and takes the next step of what has begun.

One agent of a database does that at a time. What it does is ordinary audited operations, so what
a step needs to know is in the database and not here: another agent goes on where this one ends.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Protocol

import trio

from actors import World
from vault import operations
from vault.cluster.leases import FencedError, Lease
from vault.errors import AuthorizationError, VaultError
from vault.model.operation import Operation, OperationType, P, R, RunOperation, service_operation
from vault.model.payloads import BeginRotation, RefuseRotation, ScheduleSecrets, StepRotation
from vault.model.records import FolderPolicyRow, RotationRow, SecretRow
from vault.model.rotation import ENDED, RotationCause, RotationState

log: Final = logging.getLogger("freehold.rotation")

SERVICE: Final = "rotation"
PLACE: Final = "sys/rotations"  # of operations that are about no one secret
INTERVAL: Final = 1.0  # seconds between two looks at what is due
BATCH: Final = 64  # secrets that begin in one turn
FOLDERS: Final = 4  # whose secrets are scheduled in one turn, some of each
MAX_SCANNED: Final = 4096  # rotations that one turn looks at
MAX_ACTIVE: Final = 32  # rotations that take steps at a time
PER_TARGET: Final = 4
"""Of them, those that connect with the same secret: a target that hangs delays no other one."""
STEP_SECONDS: Final = 30.0
"""That a step may take at its target; less while a lease is shorter."""
_SETTLED: Final = ENDED | {RotationState.CURRENT, RotationState.STUCK}
LEAST_SECONDS: Final = 3.0  # a step is not begun with less


class DueRotations(Protocol):
    """Documented at `vault.handlers.stores.RotationStore`."""

    def list_due(
        self, now: int, after: tuple[str, int] | None, limit: int
    ) -> Awaitable[list[RotationRow]]:
        """Rotations whose next step is due, beyond this id and number."""
        ...

    def list_due_secrets(self, now: int, after: str, limit: int) -> Awaitable[list[SecretRow]]:
        """Secrets that a policy wants rotated, whose names come after `after`."""
        ...

    def count_folder_policy_transactions(self) -> int:
        """How many transactions of folder policies have ended."""
        ...

    def list_unscheduled_folders(self) -> Awaitable[list[FolderPolicyRow]]:
        """Folders whose policy has changed, and not all secrets below are scheduled by it."""
        ...

    def is_paused(self) -> Awaitable[bool]:
        """Whether no rotation begins or goes on."""
        ...


@dataclass(frozen=True)
class RotationParts:
    """What the scheduler works with."""

    due: DueRotations
    run: RunOperation
    world: World
    lease: Callable[[], Lease | None] | None
    """What this agent has of the lease. None: no other agent could do this work."""
    on_settled: Callable[[], object]
    """A rotation has a current value, is over or is stuck: reports have news."""


class RotationScheduler:
    """Made by `open_rotation_scheduler`. `run_turn` is a job, under the lease `rotation`."""

    def __init__(self, parts: RotationParts, nursery: trio.Nursery) -> None:
        self._parts = parts
        self._nursery = nursery
        self._scheduled_at = -1  # transactions of folder policies: nothing is left to do of them
        self._active: dict[tuple[str, int], str] = {}  # what each connects with

    async def run_turn(self) -> None:
        """Schedule, begin what is due, and have the steps taken that are; waits for none of them.

        Raises as the store does.
        """
        due, world = self._parts.due, self._parts.world
        await self._schedule_folders()
        if await due.is_paused():
            return
        for secret in await due.list_due_secrets(world.now(), "", BATCH):
            await self._begin(secret)
        after, scanned = None, 0
        while len(self._active) < MAX_ACTIVE and scanned < MAX_SCANNED:
            page = await due.list_due(world.now(), after, BATCH)
            if not page:
                return
            for rotation in page:
                self._go_on_if_free(rotation)
            after, scanned = (page[-1].secret_id, page[-1].number), scanned + len(page)

    def _go_on_if_free(self, rotation: RotationRow) -> None:
        key, target = (rotation.secret_id, rotation.number), rotation.policy.get("connection", "")
        is_crowded = target and [*self._active.values()].count(target) >= PER_TARGET
        if key not in self._active and not is_crowded and len(self._active) < MAX_ACTIVE:
            self._active[key] = target
            self._nursery.start_soon(self._go_on, key, rotation)

    async def _schedule_folders(self) -> None:
        """Have secrets below folders follow the policies that have changed."""
        ended = self._parts.due.count_folder_policy_transactions()
        if ended == self._scheduled_at:
            return
        folders = await self._parts.due.list_unscheduled_folders()
        for folder in folders[:FOLDERS]:
            await self._run(operations.SCHEDULE_SECRETS, PLACE, ScheduleSecrets(folder=folder.path))
        if not folders:
            self._scheduled_at = ended

    async def _begin(self, secret: SecretRow) -> None:
        payload = BeginRotation(cause=RotationCause.SCHEDULE)
        await self._run(operations.BEGIN_ROTATION, secret.name, payload)

    async def _run(self, operation: OperationType[P, R], path: str, payload: P) -> None:
        """Ask for it; whatever fails is tried again in the next turn."""
        try:
            try:
                await self._parts.run(self._operation(operation, path, payload))
            except AuthorizationError as denied:
                if operation is not operations.BEGIN_ROTATION:
                    raise
                await self._refuse(path, 0, denied)
        except FencedError:
            raise
        except VaultError as error:
            log.warning("%s is not done: %s", operation.name, error.code)

    def _operation(self, operation: OperationType[P, R], path: str, payload: P) -> Operation[P, R]:
        return service_operation(
            operation, path, payload, service=SERVICE, request_id=self._parts.world.new_id()
        )

    async def _go_on(self, key: tuple[str, int], rotation: RotationRow) -> None:
        """Take steps until one has to wait, as long as there is time for the next."""
        try:
            while 0 < rotation.next_at <= self._parts.world.now():
                seconds, term = self._time()
                if seconds < LEAST_SECONDS:
                    return
                rotation = await self._step(rotation, seconds, term)
        except VaultError as error:
            log.warning("a step of a rotation was not taken: %s", error.code)
        finally:
            del self._active[key]

    async def _step(self, rotation: RotationRow, seconds: float, term: int) -> RotationRow:
        payload = StepRotation(
            secret_id=rotation.secret_id, number=rotation.number, term=term, timeout=seconds
        )
        try:
            taken = await self._parts.run(
                self._operation(operations.STEP_ROTATION, rotation.path, payload)
            )
        except AuthorizationError as denied:
            refused = await self._refuse(rotation.path, rotation.number, denied)
            if refused is None:
                raise
            taken = refused
        if taken.error_code:
            log.warning(
                "rotation %d of a secret is %s: %s", taken.number, taken.state, taken.error_code
            )
        if taken.state in _SETTLED:
            self._parts.on_settled()
        return taken

    async def _refuse(
        self, path: str, number: int, denied: AuthorizationError
    ) -> RotationRow | None:
        payload = RefuseRotation(path=path, number=number, reason=denied.message)
        return await self._parts.run(self._operation(operations.REFUSE_ROTATION, PLACE, payload))

    def _time(self) -> tuple[float, int]:
        """Seconds that a step may take, and the term of whoever takes it."""
        if self._parts.lease is None:
            return STEP_SECONDS, 0
        lease = self._parts.lease()
        if lease is None:
            return 0.0, 0
        return min(lease.seconds_left, STEP_SECONDS), lease.epoch


@asynccontextmanager
async def open_rotation_scheduler(parts: RotationParts) -> AsyncIterator[RotationScheduler]:
    """The scheduler. Behind the block no step is under way: one that is, ends or is cancelled."""
    async with trio.open_nursery() as nursery:
        yield RotationScheduler(parts, nursery)
        nursery.cancel_scope.cancel()
