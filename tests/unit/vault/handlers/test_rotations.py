"""Rotations at a target that is a fake: what applications have works, whatever fails."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import pytest
import trio
from msgspec import Struct
from msgspec.structs import replace

from protocols.instant import DAY, HOUR, SECOND
from tests.unit.vault.handlers.conftest import NOW, House
from vault.authz.authorizer import Authorizer
from vault.errors import AuthorizationError, ConflictError, NotFoundError, ValidationError
from vault.handlers.adoption import MARGIN, StoredAdoption
from vault.handlers.consumer_recorder import ConsumerRecorder
from vault.handlers.rewrap import KeyRewrapper
from vault.handlers.rotation_steps import SETTLE, RotationSteps
from vault.handlers.rotations import RotationHandlers, rotation_reference
from vault.handlers.stores import ConsumerStore, KeyStore, RotationStore, RotationTx
from vault.model.identity import Identity, Method, service_identity
from vault.model.payloads import (
    BeginRotation,
    PlanRotations,
    ReadSecret,
    RefuseRotation,
    ScheduleSecrets,
    SecretVersions,
    StepRotation,
    WriteMetadata,
    WritePolicy,
    WriteRotationPolicy,
)
from vault.model.records import RotationRow
from vault.model.results import SecretRotation
from vault.model.rotation import (
    AdoptionState,
    AdoptionStatus,
    RetryPolicy,
    RotationCause,
    RotationPolicy,
)
from vault.rotation.rotator import (
    RotationContext,
    RotationError,
    RotatorKind,
    Rotators,
    Step,
    Value,
)
from vault.store.tables import ROTATIONS

PATH: Final = "secret/db/app"
ADMIN: Final = "secret/db/admin"
STEPS: Final = 12  # more than any rotation takes without a failure


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """Whether there are two users that take turns."""

    dual: bool = True


class Lost(BaseException):
    """The agent's process ends here."""


@dataclass
class Server:
    """The target: which passwords it takes, by user. What is planned next fails, or ends us."""

    users: dict[str, str] = field(default_factory=lambda: {"app_a": "first"})
    faults: dict[Step, list[Exception | Callable[[], object]]] = field(default_factory=dict)
    calls: list[Step] = field(default_factory=list)
    contexts: list[RotationContext] = field(default_factory=list)
    issued: list[str] = field(default_factory=list)
    ends_in_issue: bool = False

    def lets_in(self, value: Mapping[str, Any]) -> bool:
        """Whether an application with this value can log in."""
        return self.users.get(value["username"]) == value["password"]

    def meet(self, step: Step, context: RotationContext) -> None:
        """What the test has planned for this call."""
        self.calls.append(step)
        self.contexts.append(context)
        planned = self.faults.get(step)
        if planned:
            fault = planned.pop(0)
            if isinstance(fault, Exception):
                raise fault
            fault()


@dataclass
class FakeRotator:
    """Changes passwords at the server."""

    server: Server
    dual: bool

    def create(self, context: RotationContext, previous: Value) -> Value:
        """The other user, or the same one."""
        self.server.meet(Step.CREATE, context)
        other = "app_b" if self.dual and previous.get("username") == "app_a" else "app_a"
        return {"username": other, "password": context.random(8).hex()}

    def apply(self, context: RotationContext, value: Value) -> None:
        """Set it."""
        self.server.users[value["username"]] = value["password"]
        self.server.meet(Step.APPLY, context)  # behind it: it has happened when this fails

    def verify(self, context: RotationContext, value: Value) -> None:
        """Log in."""
        self.server.meet(Step.VERIFY, context)
        if not self.server.lets_in(value):
            raise RotationError("login_refused", "the target does not take the new password")

    def retire(self, context: RotationContext, value: Value) -> None:
        """Lock the user out."""
        if self.server.users.get(value["username"]) == value["password"]:
            del self.server.users[value["username"]]
        self.server.meet(Step.RETIRE, context)


@dataclass
class IssuingFake(FakeRotator):
    """The server makes the password: each call another one, under a new user name."""

    def create(self, context: RotationContext, _previous: Value) -> Value:
        """Who is there already."""
        self.server.meet(Step.CREATE, context)
        return {"there": " ".join(self.server.users)}

    def issue(self, _context: RotationContext, draft: Value, _previous: Value) -> Value:
        """A new user; one that a call before this one has made, and nobody knows, goes."""
        self.discard(_context, draft)
        name = f"user-{len(self.server.issued)}"
        self.server.issued.append(name)
        self.server.users[name] = f"password of {name}"
        if self.server.ends_in_issue:
            self.server.ends_in_issue = False
            raise Lost
        return {"username": name, "password": self.server.users[name]}

    def discard(self, _context: RotationContext, draft: Value) -> None:
        """Whoever was not there."""
        for name in set(self.server.users) - set(draft["there"].split()):
            del self.server.users[name]

    def apply(self, context: RotationContext, _value: Value) -> None:
        """It is there already."""
        self.server.meet(Step.APPLY, context)


@dataclass
class Applications:
    """Who has not fetched the new value yet; None: nobody knows. Or as it is `recorded`."""

    lagging: list[str] | None = None
    recorded: StoredAdoption | None = None

    async def status(self, row: RotationRow, window: int) -> AdoptionStatus:
        """As told."""
        if self.recorded is not None:
            return await self.recorded.status(row, window)
        await trio.lowlevel.checkpoint()
        if self.lagging is None:
            return AdoptionStatus(state=AdoptionState.UNKNOWN)
        state = AdoptionState.WAITING if self.lagging else AdoptionState.ADOPTED
        return AdoptionStatus(state=state, laggards=self.lagging)

    def status_in(self, tx: RotationTx, row: RotationRow, window: int) -> AdoptionStatus:
        """As told."""
        if self.recorded is not None:
            return self.recorded.status_in(tx, row, window)
        state = AdoptionState.WAITING if self.lagging else AdoptionState.ADOPTED
        return AdoptionStatus(state=state, laggards=self.lagging or [])


@dataclass
class Bench:
    """A house with a secret that is rotated at a server."""

    house: House
    server: Server
    applications: Applications

    async def set_policy(self, path: str = PATH, **more: Any) -> None:
        """A policy for the fake rotator."""
        fields = {"rotator": "fake", "retry": RetryPolicy(attempts=3, base=SECOND)} | more
        policy = RotationPolicy(**fields)
        await self.house.do("rotation.policy.write", path, WriteRotationPolicy(policy=policy))

    async def begin(self, cause: RotationCause = RotationCause.REQUEST) -> RotationRow | None:
        """Ask for a rotation."""
        row: RotationRow | None = await self.house.do(
            "rotation.begin", PATH, BeginRotation(cause=cause)
        )
        return row

    async def step(self, row: RotationRow, term: int = 0) -> RotationRow:
        """Its next step, once it is due."""
        self.house.world.time = max(self.house.world.time, row.next_at)
        stepped: RotationRow = await self.house.do(
            "rotation.step",
            PATH,
            StepRotation(secret_id=row.secret_id, number=row.number, term=term, timeout=5.0),
        )
        return stepped

    async def run(self, row: RotationRow, *, overlaps: bool = True) -> RotationRow:
        """All that is left of it; with two users what applications have works after each step."""
        for _ in range(60):
            if not row.next_at:
                return row
            row = await self.step(row)
            assert not overlaps or self.server.lets_in(await self.value())
        raise AssertionError("it does not end")

    async def value(self) -> dict[str, Any]:
        """What an application gets."""
        read = await self.house.do("secret.read", PATH, ReadSecret())
        found: dict[str, Any] = json.loads(read.value)
        return found

    async def state(self) -> SecretRotation:
        """What is shown of the secret."""
        shown: SecretRotation = await self.house.do("rotation.read", PATH)
        return shown


@pytest.fixture
async def bench(house: House) -> Bench:
    """A secret with a user of the server, and two more fields."""
    server, applications = Server(), Applications()
    rotators = Rotators()
    rotators.register(
        RotatorKind(
            "fake",
            Config,
            make=lambda config: FakeRotator(server, config.dual),
            overlaps=lambda config: config.dual,
        )
    )
    rotators.register(
        RotatorKind(
            "issuing",
            Config,
            make=lambda _: IssuingFake(server, dual=True),
            overlaps=lambda _: True,
        )
    )
    store = RotationStore(house.barrier)
    handlers = RotationHandlers(store, rotators, applications, Authorizer(house.book), house.world)
    steps = RotationSteps(
        store, house.mounts, rotators, applications, Authorizer(house.book), house.world,
        trio.CapacityLimiter(2),
        os.urandom, SETTLE,
    )  # fmt: skip
    house.handlers.update(handlers.handlers() | steps.handlers())
    value = {"username": "app_a", "password": "first", "host": "db", "port": 5432}
    await house.write(PATH, json.dumps(value).encode())
    await house.write(ADMIN, b'{"username":"admin","password":"canary"}')
    made = Bench(house, server, applications)
    await made.set_policy(connection=ADMIN)
    return made


async def begun(bench: Bench) -> RotationRow:
    """A rotation that has just begun."""
    row = await bench.begin()
    assert row is not None
    return row


async def test_a_rotation_replaces_the_value_and_then_retires_the_old_one(bench: Bench) -> None:
    """The old one works until the grace period is over; fields of others stay as they are."""
    before = await bench.value()
    row = await begun(bench)
    states = []
    while row.state != "current":
        row = await bench.step(row)
        states.append(row.state)
    assert states == ["stored", "applied", "verified", "current"]
    after = await bench.value()
    assert after["username"] == "app_b"
    assert after["password"] != before["password"]
    assert (after["host"], after["port"]) == ("db", 5432)
    assert bench.server.lets_in(before)
    row = await bench.run(row)
    assert row.state == "retired"
    assert not bench.server.lets_in(before)
    assert row.ended_at >= row.current_at + DAY
    assert bench.server.contexts[0].connection["password"] == "canary"


async def test_who_lags_keeps_the_old_value_until_it_has_the_new_one(bench: Bench) -> None:
    """All have fetched it: it goes before the grace period ends. Nobody knows: it waits."""
    bench.applications.lagging = ["billing"]
    row = await begun(bench)
    while row.state != "current":
        row = await bench.step(row)
    for _ in range(5):
        row = await bench.step(row)
        assert row.state == "current"
    bench.applications.lagging = []
    row = await bench.run(row)
    assert row.state == "retired"
    assert row.ended_at < row.current_at + HOUR


@pytest.mark.parametrize("dual", [True, False], ids=["two users", "one user"])
async def test_a_first_rotation_that_fails_has_nothing_to_put_back(
    bench: Bench, dual: bool
) -> None:
    """Nobody knew the password before, so it ends, with the reason why it failed."""
    await bench.set_policy(config={"dual": dual})
    await bench.house.write(PATH, b'{"username":"app_a"}')
    fault = RotationError("user_missing", "there is no such user", is_final=True)
    bench.server.faults[Step.APPLY] = [fault]
    row = await begun(bench)
    while row.next_at:
        row = await bench.step(row)
    assert (row.state, row.error_code) == ("undone", "user_missing")
    assert await bench.value() == {"username": "app_a"}


async def test_the_secret_that_connects_may_be_the_one_that_is_rotated(bench: Bench) -> None:
    """An undone rotation connects with the new value, which the target may have by then."""
    await bench.set_policy(connection=PATH, config={"dual": False})
    before = await bench.value()
    bench.server.faults[Step.VERIFY] = [RotationError("login_refused", "no", is_final=True)]
    row = await begun(bench)
    while row.next_at:
        row = await bench.step(row)
    used = [context.connection["password"] for context in bench.server.contexts]
    assert row.state == "undone"
    forward = [Step.CREATE, Step.APPLY, Step.VERIFY]
    assert bench.server.calls == [*forward, Step.APPLY, Step.VERIFY]
    assert set(used[:3]) == {before["password"]}
    assert before["password"] not in used[3:]
    row = await begun(bench)
    while row.state != "retired":
        row = await bench.step(row)
    assert bench.server.contexts[-1].connection["password"] == (await bench.value())["password"]


@pytest.mark.parametrize("dual", [True, False], ids=["two users", "one user"])
@pytest.mark.parametrize("step", [Step.APPLY, Step.VERIFY])
async def test_a_target_that_fails_for_good_is_put_back(
    bench: Bench, step: Step, dual: bool
) -> None:
    """After as many tries as the policy says the old value works, and the next one is another."""
    await bench.set_policy(config={"dual": dual})
    before = await bench.value()
    bench.server.faults[step] = [RotationError("target_down", "no answer")] * 3
    row = await begun(bench)
    while row.next_at:
        row = await bench.step(row)
    assert (row.state, row.error_code) == ("undone", "target_down")
    assert await bench.value() == before
    assert bench.server.lets_in(before)
    if dual:
        assert "app_b" not in bench.server.users
    row = await bench.run(await begun(bench), overlaps=dual)
    assert row.state == "retired"
    assert bench.server.lets_in(await bench.value())


async def test_what_is_final_is_not_tried_again(bench: Bench) -> None:
    """The rotator has said so."""
    bench.server.faults[Step.CREATE] = [RotationError("no_such_role", "…", is_final=True)]
    row = await bench.step(await begun(bench))
    assert (row.state, row.attempt) == ("undone", 0)
    assert bench.server.calls == [Step.CREATE]


async def test_an_unexpected_error_of_a_rotator_is_a_failure_without_its_text(bench: Bench) -> None:
    """Whatever it raises is a failure of the step, and its text goes nowhere."""
    bench.server.faults[Step.APPLY] = [ValueError("password canary-password is wrong")]
    row = await bench.step(await begun(bench))
    row = await bench.step(row)
    assert (row.state, row.error_code) == ("stored", "rotator_faulty")
    assert "canary" not in row.error
    assert (await bench.run(row)).state == "retired"


@pytest.mark.parametrize("dual", [True, False], ids=["two users", "one user"])
@pytest.mark.parametrize("number", range(STEPS))
async def test_the_agent_is_killed_within_any_step(bench: Bench, number: int, dual: bool) -> None:
    """The next agent goes on where it was: one new value, and nobody is locked out.

    With one user there is a time, between apply and promotion, in which what applications have does
    not work: that is why there are two.
    """
    await bench.set_policy(config={"dual": dual})
    killed = 0

    def end() -> None:
        raise Lost

    row = await begun(bench)
    for step in range(60):
        if not row.next_at:
            break
        if step == number:
            for name in Step:
                bench.server.faults[name] = [end]
        try:
            row = await bench.step(row, term=killed)
        except Lost:
            killed += 1
            bench.server.faults = {}
        if dual:
            assert bench.server.lets_in(await bench.value())
    assert row.state == "retired"
    assert bench.server.lets_in(await bench.value())
    assert len(bench.server.users) == 1


async def test_a_target_that_makes_the_value_keeps_none_that_nobody_knows(bench: Bench) -> None:
    """The agent is killed once the target has made one, and before it is stored."""
    await bench.set_policy(rotator="issuing")
    bench.server.ends_in_issue = True
    row = await bench.step(await begun(bench))
    assert row.state == "drafted"
    with pytest.raises(Lost):
        await bench.step(row)
    assert set(bench.server.users) == {"app_a", "user-0"}
    row = await bench.run(row)
    assert row.state == "retired"
    assert set(bench.server.users) == {"user-1"}
    assert (await bench.value())["username"] == "user-1"


@pytest.mark.parametrize("step", [Step.APPLY, Step.VERIFY])
async def test_a_value_that_the_target_has_made_is_taken_back(bench: Bench, step: Step) -> None:
    """The rotation is given up: whoever was made for it is gone."""
    await bench.set_policy(rotator="issuing")
    bench.server.faults[step] = [RotationError("target_down", "no answer")] * 3
    row = await bench.run(await begun(bench))
    assert row.state == "undone"
    assert bench.server.users == {"app_a": "first"}


async def test_a_value_that_somebody_writes_meanwhile_is_theirs(bench: Bench) -> None:
    """The rotation is undone, and what they wrote stays the current value."""
    row = await begun(bench)
    for _ in range(3):
        row = await bench.step(row)
    assert row.state == "verified"
    theirs = {"username": "app_a", "password": "first", "note": "mine"}
    await bench.house.write(PATH, json.dumps(theirs).encode())
    row = await bench.run(row)
    assert (row.state, row.error_code) == ("undone", "secret_changed")
    assert await bench.value() == theirs
    assert bench.server.users == {"app_a": "first"}


async def test_who_has_gone_back_to_the_old_value_keeps_it(bench: Bench) -> None:
    """What is current again is not retired."""
    before = await bench.value()
    row = await begun(bench)
    while row.state != "current":
        row = await bench.step(row)
    await bench.house.write(PATH, json.dumps(before).encode())
    row = await bench.run(row)
    assert row.state == "retired"
    assert bench.server.lets_in(before)


async def test_a_former_holder_who_puts_the_target_back_is_noticed(bench: Bench) -> None:
    """Before the old value goes, the new one is proven once more, and applied again."""
    await bench.set_policy(config={"dual": False}, grace=HOUR)
    row = await begun(bench)
    while row.state != "current":
        row = await bench.step(row)
    bench.server.users["app_a"] = "stale"
    while row.next_at:
        row = await bench.step(row)
    assert row.state == "retired"
    assert bench.server.lets_in(await bench.value())


async def test_an_older_term_takes_no_step(bench: Bench) -> None:
    """Once another agent has gone on; nor does a step come twice."""
    row = await bench.step(await begun(bench), term=3)
    with pytest.raises(ConflictError, match="rotation_moved"):
        await bench.step(row, term=2)
    assert bench.server.contexts[-1].fence == (3 << 32) + 1
    row = await bench.step(row, term=4)
    assert bench.server.contexts[-1].fence == (4 << 32) + 1


async def test_at_most_one_rotation_of_a_secret_at_a_time(bench: Bench) -> None:
    """Another one waits for its end, by request with an error that says so."""
    row = await begun(bench)
    with pytest.raises(ConflictError, match="rotation_running"):
        await bench.begin()
    assert await bench.begin(RotationCause.SCHEDULE) is None
    assert (await bench.run(row)).state == "retired"
    assert (await begun(bench)).number == 2


async def test_one_that_was_put_off_begins_when_somebody_needs_it_now(bench: Bench) -> None:
    """Else whoever puts one off for a week keeps a leaked value in force."""
    put_off = BeginRotation(delay=7 * DAY)
    first = await bench.house.do("rotation.begin", PATH, put_off)
    with pytest.raises(ConflictError, match="rotation_running"):
        await bench.house.do("rotation.begin", PATH, put_off)
    row = await bench.begin(RotationCause.COMPROMISE)
    assert row is not None
    assert (row.number, row.next_at, row.cause) == (first.number, NOW, "compromise")
    row = await bench.step(row)
    with pytest.raises(ConflictError, match="rotation_running"):
        await bench.begin(RotationCause.COMPROMISE)


async def test_a_stuck_rotation_goes_on_when_somebody_says_so(bench: Bench) -> None:
    """The old value could not be retired: that is tried again, and nothing else."""
    row = await begun(bench)
    while row.state != "adopted":
        row = await bench.step(row)
    bench.server.faults[Step.RETIRE] = [RotationError("target_down", "no answer")] * 3
    while row.next_at:
        row = await bench.step(row)
    assert row.state == "stuck"
    with pytest.raises(ConflictError, match="rotation_not_undoable"):
        await bench.house.do("rotation.undo", PATH)
    row = await bench.house.do("rotation.resume", PATH)
    assert (await bench.run(row)).state == "retired"
    with pytest.raises(ConflictError, match="rotation_not_stuck"):
        await bench.house.do("rotation.resume", PATH)


async def test_a_stuck_rotation_is_given_up_and_another_one_may_begin(bench: Bench) -> None:
    """The target is not asked for anything; the audit log has what may be left there."""
    row = await begun(bench)
    with pytest.raises(ConflictError, match="rotation_not_stuck"):
        await bench.house.do("rotation.abandon", PATH)
    while row.state != "adopted":
        row = await bench.step(row)
    after = await bench.value()
    bench.server.faults[Step.RETIRE] = [RotationError("target_down", "no answer")] * 3
    while row.next_at:
        row = await bench.step(row)
    calls = [*bench.server.calls]
    row = await bench.house.do("rotation.abandon", PATH)
    assert bench.server.calls == calls
    assert (row.state, row.error_code) == ("retired", "abandoned")
    assert rotation_reference(row) == {
        "secret_id": row.secret_id, "number": row.number, "state": "retired", "left": row.error,
    }  # fmt: skip
    assert await bench.value() == after
    with pytest.raises(ConflictError, match="rotation_not_stuck"):
        await bench.house.do("rotation.resume", PATH)
    following = await bench.run(await begun(bench))
    assert (following.number, following.state) == (row.number + 1, "retired")


async def test_one_that_has_begun_is_undone_on_request(bench: Bench) -> None:
    """As long as its value is not current."""
    row = await bench.step(await begun(bench))
    row = await bench.house.do("rotation.undo", PATH)
    row = await bench.run(row)
    assert (row.state, row.error_code) == ("undone", "cancelled")
    row = await begun(bench)
    assert (await bench.house.do("rotation.undo", PATH)).state == "undone"


async def test_the_schedule_is_that_of_the_policy(bench: Bench) -> None:
    """Due an interval after the value was written, whoever wrote it; and again after that."""
    await bench.set_policy(interval=10 * DAY)
    due = (await bench.state()).due
    assert NOW + 10 * DAY - HOUR <= due <= NOW + 10 * DAY
    bench.house.world.time = NOW + 5 * DAY
    await bench.house.write(PATH, json.dumps({"username": "app_a", "password": "first"}).encode())
    bench.house.world.time = due
    assert await bench.begin(RotationCause.SCHEDULE) is None
    due = (await bench.state()).due
    assert NOW + 15 * DAY - HOUR <= due <= NOW + 15 * DAY
    bench.house.world.time = due
    row = await bench.begin(RotationCause.SCHEDULE)
    assert row is not None
    assert (await bench.state()).due == 0
    row = await bench.run(row)
    assert (await bench.state()).due >= row.current_at + 10 * DAY - HOUR


async def test_a_folder_has_a_policy_for_what_has_none_of_its_own(bench: Bench) -> None:
    """The folder next to the secret counts, and its own policy before all of them."""
    await bench.house.do("rotation.policy.write", PATH, WriteRotationPolicy(policy=None))
    with pytest.raises(NotFoundError, match="rotation_policy_missing"):
        await bench.begin()
    await bench.set_policy("secret/", grace=30 * DAY)
    await bench.set_policy("secret/db/", grace=20 * DAY)
    assert (await bench.state()).source == "secret/db/"
    assert (await begun(bench)).policy["grace"] == 20 * DAY
    await bench.set_policy(interval=7 * DAY)
    assert (await bench.state()).source == PATH


async def due(bench: Bench, path: str) -> int:
    """When a secret is due."""
    shown: SecretRotation = await bench.house.do("rotation.read", path)
    return shown.due


async def schedule(bench: Bench, folder: str) -> int:
    """What the scheduler does for a folder until nothing is left; how often it has to."""
    for turn in range(100):
        if not await bench.house.do(
            "rotation.schedule", "sys/rotations", ScheduleSecrets(folder=folder)
        ):
            return turn
    raise AssertionError("it does not end")


async def test_a_change_of_a_folders_policy_reaches_the_secrets_below(bench: Bench) -> None:
    """When it is set, changed and removed: but not those with a policy of their own or a nearer."""
    own, near, far, other = PATH, "secret/db/near/a", "secret/db/far/a", "secret/other"
    for path in (near, far, other):
        await bench.house.write(path, b"{}")
    await bench.set_policy(interval=300 * DAY)
    await bench.set_policy("secret/db/near/", interval=100 * DAY)
    await bench.set_policy("secret/db/", interval=200 * DAY, connection=ADMIN)
    assert await due(bench, far) == 0, "it is scheduled by the job"
    await schedule(bench, "secret/db/")
    await schedule(bench, "secret/db/near/")
    by = [await due(bench, path) - NOW for path in (near, far, own)]
    assert [-(-when // DAY) for when in by] == [100, 200, 300]
    assert await due(bench, other) == 0
    plan = await bench.house.do("rotation.plan", "secret/", PlanRotations(before=NOW + 400 * DAY))
    assert [(each.path, each.source) for each in plan.secrets if each.path != own] == [
        (near, "secret/db/near/"), (far, "secret/db/"),
    ]  # fmt: skip
    plan, cursor = [], ""
    for _ in range(3):
        payload = PlanRotations(before=NOW + 400 * DAY, limit=1, cursor=cursor)
        page = await bench.house.do("rotation.plan", "secret/", payload)
        plan, cursor = plan + [each.path for each in page.secrets], page.cursor
    assert plan == [near, far, own]
    cursor = bench.house.barrier.seal_cursor("secret/a")
    with pytest.raises(ValidationError, match="another list"):
        await bench.house.do("rotation.plan", "", PlanRotations(before=NOW, cursor=cursor))
    await bench.set_policy("secret/db/", interval=50 * DAY, connection=ADMIN)
    await schedule(bench, "secret/db/")
    assert -(-(await due(bench, far) - NOW) // DAY) == 50
    await bench.house.do(
        "rotation.policy.write", "secret/db/near/", WriteRotationPolicy(policy=None)
    )
    await schedule(bench, "secret/db/near/")
    assert -(-(await due(bench, near) - NOW) // DAY) == 50
    await bench.house.do("rotation.policy.write", "secret/db/", WriteRotationPolicy(policy=None))
    overview = await bench.house.do("rotation.overview", "sys/rotations/")
    assert overview.policies == []
    await schedule(bench, "secret/db/")
    assert [await due(bench, path) for path in (near, far)] == [0, 0]
    with pytest.raises(NotFoundError, match="rotation_policy_missing"):
        await bench.house.do(
            "rotation.policy.write", "secret/db/", WriteRotationPolicy(policy=None)
        )


async def test_secrets_that_come_later_follow_the_policy_of_their_folder(bench: Bench) -> None:
    """New ones with their first value, and deleted ones once they have a value again."""
    await bench.set_policy("secret/db/", interval=30 * DAY)
    await schedule(bench, "secret/db/")
    path = "secret/db/new"
    await bench.house.do("secret.metadata.write", path, WriteMetadata(), exists=False)
    assert await due(bench, path) == 0
    await bench.house.write(path, b"{}")
    assert -(-(await due(bench, path) - NOW) // DAY) == 30
    for path in ("secret/db/undeleted", "secret/db/rewritten"):
        await bench.house.write(path, b"{}")
        await bench.house.do("secret.delete", path, SecretVersions())
    await bench.house.do("rotation.policy.write", "secret/db/", WriteRotationPolicy(policy=None))
    await bench.set_policy("secret/", interval=90 * DAY)
    await schedule(bench, "secret/db/")
    await bench.house.do("secret.undelete", "secret/db/undeleted", SecretVersions(versions=(1,)))
    await bench.house.write("secret/db/rewritten", b"{}")
    for path in ("secret/db/undeleted", "secret/db/rewritten"):
        assert -(-(await due(bench, path) - NOW) // DAY) == 90


async def test_scheduling_goes_on_where_it_was_cut_off(bench: Bench, monkeypatch: Any) -> None:
    """In bounded transactions, of which each says how far it is; a change begins anew."""
    monkeypatch.setattr("vault.handlers.rotation_schedule.BATCH", 4)
    monkeypatch.setattr("vault.handlers.rotations.BATCH", 4)
    monkeypatch.setattr("vault.handlers.rotations.BATCHES", 1)
    paths = [f"secret/many/{number:02}" for number in range(10)]
    for path in paths:
        await bench.house.write(path, b"{}")
    bench.house.world.time = NOW + 400 * DAY
    await bench.set_policy("secret/many/", interval=300 * DAY)
    for done in (4, 8):
        folder = ScheduleSecrets(folder="secret/many/")
        assert await bench.house.do("rotation.schedule", "sys/rotations", folder) == 4
        assert [bool(await due(bench, path)) for path in paths] == [
            number < done for number in range(10)
        ]
    first = await due(bench, paths[0])
    await bench.set_policy("secret/many/", interval=0)
    assert await schedule(bench, "secret/many/") == 3
    assert not any([await due(bench, path) for path in paths])
    await bench.set_policy("secret/many/", interval=300 * DAY)
    await schedule(bench, "secret/many/")
    times = [await due(bench, path) for path in paths]
    assert times[0] == first, "a secret keeps its phase"
    now = bench.house.world.time
    assert len(set(times)) == 10
    assert all(now <= time <= now + DAY for time in times), "overdue, and no stampede"


async def test_a_secret_is_due_once_it_was_read_as_often_as_its_policy_allows(
    bench: Bench,
) -> None:
    """By its own policy or its folder's; counted from the last rotation."""
    house, other = bench.house, "secret/db/other"
    limits = house.read_limits
    await bench.set_policy(max_reads=5)
    await bench.set_policy("secret/db/", max_reads=3)
    await house.write(other, b"{}")
    await limits.apply()

    async def read(path: str, times: int) -> int:
        for _ in range(times):
            await house.do("secret.read", path, ReadSecret())
        await house.access.flush()
        await limits.apply()
        return await due(bench, path)

    assert await read(other, 2) == 0
    assert 0 < await read(other, 1) <= NOW + HOUR
    assert await read(PATH, 4) == 0
    assert await read(PATH, 1) == NOW
    row = await bench.begin(RotationCause.SCHEDULE)
    assert row is not None
    while row.state != "current":
        row = await bench.step(row)
    assert await read(PATH, 2) == 0, "it runs"
    await house.access.flush()
    row = await bench.run(row, overlaps=False)
    assert row.state == "retired"
    assert (await bench.state()).due == 0
    assert await read(PATH, 3) == house.world.time
    assert await bench.begin(RotationCause.SCHEDULE) is not None


async def test_a_policy_connects_only_with_what_its_author_may_read(bench: Bench) -> None:
    """Else the agent would use for somebody what they cannot."""
    author = await bench.house.allow("dev", PATH, capabilities=("update", "read"))
    policy = RotationPolicy(rotator="fake", connection=ADMIN)
    with pytest.raises(AuthorizationError, match="connection_denied"):
        await bench.house.do(
            "rotation.policy.write", PATH, WriteRotationPolicy(policy=policy), by=author
        )


@pytest.mark.parametrize("path", [PATH, "secret/db/"])
async def test_a_policy_is_set_by_who_may_read_what_is_rotated(bench: Bench, path: str) -> None:
    """Else they name a target of their own, and the agent logs in there with the value."""
    house, asked = bench.house, WriteRotationPolicy(policy=RotationPolicy(rotator="fake"))
    writer = await house.allow("ci", "secret/db/*", capabilities=("update",))
    with pytest.raises(AuthorizationError, match="rotation_policy_denied"):
        await house.do("rotation.policy.write", path, asked, by=writer)
    reader = await house.allow("dev", "secret/db/*", capabilities=("update", "read"))
    await house.do("rotation.policy.write", path, asked, by=reader)
    await house.do("rotation.policy.write", path, WriteRotationPolicy(policy=None), by=writer)


async def test_tags_of_the_connection_decide_as_they_do_for_a_read(bench: Bench) -> None:
    """A denial by tag counts; a secret that is not there yet has none, and is refused."""
    author = await bench.house.allow(
        "dev", PATH, "secret/db/*", capabilities=("update", "read"),
        conditions=[{"type": "tags", "none": ["prod"]}],
    )  # fmt: skip
    policy = RotationPolicy(rotator="fake", connection=ADMIN)
    asked = WriteRotationPolicy(policy=policy)
    await bench.house.do("rotation.policy.write", PATH, asked, by=author)
    await bench.house.write(ADMIN, b'{"password":"canary"}', tags=["prod"])
    with pytest.raises(AuthorizationError, match="connection_denied"):
        await bench.house.do("rotation.policy.write", PATH, asked, by=author)
    missing = WriteRotationPolicy(policy=RotationPolicy(rotator="fake", connection="secret/db/no"))
    with pytest.raises(ValidationError, match="rotation_policy_invalid"):
        await bench.house.do("rotation.policy.write", PATH, missing)


@pytest.mark.parametrize("operation", ["begin", "read", "resume", "undo", "policy.write"])
async def test_tags_decide_on_rotations_of_a_secret(bench: Bench, operation: str) -> None:
    """As on every operation on it: the pipeline looks them up, and they must still be so."""
    handler = bench.house.handlers[f"rotation.{operation}"]
    assert handler.targets_secret
    payload = {"begin": BeginRotation(), "policy.write": WriteRotationPolicy(policy=None)}
    with pytest.raises(ConflictError, match="changed_meanwhile"):
        await bench.house.do(
            f"rotation.{operation}", PATH, payload.get(operation),
            needs_facts=True, tags=frozenset({"others"}),
        )  # fmt: skip


@pytest.mark.parametrize(
    ("policy", "code"),
    [
        (RotationPolicy(rotator="unheard"), "rotator_unknown"),
        (RotationPolicy(rotator="fake", config={"dual": "yes"}), "rotator_config"),
        (RotationPolicy(rotator="fake", config={"other": 1}), "rotator_config"),
        (RotationPolicy(rotator="fake", cron="* * *"), "cron_invalid"),
    ],
)
async def test_a_policy_that_cannot_work_is_refused(
    bench: Bench, policy: RotationPolicy, code: str
) -> None:
    """When it is written, and not in the night in which it is due."""
    with pytest.raises((ValidationError, NotFoundError), match=code):
        await bench.house.do("rotation.policy.write", PATH, WriteRotationPolicy(policy=policy))


async def test_a_secret_without_a_value_waits(bench: Bench) -> None:
    """A request is refused; the schedule looks again in an hour."""
    await bench.set_policy(interval=DAY)
    await bench.house.do("secret.delete", PATH, SecretVersions())
    with pytest.raises(ConflictError, match="secret_not_live"):
        await bench.begin()
    bench.house.world.time += 2 * DAY
    assert await bench.begin(RotationCause.SCHEDULE) is None
    assert (await bench.state()).due == bench.house.world.time + HOUR


async def test_a_pending_value_is_sealed_and_follows_the_keys(bench: Bench) -> None:
    """It is nowhere in the clear, is not shown, and outlives a rotation of the KEK."""
    row = await bench.step(await begun(bench))
    row = await bench.step(row)
    password = bench.server.users["app_b"].encode()
    stored = await bench.house.store.select_all(ROTATIONS)
    assert stored[0].box
    assert password not in msgspec.msgpack.encode(stored)
    assert not any(shown.box for shown in (await bench.state()).rotations)
    keys = KeyStore(bench.house.barrier)
    rewrapper = KeyRewrapper(keys)
    await keys.rotate()
    while not (await rewrapper.rewrap_next()).complete:
        pass
    await rewrapper.retire_old_keys()
    assert (await bench.run(row)).state == "retired"
    assert not (await bench.house.store.select_all(ROTATIONS))[0].box


async def test_a_secret_that_is_purged_takes_its_rotations_along(bench: Bench) -> None:
    """A step that was under way finds nothing, and says so."""
    row = await bench.step(await begun(bench))
    await bench.house.do("secret.purge", PATH)
    with pytest.raises(ConflictError, match="rotation_moved"):
        await bench.step(row)
    assert await bench.house.store.select_all(ROTATIONS) == []


ANN: Final = Identity(
    id="u1", name="ann", method=Method.API_KEY, policies=("root",), credential="k1"
)
BOB: Final = Identity(
    id="u2", name="bob", method=Method.API_KEY, policies=("root",), credential="k2"
)


@pytest.fixture
async def clients(bench: Bench) -> Bench:
    """Two applications have the value; what they fetch is recorded."""
    bench.applications.recorded = StoredAdoption(ConsumerStore(bench.house.barrier))
    for client in (ANN, BOB):
        await bench.house.do("secret.read", PATH, ReadSecret(), by=client)
    return bench


async def current(bench: Bench) -> RotationRow:
    """A rotation whose value is current, after the last flush of what was fetched before."""
    row = await begun(bench)
    while row.state != "current":
        row = await bench.step(row)
    bench.house.world.time += 2 * MARGIN
    await bench.house.recorder.flush()
    return row


async def test_the_old_value_works_until_the_slow_client_has_the_new_one(clients: Bench) -> None:
    """It is named meanwhile; once it has fetched, the old value goes before the grace is over."""
    before = {"username": "app_a", "password": "first"}
    row = await current(clients)
    await clients.house.do("secret.read", PATH, ReadSecret(), by=ANN)
    await clients.house.recorder.flush()
    for _ in range(3):
        row = await clients.step(row)
        assert row.state == "current"
        assert clients.server.lets_in(before)
    adoption = (await clients.state()).adoption
    assert adoption is not None
    assert (adoption.laggards, adoption.fetched) == (["bob"], 1)
    await clients.house.do("secret.read", PATH, ReadSecret(), by=BOB)
    row = await clients.step(row)
    assert row.state == "current", "it is not stored yet"
    await clients.house.recorder.flush()
    row = await clients.run(row)
    assert (row.state, row.error_code) == ("retired", "")
    assert row.ended_at < row.current_at + HOUR
    assert not clients.server.lets_in(before)


async def test_the_grace_period_ends_with_a_client_that_lags(clients: Bench) -> None:
    """The old value goes, and who did not have the new one stays on record."""
    before = {"username": "app_a", "password": "first"}
    row = await current(clients)
    row = await clients.run(row)
    assert row.ended_at >= row.current_at + DAY
    assert (row.state, row.error_code) == ("retired", "adoption_incomplete")
    assert row.error.endswith("was not fetched by ann, bob")
    assert "ann" in str(rotation_reference(row))
    assert not clients.server.lets_in(before)


async def test_a_fetch_of_the_old_value_at_the_last_moment_is_waited_for(clients: Bench) -> None:
    """While the new value is proven once more, before the decision is stored."""
    row = await begun(clients)
    while row.state != "current":
        row = await clients.step(row)
    clients.house.world.time += 2 * MARGIN
    for client in (ANN, BOB):
        await clients.house.do("secret.read", PATH, ReadSecret(), by=client)
    await clients.house.recorder.flush()
    store = ConsumerStore(clients.house.barrier)
    (known, _) = await store.list_of_secret(row.secret_id)
    late = replace(known, consumer="key:k3", name="late", version=1)

    def fetch() -> None:
        trio.from_thread.run(store.merge, [late])

    clients.server.faults[Step.VERIFY] = [fetch]
    row = await clients.step(row)
    assert row.state == "current"
    assert (await clients.run(row)).error_code == "adoption_incomplete"


async def test_an_acknowledged_loss_makes_rotations_wait(clients: Bench) -> None:
    """A process that died took with it who else has the old value."""
    for client in (ANN, BOB):
        await clients.house.do("secret.read", PATH, ReadSecret(), by=client)
    await clients.house.recorder.flush()
    row = await current(clients)
    for client in (ANN, BOB):
        await clients.house.do("secret.read", PATH, ReadSecret(), by=client)
    await clients.house.recorder.flush()
    store = ConsumerStore(clients.house.barrier)
    await ConsumerRecorder(store, clients.house.world, "node", 0).open()  # it was not closed
    row = await clients.run(row)
    assert row.ended_at >= row.current_at + DAY
    assert row.error_code == ""


SERVICE: Final = service_identity("rotation")


async def refused(bench: Bench, number: int) -> RotationRow | None:
    """Policies did not allow the agent to go on with it, or to begin one."""
    payload = RefuseRotation(path=PATH, number=number, reason="update on it is not allowed")
    row: RotationRow | None = await bench.house.do(
        "rotation.refuse", "sys/rotations", payload, by=SERVICE
    )
    return row


async def test_a_rotation_that_policies_do_not_allow_fails_with_their_word(bench: Bench) -> None:
    """It is retried, given up and undone as for a target that fails; the state says why."""
    before = await bench.value()
    row = await bench.step(await begun(bench))
    for attempt in (1, 2):
        again = await refused(bench, row.number)
        assert again is not None
        row = again
        assert (row.state, row.attempt, row.error_code) == ("stored", attempt, "rotation_denied")
        assert row.error == "service:rotation: update on it is not allowed"
        assert await refused(bench, row.number) is None, "it is not due"
        bench.house.world.time = row.next_at
    given_up = await refused(bench, row.number)
    assert given_up is not None
    assert given_up.state == "undoing"
    row = await bench.run(given_up)
    assert (row.state, row.error_code) == ("undone", "rotation_denied")
    assert await bench.value() == before


async def test_a_rotation_that_policies_do_not_let_begin_is_one_failure(bench: Bench) -> None:
    """It is due again later, and its tries leave the history as it is."""
    await bench.set_policy(interval=DAY)
    assert await refused(bench, 0) is None, "it is not due"
    for _ in range(3):
        bench.house.world.time = (await bench.state()).due
        row = await refused(bench, 0)
        assert row is not None
        assert (row.number, row.state, row.error_code) == (1, "undone", "rotation_denied")
        assert (await bench.state()).due > bench.house.world.time
    assert len((await bench.state()).rotations) == 1
    bench.house.world.time = (await bench.state()).due
    row = await bench.begin(RotationCause.SCHEDULE)
    assert row is not None
    assert (await bench.run(row)).state == "retired"


async def test_the_service_may_be_kept_from_the_secret_that_it_connects_with(bench: Bench) -> None:
    """Whoever set the policy may have lost the right to lend it."""
    rule = {"effect": "deny", "paths": [ADMIN], "capabilities": ["read"]}
    await bench.house.do(
        "policy.write", "sys/policies/no-admin", WritePolicy(document={"rules": [rule]})
    )
    row = await begun(bench)
    row = await bench.house.do(
        "rotation.step", PATH,
        StepRotation(secret_id=row.secret_id, number=row.number, term=0, timeout=5.0),
        by=service_identity("rotation", ["no-admin"]),
    )  # fmt: skip
    assert (row.state, row.error_code) == ("planned", "connection_denied")
    assert "service:rotation" in row.error
    assert bench.server.calls == []
