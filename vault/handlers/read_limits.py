"""Secrets that are due for rotation because they were read as often as their policy allows.

Each process notes which of the secrets that it shows have such a policy, and looks at their counts
once it has flushed its own: so those of all processes and agents count together.
"""

from collections.abc import Sequence
from functools import partial
from typing import Final

from actors.world import World
from vault.handlers.rotation_schedule import (
    is_read_out,
    load_effective_policy,
    parent_folders,
    schedule,
)
from vault.handlers.stores import AccessStore, RotationStore, RotationTx
from vault.model.path import ResourcePath
from vault.model.records import SecretRow
from vault.rotation import machine
from vault.rotation.schedule import NEVER

MAX_NOTED: Final = 100_000  # secrets between two flushes; another one is noted when read again
BATCH: Final = 64  # secrets that become due in one transaction


class ReadLimits:
    """Those that this process has shown since the last flush."""

    def __init__(self, rotations: RotationStore, reads: AccessStore, world: World) -> None:
        self._rotations = rotations
        self._reads = reads
        self._world = world
        self._noted: set[str] = set()
        self._folders: frozenset[str] = frozenset()  # whose policy has `max_reads`
        self._seen = -1  # transactions of folder policies

    def note(self, secret: SecretRow) -> None:
        """The value of the secret is shown."""
        policy = secret.rotation_policy
        if policy is not None:
            is_limited = bool(policy.get("max_reads"))
        else:
            is_limited = bool(self._folders) and not self._folders.isdisjoint(
                parent_folders(secret.name)
            )
        if is_limited and len(self._noted) < MAX_NOTED:
            self._noted.add(secret.name)

    async def apply(self) -> None:
        """Make those due that have reached their limit, by the counts that are flushed.

        On an error all of them stay noted; raises as the store does.
        """
        await self._refresh_folders()
        noted, self._noted = self._noted, set()
        try:
            due = [name for name in sorted(noted) if await self._is_reached(name)]
            for begin in range(0, len(due), BATCH):
                change = partial(_make_due, names=due[begin : begin + BATCH], now=self._world.now())
                await self._rotations.transact(change)
        except BaseException:
            self._noted |= noted
            raise

    async def _refresh_folders(self) -> None:
        ended = self._rotations.count_folder_policy_transactions()
        if ended != self._seen:
            rows = await self._rotations.list_folder_policies()
            self._folders = frozenset(row.path for row in rows if row.policy.get("max_reads"))
            self._seen = ended

    async def _is_reached(self, name: str) -> bool:
        secret = await self._rotations.get_secret(name)
        if secret is None or 0 < secret.rotation_due <= self._world.now():
            return False
        policy = (await load_effective_policy(self._rotations, secret)).policy
        if policy is None or not policy.enabled or not policy.max_reads:
            return False
        counts = await self._reads.get(secret.id)
        latest = await self._rotations.get_latest(secret.id)
        if latest is not None and not machine.is_over(latest):
            return False  # its end looks at the counts
        return counts is not None and is_read_out(counts.value_reads, latest, policy)


def _make_due(tx: RotationTx, *, names: Sequence[str], now: int) -> None:
    for name in names:
        secret = tx.get_secret(ResourcePath.parse_secret(name))
        if secret is None:
            continue
        scheduled = schedule(tx, secret, now)
        if scheduled.rotation_due != NEVER:
            tx.put_secret(scheduled)
