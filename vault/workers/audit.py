"""The worker's side of auditing: drafts go to the leader, who numbers, chains and writes them.

Whatever has queued up goes in one frame, and the next follows when that is answered: group commit
over all processes, and one order.
"""

from collections.abc import Sequence
from typing import ClassVar, Final

from actors import ActorError, BatchActor, Failure, Ref, World
from vault.audit.broker import begins_work, disk_full
from vault.audit.draft import draft_event
from vault.audit.hashing import ValueHasher
from vault.audit.record import AuditEvent
from vault.audit.writer import AuditConfig, unavailable
from vault.errors import VaultError
from vault.workers.wire import Drafted, Lane, Recorded

_CONFIG: Final = AuditConfig()


class AuditLane(BatchActor[Drafted]):
    """Sends drafts and waits until they are durable. Only this actor uses its lane."""

    max_batch: ClassVar[int] = 256

    def __init__(self, lane: Lane[Recorded]) -> None:
        self._lane = lane

    async def receive_batch(self, batch: Sequence[Drafted]) -> Sequence[object]:
        """None for each draft that is durable, or `UnavailableError`."""
        await self._lane.send(list(batch))
        answer = await self._lane.receive()
        if answer.error:
            results: list[object] = [Failure(unavailable(answer.error)) for _ in batch]
        else:
            results = [None] * len(batch)
        for place in answer.refused:
            results[place] = Failure(disk_full())
        return results


class RemoteAudit:
    """`vault.pipeline.Recorder` over the lane, while the vault is open."""

    def __init__(self, lane: Ref[Drafted], hasher: ValueHasher, world: World) -> None:
        self._lane = lane
        self._hasher = hasher
        self._world = world

    async def record(self, event: AuditEvent) -> None:
        """As `vault.audit.broker.Broker.record`."""
        draft = draft_event(event, self._world.now(), self._hasher)
        begins = begins_work(event, _CONFIG.essential)
        try:
            await self._lane.ask(Drafted(draft.time, draft.body, begins), _CONFIG.deadline)
        except VaultError:
            raise
        except ActorError as error:
            raise unavailable("the audit writer does not answer") from error
        except Exception as error:
            raise unavailable("the audit writer failed") from error
