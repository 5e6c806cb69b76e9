"""Steps 3 to 6 of writes that another process of the agent has decided on, many at a time.

They are the pipeline's own steps over its own `Trail`. But each is done once for all that came
together: the log's writer is asked twice and the store's once, whatever their number.

    worker: steps 1, 2 → `Decided` → `Mutations`: does it still hold? → `Executor`: 3, 4 → 5 → told
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from itertools import islice
from typing import ClassVar, Final, NamedTuple, Self, TypeAlias, cast

import trio
from msgspec import Struct
from msgspec.structs import replace

from actors import (
    ActorError,
    BatchActor,
    Child,
    Failure,
    Overflow,
    Supervisor,
    World,
    supervise,
)
from vault.audit.broker import Broker, disk_full
from vault.audit.draft import Draft
from vault.authz.access import Decision
from vault.barrier import MISSING, SECRETS, Barrier, VaultTx
from vault.errors import UnavailableError, VaultError
from vault.handlers.handler import Call, Handler
from vault.handlers.secrets import Secrets
from vault.handlers.sight import facts_of
from vault.metrics import Metrics
from vault.model.identity import Identity
from vault.model.operation import NO_FACTS, Facts, Operation, Origin
from vault.model.path import ResourcePath
from vault.model.payloads import WriteSecret
from vault.model.results import Written
from vault.trail import Trail, unrecorded

WRITE: Final = "secret.write"
"""The one operation that is done so: it is what comes by the thousand."""

SECONDS: Final = 150.0
"""Until a list has had steps 3 and 4: two turns of the executor, each of the log's 10 s, the
store's 30 s, and as many again where uses of the key have to be reserved first."""
MOST_WAITING: Final = 256  # lists; a worker has few under way

Change: TypeAlias = Callable[[VaultTx], Written]
Result: TypeAlias = Written | Failure  # of step 4
End: TypeAlias = Written | VaultError  # what is told in step 6


class Decided(Struct, frozen=True, array_like=True):
    """A write after steps 1 and 2, with the record of its intent as it is to be logged."""

    request_id: str
    path: str
    payload: WriteSecret
    origin: Origin
    identity: Identity
    decision: Decision
    capability: str
    facts: Facts
    decisive: bool
    time: int  # of the intent, Unix ns
    intent: bytes

    @classmethod
    def of(cls, trail: Trail, call: Call, intent: Draft) -> Self:
        """What has become of an operation so far."""
        op = call.op
        return cls(
            request_id=op.request_id,
            path=str(op.path),
            payload=call.payload,
            origin=replace(op.origin, peer_certificate=None),  # steps 1 and 2 had it
            identity=replace(call.identity, policies=(), permissions=()),  # the same
            decision=trail.decision,
            capability=trail.capability,
            facts=call.facts,
            decisive=call.decisive,
            time=intent.time,
            intent=intent.body,
        )

    def resumed(self, handler: Handler) -> "Run":
        """The operation where it was left. Raises `ValidationError` when its path is none."""
        op = Operation(
            name=WRITE,
            path=ResourcePath.parse(self.path),
            payload=self.payload,
            request_id=self.request_id,
            credential=None,
            origin=self.origin,
        )
        trail = Trail(op, handler)
        trail.identity, trail.decision = self.identity, self.decision
        trail.capability, trail.decisive = self.capability, self.decisive
        call = Call(op, self.identity, self.facts, self.decisive)
        return Run(trail, call, Draft(self.time, "event", self.intent))

    def holds(self, facts: Facts) -> bool:
        """Whether what it was decided on is so: a worker may have looked a while ago."""
        return self.facts == facts if self.decisive else self.facts.exists == facts.exists


class Run(NamedTuple):
    """One write on its way through steps 3 to 6."""

    trail: Trail
    call: Call
    intent: Draft


class Runs:
    """Writes that came together. Once `begun`, they may be done."""

    __slots__ = ("begun", "runs")

    def __init__(self, runs: list[Run]) -> None:
        self.runs = runs
        self.begun = False


class Executor(BatchActor[Runs]):
    """Steps 3 and 4 of what came while others were under way.

    One batch after the other: the end of one and the intents of the next are asked of the log in
    the same moment, and are one batch there.
    """

    max_batch: ClassVar[int] = 4  # messages; a worker's has up to 64 writes

    def __init__(self, writing: Callable[[Call], Change], audit: Broker, barrier: Barrier) -> None:
        self._writing = writing
        self._audit = audit
        self._barrier = barrier

    async def receive_batch(self, batch: Sequence[Runs]) -> Sequence[list[Result]]:
        """The results of each, in order."""
        for message in batch:
            message.begun = True
        runs = [run for message in batch for run in message.runs]
        refused = await self._begin([run.intent for run in runs])
        if refused is None:
            results = await self._handle([run.call for run in runs])
        else:
            results = [Failure(refused)] * len(runs)
        rest = iter(results)
        return [list(islice(rest, len(message.runs))) for message in batch]

    async def _begin(self, intents: list[Draft]) -> VaultError | None:
        """Step 3; returns why nothing may be begun."""
        if self._audit.is_on_reserve():
            return disk_full()
        try:
            await self._audit.record_together(intents)
        except VaultError as error:
            return error
        return None

    async def _handle(self, calls: list[Call]) -> Sequence[Result]:
        """Step 4."""
        changes = [partial(self._change, call) for call in calls]
        try:
            return await self._barrier.commit_together(changes, seals=len(changes))
        except Exception as error:  # noqa: BLE001  # as in the pipeline: recorded, then told
            return [Failure(error)] * len(calls)

    def _change(self, call: Call, tx: VaultTx) -> Written:
        return self._writing(call)(tx)  # here, so that a payload that is refused fails alone


class Mutations:
    """Carries out what was decided. Made by `mutating`."""

    def __init__(
        self,
        secrets: Secrets,
        tree: Supervisor,
        audit: Broker,
        metrics: Metrics,
        follow: Callable[[], Awaitable[None]],
    ) -> None:
        """`tree` has an `Executor` of this name; `follow` is `vault.pipeline.Following`'s."""
        self._follow = follow
        self._handler = secrets.handlers()[WRITE]
        self._barrier = secrets.barrier
        self._executor = tree.ref("executor")
        self._audit = audit
        self._metrics = metrics

    async def carry_out(self, decided: Sequence[Decided]) -> list[End | None]:
        """What is told of each, in order; all that was begun is on record by then.

        None: it was not begun, since what it was decided on is not so any more, or since too many
        are. What is begun is done whole, whoever leaves meanwhile, and in bounded time.
        """
        ends: list[End | None] = [None] * len(decided)
        try:
            await self._follow()  # mounts, as for any request
        except VaultError:
            return ends
        await self._load(decided)
        places = [place for place, one in enumerate(decided) if await self._holds(one)]
        if places:
            done = await self._done([decided[place].resumed(self._handler) for place in places])
            for place, end in zip(places, done, strict=True):
                ends[place] = end
        return ends

    async def _load(self, decided: Sequence[Decided]) -> None:
        """Have the rows in the cache that are not: together, not one after the other."""
        lacking = [one for one in decided if self._barrier.cached(SECRETS, one.path) is MISSING]
        if lacking:
            async with trio.open_nursery() as nursery:
                for one in lacking:
                    nursery.start_soon(self._holds, one)

    async def _holds(self, one: Decided) -> bool:
        try:
            secret = await self._barrier.get(SECRETS, one.path)
        except VaultError:
            return False  # whoever does the request whole will be told, and it is recorded
        return one.holds(NO_FACTS if secret is None else facts_of(secret))

    async def _done(self, runs: list[Run]) -> Sequence[End | None]:
        with trio.CancelScope(shield=True):
            results = await self._executed(Runs(runs))
            if results is None:
                return [None] * len(runs)
            ends = await self._end([run.trail for run in runs], results)
        for end in ends:
            self._metrics.operation(WRITE, end.type if isinstance(end, VaultError) else "ok")
        return ends

    async def _executed(self, runs: Runs) -> Sequence[Result] | None:
        """Steps 3 and 4. None when nothing was begun."""
        try:
            return cast("list[Result]", await self._executor.ask(runs, SECONDS))
        except ActorError:
            if not runs.begun:
                return None
            text = "the write was cut off; look before you repeat it"
            error = UnavailableError("write_cut_off", text, outcome="unknown")
        return [Failure(error)] * len(runs.runs)

    async def _end(self, trails: list[Trail], results: Sequence[Result]) -> list[End]:
        """Step 5; returns what is told in step 6."""
        ends: list[End] = []
        drafts: list[Draft] = []
        for trail, result in zip(trails, results, strict=True):
            end, draft = self._outcome(trail, result)
            ends.append(end)
            drafts += draft
        try:
            await self._audit.record_together(drafts)
        except VaultError as refused:
            return [_unrecorded(*one, refused) for one in zip(trails, ends, strict=True)]
        return ends

    def _outcome(self, trail: Trail, result: Result) -> tuple[End, list[Draft]]:
        """What is told, and its record."""
        if isinstance(result, Failure):
            told = trail.told(result.error)
            return told, [self._audit.draft(trail.failed(told))]
        trail.done = True
        try:
            return result, [self._audit.draft(trail.succeeded(result))]
        except Exception as error:  # noqa: BLE001  # as in the pipeline
            return trail.told(error), []


@asynccontextmanager
async def mutating(
    secrets: Secrets,
    audit: Broker,
    metrics: Metrics,
    world: World,
    follow: Callable[[], Awaitable[None]],
) -> AsyncIterator[Mutations]:
    """For the length of the block, which ends once what is under way has ended.

    `follow` makes current what is held in another form than rows, before anything is looked at.
    """
    child = Child(
        "executor",
        partial(Executor, secrets.writing, audit, secrets.barrier),
        mailbox=MOST_WAITING,
        overflow=Overflow.REFUSE,
        stop_grace=SECONDS,
    )
    async with supervise("writes", [child], world=world) as tree:
        yield Mutations(secrets, tree, audit, metrics, follow)


def _unrecorded(trail: Trail, end: End, refused: VaultError) -> VaultError:
    """What is told when the log takes no outcome."""
    if trail.done or not isinstance(end, VaultError):
        return trail.told(refused)
    return unrecorded(end, refused)
