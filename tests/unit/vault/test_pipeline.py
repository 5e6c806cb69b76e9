"""Tests of the one way through: the six steps, their order, and what the caller hears."""

import dataclasses
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing
from msgspec.structs import replace

from actors.testing import FakeWorld
from protocols.instant import SECOND
from vault.audit.record import AuditEvent
from vault.authn.roles import load_service_identity
from vault.authz.access import AccessRequest, Decision
from vault.authz.rate_limits import RateLimiter, TokenBuckets
from vault.authz.record_limits import FailureLimits, RecordLimits, TooManyFailuresError
from vault.errors import (
    AuthenticationError,
    AuthorizationError,
    InternalError,
    NotFoundError,
    RateLimitError,
    TamperedError,
    UnavailableError,
    ValidationError,
    VaultError,
)
from vault.handlers.handler import Call, Handler, create_or_update
from vault.handlers.stores import SecretStore
from vault.handlers.visibility import load_stored_facts
from vault.model.identity import Identity, Method, service_identity
from vault.model.operation import (
    Capability,
    Operation,
    OperationType,
    Origin,
    SecretFacts,
    ServedState,
)
from vault.model.path import ResourcePath
from vault.model.payloads import Nothing
from vault.model.records import SecretRow
from vault.pipeline import (
    SEAL_RECORD_TIMEOUT,
    STALE_READ,
    Pipeline,
    PipelineParts,
    Snapshot,
    SnapshotRefresher,
    StaleReads,
)
from vault.store.memory_only import is_memory_only, use_memory_only

ANN = Identity(id="u1", name="ann", method=Method.TOKEN, policies=("p",), credential="acc1")
REFUSED = UnavailableError("audit_unavailable", "no audit sink accepts records")
SECRET = SecretRow(
    name="s/a", id="i", created_at=1, updated_at=1, created_by="x", tags=["old"],
    metadata={"env": "prod"},
)  # fmt: skip


@dataclass
class Parts:
    """Fakes of every step; each writes into one diary what was asked of it, in order."""

    diary: list[str] = field(default_factory=list)
    events: list[AuditEvent] = field(default_factory=list)
    accesses: list[AccessRequest] = field(default_factory=list)
    counts: list[tuple[str, str]] = field(default_factory=list)
    who: Identity | VaultError = ANN
    limit: VaultError | None = None
    failures: FailureLimits | None = None
    refusals: RecordLimits | None = None
    self_service: RateLimiter | None = None
    decide_: Callable[[AccessRequest], Decision] = lambda _: Decision(
        allowed=True, rule="p/rules[0]"
    )
    facts_needed: bool = False
    ready: bool = True
    row: SecretRow | None = None
    refuse: Callable[[AuditEvent], bool] = lambda _: False
    log_hangs: bool = False
    ended: int = 0  # transactions that are over
    away: VaultError | None = None  # why nothing is known of what others committed
    commits: int = 7
    stale: StaleReads | None = None
    world: FakeWorld = field(default_factory=FakeWorld)

    # Authenticator, rate limits, authorizer, barrier, broker and metrics, as far as they are asked.

    async def authenticate(self, credential: str | None, _origin: Origin) -> Identity:
        """Step 1."""
        await trio.lowlevel.checkpoint()
        self.diary.append(f"authenticate {credential}")
        if isinstance(self.who, VaultError):
            raise self.who
        return self.who

    def acquire(self, key: str) -> None:
        """The limits."""
        self.diary.append(f"limit {key}")
        if self.limit is not None:
            raise self.limit

    def is_ready(self, _identity: Identity) -> bool:
        """Whether nothing large has to be compiled for him."""
        return self.ready

    async def prepare(self, _identity: Identity) -> None:
        """Compile it."""
        await trio.lowlevel.checkpoint()
        self.diary.append("prepare")

    def needs_facts(self, _identity: Identity) -> bool:
        """Whether conditions ask for tags or metadata."""
        return self.facts_needed

    def decide(self, access: AccessRequest) -> Decision:
        """Step 2."""
        self.diary.append(f"decide {access.capability}")
        self.accesses.append(access)
        return self.decide_(access)

    def has_row(self, _table: object, _name: str) -> None:
        """The barrier's: only a query can say."""

    async def get(self, _table: object, name: str) -> SecretRow | None:
        """The barrier's."""
        self.diary.append(f"facts {name}")
        return self.row

    async def record(self, event: AuditEvent) -> None:
        """Steps 3 and 5."""
        await trio.lowlevel.checkpoint()
        self.diary.append(f"{event.phase} {event.result}")
        if self.log_hangs:
            await trio.sleep_forever()
        if self.refuse(event):
            raise REFUSED
        self.events.append(event)

    async def catch_up(self) -> None:
        """See what others committed."""
        await trio.lowlevel.checkpoint()
        if self.away is not None:
            raise self.away

    def count_operation(self, name: str, status: str) -> None:
        """The metrics'."""
        self.counts.append((name, status))

    def pipeline(self, *, held: Sequence[Snapshot] = (), **handlers: Handler) -> Pipeline:
        """Over these handlers."""
        everything: Any = self
        return Pipeline(PipelineParts(
            authenticator=everything, authorizer=everything, limits=everything, audit=everything,
            inline_logins=everything,
            load_facts=partial(load_stored_facts, SecretStore(everything)), handlers=handlers,
            load_service_identity=partial(load_service_identity, everything),
            metrics=everything, world=self.world, failures=self.failures, refusals=self.refusals,
            self_service=self.self_service,
            snapshots=SnapshotRefresher(held, lambda: self.ended), catch_up=self.catch_up,
            commits=lambda: self.commits, stale_reads=self.stale,
        ))  # fmt: skip


@pytest.fixture
def parts() -> Parts:
    """Everything allowed, nothing stored."""
    return Parts()


def op(payload: object = None, **more: Any) -> Operation:
    """An operation on `s/a`."""
    fields: dict[str, Any] = {
        "type": OperationType("op"), "path": ResourcePath.parse("s/a"),
        "payload": payload or Nothing(), "request_id": "r1", "credential": "s.text",
        "origin": Origin(ip="10.0.0.1"),
    }  # fmt: skip
    return Operation(**(fields | more))


def handler(parts: Parts, answer: object = "done", **declared: Any) -> Handler:
    """One that writes into the diary and answers, or raises, this."""

    async def run(_call: Call) -> object:
        await trio.lowlevel.checkpoint()
        parts.diary.append("handle")
        if isinstance(answer, BaseException):
            raise answer
        return answer

    return Handler(OperationType("op"), run=run, **({"capability": Capability.READ} | declared))


async def test_a_read(parts: Parts) -> None:
    """One record, durable before the value is there for the caller."""
    assert await parts.pipeline(op=handler(parts)).run_operation(op()) == "done"
    assert parts.diary == ["authenticate s.text", "limit u1", "decide read", "handle", "outcome ok"]
    assert parts.counts == [("op", "ok")]


async def test_which_commit_an_answer_has(parts: Parts) -> None:
    """A read has what was seen before it, a write what it committed itself."""

    async def commit(_call: Call) -> None:
        await trio.lowlevel.checkpoint()
        parts.commits += 1

    for mutates, commits in ((False, 7), (True, 9)):
        served = ServedState()
        change = dataclasses.replace(handler(parts, mutates=mutates), run=commit)
        await parts.pipeline(op=change).run_operation(op(served=served))
        assert (served.commits, served.as_of) == (commits, 0)


async def test_the_oldest_state_of_several_is_reported() -> None:
    """A request may be many operations."""
    served = ServedState()
    for commits, as_of in ((7, 0), (6, 20), (8, 10), (9, 0)):
        served.add_read(commits, as_of)
    assert (served.commits, served.as_of) == (6, 10)


AWAY = UnavailableError("store_unavailable", "the database does not answer")


async def test_a_stale_read(parts: Parts) -> None:
    """It is flagged, to the caller and on record; nothing in it may ask the database."""
    parts.away, parts.stale = AWAY, StaleReads(30 * SECOND, lambda: 20 * SECOND, use_memory_only)
    served, seen = ServedState(), []

    async def run(_call: Call) -> str:
        await trio.lowlevel.checkpoint()
        seen.append(is_memory_only())
        return "value"

    read = dataclasses.replace(handler(parts, may_be_stale=True), run=run)
    assert await parts.pipeline(op=read).run_operation(op(served=served)) == "value"
    assert (served.commits, served.as_of) == (7, parts.world.now() - 20 * SECOND)
    assert [(event.result, event.code) for event in parts.events] == [("ok", STALE_READ)]
    assert (seen, is_memory_only()) == ([True], False)


@pytest.mark.parametrize(
    "case",
    [
        {"stale": None},
        {"stale": StaleReads(30 * SECOND, lambda: 30 * SECOND + 1, use_memory_only)},
        {"away": UnavailableError("store_corrupt", "its pages are damaged")},
        {"away": UnavailableError("store_behind", "commits are missing")},
        {"away": TamperedError("feed_damaged", "an entry is missing")},
        {"handler": {"mutates": True}},
        {"handler": {"may_be_stale": False}},
        {"served": None},
        {"served": ServedState(required=8)},
    ],
    ids=lambda case: str(case)[:40],
)
async def test_what_is_no_stale_read(parts: Parts, case: dict[str, Any]) -> None:
    """Off, too old, another fault, a change, a caller who has seen more or could not be told."""
    parts.away = case.get("away", AWAY)
    parts.stale = case.get("stale", StaleReads(30 * SECOND, lambda: 20 * SECOND, use_memory_only))
    read = handler(parts, **({"may_be_stale": True} | case.get("handler", {})))
    if read.mutates:
        read = dataclasses.replace(read, may_be_stale=False)
    with pytest.raises(VaultError) as refused:
        await parts.pipeline(op=read).run_operation(op(served=case.get("served", ServedState())))
    assert refused.value.code == parts.away.code
    assert "handle" not in parts.diary


async def test_a_stale_read_that_takes_too_long(parts: Parts) -> None:
    """The bound is of the answer, not of the question."""
    ages = iter([20 * SECOND, 31 * SECOND])
    parts.away, parts.stale = AWAY, StaleReads(30 * SECOND, lambda: next(ages), use_memory_only)
    pipeline = parts.pipeline(op=handler(parts, may_be_stale=True))
    with pytest.raises(UnavailableError):
        await pipeline.run_operation(op(served=ServedState()))
    assert [event.result for event in parts.events] == []


async def test_who_is_not_known_is_refused_by_a_stale_read(parts: Parts) -> None:
    """As ever."""
    parts.away, parts.stale = AWAY, StaleReads(30 * SECOND, int, use_memory_only)
    parts.who = AuthenticationError("unauthenticated", "permission denied")
    with pytest.raises(AuthenticationError):
        await parts.pipeline(op=handler(parts, may_be_stale=True)).run_operation(
            op(served=ServedState())
        )
    assert [event.result for event in parts.events] == ["denied"]


async def test_large_policies_are_compiled_before_they_decide(parts: Parts) -> None:
    """Elsewhere, and not in the decision, for which nobody else gets a turn."""
    parts.ready = False
    await parts.pipeline(op=handler(parts)).run_operation(op())
    assert parts.diary[1:4] == ["limit u1", "prepare", "decide read"]


async def test_a_mutation(parts: Parts) -> None:
    """Two records: what is going to be done, before anything changes, and that it was."""
    await parts.pipeline(op=handler(parts, mutates=True)).run_operation(op())
    assert parts.diary[2:] == ["decide read", "intent ok", "handle", "outcome ok"]


async def test_what_the_records_say(parts: Parts) -> None:
    """Who, what, where, whence, by which rule; the request once, at the first of the records."""
    views = {
        "audit_request": lambda _: {"asked": 1},
        "audit_response": lambda answer: {"got": answer},
    }
    await parts.pipeline(op=handler(parts, mutates=True, **views)).run_operation(op())
    await parts.pipeline(op=handler(parts, **views)).run_operation(op())
    intent, outcome, read = parts.events
    assert (intent.request, intent.response) == ({"asked": 1}, None)
    assert (outcome.request, outcome.response) == (None, {"got": "done"})
    assert (read.request, read.response) == ({"asked": 1}, {"got": "done"})
    for event in parts.events:
        assert (event.request_id, event.operation, event.path) == ("r1", "op", "s/a")
        assert (event.actor_id, event.actor_name, event.credential) == ("u1", "ann", "acc1")
        assert (event.capability, event.rule, event.ip) == ("read", "p/rules[0]", "10.0.0.1")
    assert "s.text" not in str(parts.events)


async def test_without_a_view_the_payload_is_recorded_and_no_result(parts: Parts) -> None:
    """A result is not recorded unless somebody has said what of it."""
    payload = Nothing()
    await parts.pipeline(op=handler(parts, "the value")).run_operation(op(payload))
    assert parts.events[0].request is payload
    assert parts.events[0].response is None


async def test_nobody_unknown(parts: Parts) -> None:
    """No identity: no decision and no handler, and the refusal is on record."""
    parts.who = AuthenticationError("unauthenticated", "permission denied")
    with pytest.raises(AuthenticationError):
        await parts.pipeline(op=handler(parts)).run_operation(op())
    assert parts.diary == ["authenticate s.text", "outcome denied"]
    assert (parts.events[0].code, parts.events[0].actor_id) == ("unauthenticated", "anonymous")
    assert parts.counts == [("op", "authentication")]


async def test_too_many_requests(parts: Parts) -> None:
    """Limited by who asks, before anything is looked up."""
    parts.limit = RateLimitError("rate_limited", "wait", retry_after=1)
    with pytest.raises(RateLimitError):
        await parts.pipeline(op=handler(parts)).run_operation(op())
    assert parts.diary == ["authenticate s.text", "limit u1", "outcome denied"]


@pytest.mark.parametrize("mutates", [False, True])
async def test_nothing_without_a_yes(parts: Parts, *, mutates: bool) -> None:
    """A denial: no intent, no handler; the record names the rule and what was wanted."""
    parts.decide_ = lambda _: Decision(allowed=False, rule="p/rules[3]", reason="deny_rule")
    with pytest.raises(AuthorizationError) as caught:
        await parts.pipeline(op=handler(parts, mutates=mutates)).run_operation(op())
    assert parts.diary[2:] == ["decide read", "outcome denied"]
    event = parts.events[0]
    assert (event.code, event.rule, event.capability) == ("permission_denied", "p/rules[3]", "read")
    assert caught.value.message == (
        "permission denied: read on s/a is not allowed; ask for a policy that allows it "
        "(`freehold policy check` says what is missing)"
    )
    assert caught.value.details == {"capability": "read", "path": "s/a"}


@pytest.mark.parametrize("row", [None, SECRET])
async def test_a_denied_upsert_does_not_tell_whether_the_secret_is_there(
    parts: Parts, row: SecretRow | None
) -> None:
    """Its record names what was wanted; the caller hears of both capabilities."""
    parts.decide_, parts.row = (lambda _: Decision(allowed=False)), row

    async def run(_: Call) -> str:
        raise AssertionError

    upsert = Handler(OperationType("op"), run=run, capability=create_or_update, targets_secret=True)
    with pytest.raises(AuthorizationError) as caught:
        await parts.pipeline(op=upsert).run_operation(op())
    assert "permission denied: create or update on s/a is not allowed;" in caught.value.message
    assert caught.value.details == {"capability": "create or update", "path": "s/a"}
    assert parts.events[0].capability == ("create" if row is None else "update")


async def test_no_capability_is_open_to_every_caller(parts: Parts) -> None:
    """To every authenticated one: the handler itself limits what he sees."""
    assert await parts.pipeline(op=handler(parts, capability=None)).run_operation(op()) == "done"
    assert "decide" not in "".join(parts.diary)
    assert parts.diary[0] == "authenticate s.text"


async def test_an_operation_nobody_has_heard_of(parts: Parts) -> None:
    """Is the program's fault, and runs nothing."""
    with pytest.raises(KeyError):
        await parts.pipeline().run_operation(op())
    assert parts.diary == []


@pytest.mark.parametrize(("row", "wanted"), [(None, "create"), (SECRET, "update")])
async def test_an_upsert_asks_what_it_is(parts: Parts, row: SecretRow | None, wanted: str) -> None:
    """`create` where nothing is, `update` where something is, and the handler knows which."""
    parts.row = row
    seen: list[SecretFacts] = []

    async def run(call: Call) -> None:
        seen.append(call.facts)

    upsert = Handler(OperationType("op"), run=run, capability=create_or_update, targets_secret=True)
    await parts.pipeline(op=upsert).run_operation(op())
    assert parts.accesses[0].capability == wanted
    assert seen[0].exists == (row is not None)


@pytest.mark.parametrize("needed", [False, True])
async def test_facts_are_looked_up_when_a_policy_asks(parts: Parts, *, needed: bool) -> None:
    """The hot path spares the look-up; a condition on tags gets them, and the handler knows."""
    parts.row, parts.facts_needed = SECRET, needed
    seen: list[bool] = []

    async def run(call: Call) -> None:
        seen.append(call.needs_facts)

    read = Handler(OperationType("op"), run=run, capability=Capability.READ, targets_secret=True)
    await parts.pipeline(op=read).run_operation(op())
    assert ("facts s/a" in parts.diary) == needed
    assert parts.accesses[0].facts.tags == (frozenset({"old"}) if needed else frozenset())
    assert seen == [needed]


async def test_new_facts_are_decided_on_too(parts: Parts) -> None:
    """Whoever may write tags cannot tag a thing out of the rule that protects it."""
    parts.row, parts.facts_needed = SECRET, True
    parts.decide_ = lambda access: Decision(allowed="new" not in access.facts.tags)
    proposing = handler(
        parts,
        targets_secret=True,
        mutates=True,
        proposed_facts=lambda _, facts: SecretFacts(exists=facts.exists, tags=frozenset({"new"})),
    )
    with pytest.raises(AuthorizationError):
        await parts.pipeline(op=proposing).run_operation(op())
    assert [access.facts.tags for access in parts.accesses] == [{"old"}, {"new"}]
    assert "handle" not in parts.diary


async def test_no_intent_no_change(parts: Parts) -> None:
    """Where the intent cannot be recorded the handler does not run."""
    parts.refuse = lambda _: True
    with pytest.raises(UnavailableError, match="audit_unavailable"):
        await parts.pipeline(op=handler(parts, mutates=True)).run_operation(op())
    assert "handle" not in parts.diary


async def test_no_record_no_value(parts: Parts) -> None:
    """Where the outcome of a read cannot be recorded the caller gets 503 and nothing else.

    It is counted as what the caller was told.
    """
    parts.refuse = lambda _: True
    with pytest.raises(UnavailableError, match="audit_unavailable") as caught:
        await parts.pipeline(op=handler(parts, "the value")).run_operation(op())
    assert "the value" not in repr(caught.value.__dict__)
    assert [status for _, status in parts.counts] == ["unavailable"]


async def test_a_refusal_that_cannot_be_recorded(parts: Parts) -> None:
    """Is no longer the refusal that it was: the caller hears that nothing is served."""
    parts.who, parts.refuse = AuthenticationError("unauthenticated", "no"), lambda _: True
    with pytest.raises(UnavailableError, match="audit_unavailable"):
        await parts.pipeline(op=handler(parts)).run_operation(op())


@pytest.mark.parametrize("mutates", [False, True])
async def test_what_fails_is_on_record(parts: Parts, *, mutates: bool) -> None:
    """With its code; the caller hears the handler's own error."""
    error = NotFoundError("secret_not_found", "there is no secret of this name")
    with pytest.raises(NotFoundError) as caught:
        await parts.pipeline(op=handler(parts, error, mutates=mutates)).run_operation(op())
    assert caught.value is error
    assert (parts.events[-1].result, parts.events[-1].code) == ("failed", "secret_not_found")
    assert parts.counts == [("op", "not_found")]


@pytest.mark.parametrize(
    "error",
    [ValueError("canary-7"), ExceptionGroup("canary-8", [KeyError("canary-9")])],
)
async def test_a_fault_of_ours_says_nothing_of_itself(
    parts: Parts, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """Caller, record and log get a type and a request id; the text could hold a secret."""
    caplog.set_level(logging.DEBUG)
    with pytest.raises(InternalError) as caught:
        await parts.pipeline(op=handler(parts, error)).run_operation(op())
    told = f"{caught.value} {caught.value.details} {parts.events} {caplog.text}"
    assert "canary" not in told
    assert "r1" in caught.value.message
    assert "r1" in caplog.text
    assert type(error).__name__ in caplog.text or "KeyError" in caplog.text
    assert parts.events[-1].code == "internal"
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


async def test_a_caller_who_leaves_does_not_cut_a_mutation(parts: Parts) -> None:
    """It is done and recorded whole; a read is given up without a record or a value."""
    for mutates, done in ((True, ["intent ok", "handle", "outcome ok"]), (False, [])):
        parts.diary.clear()
        with trio.CancelScope() as scope:
            pipeline = parts.pipeline(op=_leaving(scope, parts, mutates=mutates))
            await pipeline.run_operation(op())
        assert scope.cancelled_caught == (not mutates)
        assert [entry for entry in parts.diary if entry in done] == done
        assert mutates or "outcome ok" not in parts.diary


def _leaving(scope: trio.CancelScope, parts: Parts, *, mutates: bool) -> Handler:
    """The caller leaves while it runs."""

    async def run(_call: Call) -> str:
        scope.cancel()
        await trio.lowlevel.checkpoint()
        parts.diary.append("handle")
        return "done"

    return Handler(OperationType("op"), run=run, capability=Capability.READ, mutates=mutates)


async def test_the_refusal_of_a_caller_who_left_is_recorded(parts: Parts) -> None:
    """Hanging up does not hide an attempt."""
    with trio.CancelScope() as scope:

        def decide(_: AccessRequest) -> Decision:
            scope.cancel()
            return Decision(allowed=False)

        parts.decide_ = decide
        with pytest.raises(AuthorizationError):
            await parts.pipeline(op=handler(parts)).run_operation(op())
    assert parts.events[0].code == "permission_denied"


async def test_background_work_is_a_caller_too(parts: Parts) -> None:
    """It needs no credential, is decided on, and is recorded under its own name."""
    await parts.pipeline(op=handler(parts)).run_operation(
        op(credential=None, service="key-rotation")
    )
    assert parts.diary == ["limit service:key-rotation", "decide read", "handle", "outcome ok"]
    assert parts.events[0].actor_name == "service:key-rotation"
    assert parts.accesses[0].identity == service_identity("key-rotation")
    assert service_identity("x").method is Method.SERVICE


async def test_who_comes_with_shares_is_nobody_and_is_paced(parts: Parts) -> None:
    """No credential counts, not even a good one; each try is on record, at the pace of failures."""
    parts.failures = FailureLimits(TokenBuckets(1, 1), TokenBuckets(10, 10), lambda: 0)
    pipeline = parts.pipeline(
        op=handler(parts, mutates=True, capability=None, authorized_by_shares=True)
    )
    assert await pipeline.run_operation(op()) == "done"
    assert parts.diary == ["limit service:operator", "intent ok", "handle", "outcome ok"]
    assert {event.actor_id for event in parts.events} == {"service:operator"}
    assert {event.method for event in parts.events} == {"anonymous"}
    with pytest.raises(TooManyFailuresError):
        await pipeline.run_operation(op())
    assert len(parts.events) == 2


async def test_failures_beyond_the_pace_leave_no_record(parts: Parts) -> None:
    """The first is refused and recorded, the next is told to wait; who is known is not asked."""
    parts.failures = FailureLimits(TokenBuckets(1, 1), TokenBuckets(10, 10), lambda: 0)
    pipeline = parts.pipeline(op=handler(parts))
    parts.who = AuthenticationError("unauthenticated", "permission denied")
    with pytest.raises(AuthenticationError):
        await pipeline.run_operation(op())
    with pytest.raises(TooManyFailuresError):
        await pipeline.run_operation(op())
    assert [event.code for event in parts.events] == ["unauthenticated"]
    assert parts.counts == [("op", "authentication"), ("op", "rate_limit")]
    parts.who = ANN
    assert await pipeline.run_operation(op()) == "done"


async def test_refusals_beyond_the_pace_share_a_record(parts: Parts) -> None:
    """The caller hears the same; what is allowed has its own record, whatever comes of it."""

    async def gone(_: Call) -> object:
        raise NotFoundError("gone", "gone")

    parts.refusals = RecordLimits(TokenBuckets(1, 2), TokenBuckets(10, 20), lambda: 0)
    pipeline = parts.pipeline(
        op=handler(parts),
        absent=Handler(OperationType("op"), run=gone, capability=Capability.READ),
        odd=Handler(OperationType("op"), run=gone, capability=None, only_refuses=True),
    )
    parts.decide_ = lambda _: Decision(allowed=False)
    for _ in range(5):
        with pytest.raises(AuthorizationError):
            await pipeline.run_operation(op())
    parts.decide_ = lambda _: Decision(allowed=True)
    await pipeline.run_operation(op())
    for name in ("absent", "odd"):
        with pytest.raises(NotFoundError):
            await pipeline.run_operation(op(type=OperationType(name)))
    assert [event.code for event in parts.events] == ["permission_denied"] * 2 + ["", "gone"]
    refused = parts.refusals.drain()
    assert refused is not None
    assert (refused.count, refused.most) == (4, ANN.id)


async def test_what_anybody_may_do_has_a_pace(parts: Parts) -> None:
    """For all of a line; so has what shows nothing. Of those beyond it few have a record."""
    parts.self_service = RateLimiter(TokenBuckets(1, 2), lambda: 0)
    parts.refusals = RecordLimits(TokenBuckets(1, 1), TokenBuckets(10, 10), lambda: 0)
    pipeline = parts.pipeline(
        own=handler(parts, is_self_service=True),
        search=handler(parts, answer=[], discloses=bool),
        found=handler(parts, answer=[1], discloses=bool),
    )
    for name, line in (("own", "first"), ("search", "first")):
        parts.who = replace(ANN, id=name, line=line)
        await pipeline.run_operation(op(type=OperationType(name)))
    for name in ("own", "search", "own", "search"):
        parts.who = replace(ANN, id=f"another {name}", line="first")
        with pytest.raises(RateLimitError, match="rate_limited"):
            await pipeline.run_operation(op(type=OperationType(name)))
        assert await pipeline.run_operation(op(type=OperationType("found"))) == [1]
    assert [event.code for event in parts.events if event.code] == ["rate_limited"]
    refused = parts.refusals.drain()
    assert refused is not None
    assert (refused.count, refused.most) == (3, "first")
    parts.who = ANN
    assert await pipeline.run_operation(op(type=OperationType("own"))) == "done"


async def test_who_needs_no_credential_is_anonymous(parts: Parts) -> None:
    """At the pace of those who fail: what is on record says what was wrong."""
    parts.failures = FailureLimits(TokenBuckets(1, 1), TokenBuckets(10, 10), lambda: 0)

    async def refuse(_: Call) -> object:
        raise ValidationError("bad_host", "bad")

    pipeline = parts.pipeline(
        op=Handler(
            OperationType("op"), run=refuse, capability=None, only_refuses=True, anonymous=True
        )
    )
    with pytest.raises(ValidationError):
        await pipeline.run_operation(op())
    with pytest.raises(TooManyFailuresError):
        await pipeline.run_operation(op())
    (event,) = parts.events
    assert (event.actor_id, event.code, event.result) == ("anonymous", "bad_host", "failed")
    assert "authenticate s.text" not in parts.diary


def test_what_is_held_is_stale_if_any_of_it_is() -> None:
    """Whatever has ended meanwhile: a thread that cannot refresh it asks so."""

    class Thing:
        def __init__(self, *, is_stale: bool) -> None:
            self.is_stale = is_stale

        async def refresh(self) -> None:
            """Nobody does."""

    fresh, stale = Thing(is_stale=False), Thing(is_stale=True)
    assert SnapshotRefresher((fresh, stale), lambda: 1).is_stale
    assert not SnapshotRefresher((fresh, fresh), lambda: 1).is_stale


def closing(parts: Parts) -> Handler:
    """Of a seal."""
    return dataclasses.replace(
        handler(parts, mutates=True), before_intent=lambda: parts.diary.append("close")
    )


async def test_what_closes_does_so_before_its_intent_is_on_record(parts: Parts) -> None:
    """All else is as of any mutation."""
    assert await parts.pipeline(op=closing(parts)).run_operation(op()) == "done"
    steps = ("close", "intent ok", "outcome ok")
    assert [step for step in parts.diary if step in steps] == [*steps]


async def test_what_closes_is_still_refused(parts: Parts) -> None:
    """Who may not seal does not."""
    parts.decide_ = lambda _: Decision(allowed=False)
    with pytest.raises(AuthorizationError):
        await parts.pipeline(op=closing(parts)).run_operation(op())
    assert "close" not in parts.diary


@pytest.mark.parametrize("how", ["refuses", "hangs"])
async def test_what_closes_does_not_depend_on_the_log(
    how: str, parts: Parts, autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """It is done in a bounded time, and the caller is told that there is no record."""
    parts.refuse, parts.log_hangs = (lambda _: how == "refuses"), how == "hangs"
    begun = trio.current_time()
    with pytest.raises(UnavailableError, match="outcome_unrecorded") as told:
        await parts.pipeline(op=closing(parts)).run_operation(op())
    assert told.value.details["outcome"] == "done"
    assert "close" in parts.diary
    assert trio.current_time() - begun <= 2 * SEAL_RECORD_TIMEOUT
    assert "its intent is not on record" in caplog.text
