"""One step of a rotation: what it does at the target, and the state that follows from it.

The intent of each step is on the audit log before it begins. What a step does at the target comes
first and the new state second, so a crash in between repeats the step, with the same value. The
order that loses nothing: the new value is stored before the target hears of it, and the old one is
replaced here only once the target has let somebody in with the new one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple, TypeAlias, TypeVar

import msgspec
import trio
from msgspec import Struct
from msgspec.structs import replace

from actors.world import World
from protocols import json_text
from protocols.instant import HOUR, SECOND
from vault import operations
from vault.authz.authorizer import Authorizer
from vault.errors import AuthorizationError, ConflictError, VaultError
from vault.handlers.adoption import Adoption
from vault.handlers.handler import Call, Handler, Handlers, handler_table
from vault.handlers.rotation_schedule import parse_policy
from vault.handlers.rotations import end_rotation, rotation_reference
from vault.handlers.secret_settings import MAX_VALUE_BYTES
from vault.handlers.secrets import (
    append_version,
    check_facts_unchanged,
    is_live,
    mount_of_secret,
)
from vault.handlers.stores import RotationStore, RotationTx
from vault.handlers.visibility import may_read
from vault.model.identity import Identity, Method
from vault.model.mounts import MountTable
from vault.model.operation import Capability
from vault.model.path import ResourcePath
from vault.model.payloads import StepRotation
from vault.model.records import RotationRow
from vault.model.rotation import (
    ADOPTION_INCOMPLETE,
    AdoptionState,
    RotationPolicy,
    RotationState,
)
from vault.rotation import machine
from vault.rotation.issuing import IssuingRotator
from vault.rotation.rotator import RotationContext, RotationError, Rotator, Rotators, Value

SETTLE: Final = 30 * SECOND
"""Between making a value current and proving it once more, where other agents could have done the
same: longer than a lease lasts, so whatever a former holder still does at the target is done."""
FIRST_LOOK: Final = 30 * SECOND
LAST_LOOK: Final = HOUR
"""Between two looks at who has fetched the new value, which are on the audit log: the longer it has
been there, the further apart."""
_SEALING: Final = frozenset({RotationState.PLANNED, RotationState.DRAFTED, RotationState.VERIFIED})
MAX_FIELDS: Final = 100  # of a value that a rotator makes
MAX_NAMED: Final = 10  # consumers that an error names
_TERM: Final = 32  # bits of a fence that are for the number of the rotation

T = TypeVar("T")
_S = RotationState

Settle: TypeAlias = Callable[[RotationTx, RotationRow], RotationRow]
"""What to store of a rotation once its step is done."""


class Pending(Struct, frozen=True):
    """What is sealed in a rotation: the new value, and of a value that the target makes, the draft.

    `value` is empty while there is only a draft.
    """

    draft: dict[str, str] = {}
    value: msgspec.Raw = msgspec.Raw(b"{}")

    @property
    def strings(self) -> Value:
        """The fields of the value that rotators understand."""
        return _strings(_fields(bytes(self.value)))


class Target(NamedTuple):
    """A rotation's rotator, and what it is given: the value that is replaced, and that of now."""

    rotator: Rotator
    overlaps: bool
    context: RotationContext
    previous: Value
    current: Value


@dataclass(frozen=True)
class RotationSteps:
    """The handler of `rotation.step`, which only the agent's own scheduler asks for."""

    store: RotationStore
    mounts: MountTable
    rotators: Rotators
    adoption: Adoption
    authorizer: Authorizer
    world: World
    threads: trio.CapacityLimiter
    random: Callable[[int], bytes]
    settle: int
    """`SETTLE`, or 0 where no other agent has the database."""

    def handlers(self) -> Handlers:
        """The operations this file serves."""
        return handler_table(
            Handler(
                operations.STEP_ROTATION,
                run=self.step,
                capability=Capability.UPDATE,
                precondition=_require_service,
                mutates=True,
                targets_secret=True,
                audit_response=rotation_reference,
            ),
        )

    async def step(self, call: Call[StepRotation]) -> RotationRow:
        """Take the next step, and return the rotation as it is then: it may have failed.

        Raises `ConflictError` (`rotation_moved`) when somebody else has taken it.
        """
        payload, now = call.payload, self.world.now()
        row = await self.store.get(payload.secret_id, payload.number)
        fence = payload.term << _TERM | payload.number
        if row is None or not 0 < row.next_at <= now or row.fence > fence:
            raise _moved()
        begun = await self.store.transact(partial(_claim, call=call, row=row, fence=fence))
        policy = parse_policy(begun.policy)
        try:
            settle = await self._act(call, begun, policy)
        except RotationError as error:
            return await self._settle_failure(begun, policy, error)
        except VaultError as error:  # a connection that is gone, a rotator that is not installed
            failure = RotationError(error.code, error.message)
            return await self._settle_failure(begun, policy, failure)
        return await self._settle(begun, settle)

    async def _act(
        self, call: Call[StepRotation], row: RotationRow, policy: RotationPolicy
    ) -> Settle:
        """Do at the target what the state asks for; what to store then."""
        target = await self._target(call, row, policy)
        match _S(row.state):
            case _S.PLANNED:
                return await self._create(target, row)
            case _S.DRAFTED:
                return await self._issue(target, row)
            case _S.STORED:
                await self._run(target.rotator.apply, target.context, self._pending(row).strings)
            case _S.APPLIED:
                await self._run(target.rotator.verify, target.context, self._pending(row).strings)
            case _S.VERIFIED:
                return partial(self._promote, value=bytes(self._pending(row).value))
            case _S.CURRENT:
                return await self._adopt(target, row, policy)
            case _S.ADOPTED:
                if target.current != target.previous:  # else somebody has gone back to it
                    await self._run(target.rotator.retire, target.context, target.previous)
                return self._advanced
            case _S.UNDOING:
                await self._undo(target, row)
                return self._advanced
            case state:
                raise AssertionError(f"no step follows from {state}")
        return self._advanced

    def _advanced(self, _: RotationTx, row: RotationRow) -> RotationRow:
        return machine.advance(row, self.world.now())

    async def _target(
        self, call: Call[StepRotation], row: RotationRow, policy: RotationPolicy
    ) -> Target:
        kind = self.rotators.get(policy.rotator)
        config = kind.parse(policy.config)
        context = RotationContext(
            rotation=f"{row.secret_id}:{row.number}",
            fence=row.fence,
            timeout=call.payload.timeout,
            connection=await self._connection(call, policy),
            random=self.random,
        )
        secret = await self.store.get_secret(row.path)
        newest = row.previous if secret is None else secret.current_version
        return Target(
            kind.make(config),
            kind.overlaps(config),
            context,
            previous=_strings(await self._version(row, row.previous)),
            current=_strings(await self._version(row, newest)),
        )

    async def _connection(self, call: Call[StepRotation], policy: RotationPolicy) -> Value:
        if not policy.connection:
            return {}
        secret = await self.store.get_secret(policy.connection)
        if not may_read(self.authorizer, call, policy.connection, secret, self.world.now()):
            raise RotationError(
                "connection_denied",
                f"policies do not allow {call.identity.name} to read the secret "
                f"{policy.connection} that it connects with",
            )
        version = (
            None
            if secret is None
            else await self.store.get_version(secret.id, secret.current_version)
        )
        if version is None or not is_live(version, self.world.now()):
            raise RotationError(
                "connection_missing",
                f"the secret {policy.connection} that it connects with has no value",
            )
        return _strings(_fields(self.store.open_value(version)))

    async def _version(self, row: RotationRow, number: int) -> dict[str, msgspec.Raw]:
        """The fields of a version of the secret; none if it is gone by now."""
        version = await self.store.get_version(row.secret_id, number)
        if version is None or version.destroyed:
            return {}
        return _fields(self.store.open_value(version))

    async def _create(self, target: Target, row: RotationRow) -> Settle:
        made = await self._run(target.rotator.create, target.context, target.previous)
        if isinstance(target.rotator, IssuingRotator):
            draft = Pending(draft=dict(_checked(made)))
            return lambda tx, found: machine.draft(_sealed(tx, found, draft), self.world.now())
        return await self._store(row, Pending(), made)

    async def _issue(self, target: Target, row: RotationRow) -> Settle:
        """Have the target make the value: the one step that is not the same when it is repeated."""
        if not isinstance(target.rotator, IssuingRotator):
            raise RotationError("rotator_changed", "the rotator issues no values any more")
        pending, context = self._pending(row), target.context
        issued = await self._in_thread(
            partial(target.rotator.issue, context, pending.draft, target.previous)
        )
        return await self._store(row, pending, issued)

    async def _store(self, row: RotationRow, pending: Pending, made: Value) -> Settle:
        """The whole new value: what the rotator makes, over the fields that it leaves."""
        fields = await self._version(row, row.previous)
        fields |= {name: _encode(text) for name, text in _checked(made).items()}
        value = msgspec.Raw(msgspec.json.encode(fields))
        if len(bytes(value)) > MAX_VALUE_BYTES:
            raise _faulty("has made a value that is too large")
        stored = msgspec.structs.replace(pending, value=value)
        return lambda tx, found: self._advanced(tx, _sealed(tx, found, stored))

    def _pending(self, row: RotationRow) -> Pending:
        return json_text.decode(self.store.open_pending(row), type=Pending)

    async def _run(
        self, method: Callable[[RotationContext, Value], T], context: RotationContext, value: Value
    ) -> T:
        return await self._in_thread(partial(method, context, value))

    async def _in_thread(self, call: Callable[[], T]) -> T:
        """A method of a rotator. Whatever it raises is a failure of the step.

        Nobody waits for it behind a cancellation, so that a target does not delay a seal. What it
        still does at the target is what a crash would leave.
        """
        try:
            return await self.world.run_sync(call, limiter=self.threads, abandon_on_cancel=True)
        except RotationError:
            raise
        except Exception as error:  # noqa: BLE001  # its text may hold a value
            raise _faulty(f"has failed with {type(error).__name__}", is_final=False) from None

    def _promote(self, tx: RotationTx, row: RotationRow, *, value: bytes) -> RotationRow:
        """Make the new value the secret's current version, unless somebody wrote another one."""
        secret, now = tx.get_secret(ResourcePath.parse_secret(row.path)), self.world.now()
        if secret is None or secret.id != row.secret_id:
            return machine.undo(row, "secret_gone", "the secret is not there any more", now)
        if secret.current_version != row.previous:
            return machine.undo(
                row, "secret_changed", "somebody has written the secret meanwhile", now
            )
        mount = mount_of_secret(tx, self.mounts, ResourcePath.parse_secret(row.path))
        written = append_version(
            tx, mount, secret, value, expires_at=0, by=f"rotation {row.number}", now=now
        )
        current = machine.advance(_emptied(row), now)
        return replace(
            current,
            version=written.version.version,
            next_at=now + self.settle,
            reads=tx.get_reads(secret.id),
        )

    async def _adopt(self, target: Target, row: RotationRow, policy: RotationPolicy) -> Settle:
        """Wait until all that used the old value have the new one, or the grace period is over.

        Before the old one goes, the new one is proven once more: a former holder of the lease may
        have put the target back.
        """
        over, window = row.current_at + policy.grace, policy.adoption_window
        status = await self.adoption.status(row, window)
        if self.world.now() < over and status.state is not AdoptionState.ADOPTED:
            return partial(self._wait, over=over, state=status.state)
        try:
            await self._run(target.rotator.verify, target.context, target.current)
        except RotationError:
            await self._run(target.rotator.apply, target.context, target.current)
            await self._run(target.rotator.verify, target.context, target.current)
        return partial(self._adopted, over=over, window=window)

    def _wait(
        self, _: RotationTx, row: RotationRow, *, over: int, state: AdoptionState
    ) -> RotationRow:
        now = self.world.now()
        wait = max(FIRST_LOOK, min((now - row.current_at) // 4, LAST_LOOK))
        later = over if state is AdoptionState.UNKNOWN else min(now + wait, over)
        return replace(row, next_at=later, attempt=0)

    def _adopted(self, tx: RotationTx, row: RotationRow, *, over: int, window: int) -> RotationRow:
        """Go on, unless somebody has fetched the old value meanwhile and there is still time."""
        status = self.adoption.status_in(tx, row, window)
        if self.world.now() < over and status.state is not AdoptionState.ADOPTED:
            return self._wait(tx, row, over=over, state=status.state)
        adopted = self._advanced(tx, row)
        if not status.laggards:
            return adopted
        return replace(
            adopted,
            error_code=ADOPTION_INCOMPLETE,
            error=_describe_laggards(status.laggards)[: machine.MAX_ERROR],
        )

    async def _undo(self, target: Target, row: RotationRow) -> None:
        """Put the target back: what applications have works there, and the new value does not."""
        pending = self._pending(row)
        if pending.strings and target.overlaps:
            await self._run(target.rotator.retire, target.context, pending.strings)
        elif pending.strings:
            await self._run(target.rotator.apply, target.context, target.current)
        if isinstance(target.rotator, IssuingRotator):
            await self._run(target.rotator.discard, target.context, pending.draft)
        await self._run(target.rotator.verify, target.context, target.current)

    async def _settle_failure(
        self, row: RotationRow, policy: RotationPolicy, error: RotationError
    ) -> RotationRow:
        def settle(_: RotationTx, found: RotationRow) -> RotationRow:
            return machine.fail(
                found,
                policy.retry,
                error.code,
                error.text,
                is_final=error.is_final,
                now=self.world.now(),
                jitter=self.world.jitter(),
            )

        return await self._settle(row, settle)

    async def _settle(
        self,
        row: RotationRow,
        settle: Settle,
    ) -> RotationRow:
        """Store what follows, if the rotation is still as it was when the step began."""
        jitter = self.world.jitter()

        def change(tx: RotationTx) -> RotationRow:
            found = tx.get_rotation(row.secret_id, row.number)
            if found is None or _stage(found) != _stage(row):
                raise _moved()
            settled = end_rotation(tx, settle(tx, found), self.world.now(), jitter)
            tx.put_rotation(settled)
            return settled

        encryptions = 1 if row.state in _SEALING else 0
        return await self.store.transact(change, max_encryptions=encryptions)


async def _require_service(identity: Identity) -> None:
    """Raise `AuthorizationError` for any caller but the agent's own scheduler."""
    if identity.method is not Method.SERVICE:
        raise AuthorizationError(
            "service_only", "only the agent's own scheduler takes the steps of a rotation"
        )


def _claim(
    tx: RotationTx, *, call: Call[StepRotation], row: RotationRow, fence: int
) -> RotationRow:
    """The rotation with the fence of whoever takes its next step. Raises `ConflictError`."""
    check_facts_unchanged(call, tx.get_secret(call.op.path))
    found = tx.get_rotation(row.secret_id, row.number)
    if found is None or _stage(found) != _stage(row) or found.fence > fence:
        raise _moved()
    if found.fence == fence:
        return found
    claimed = replace(found, fence=fence)
    tx.put_rotation(claimed)
    return claimed


def _stage(row: RotationRow) -> tuple[str, int, int]:
    return row.state, row.attempt, row.next_at


def _moved() -> ConflictError:
    return ConflictError("rotation_moved", "another agent or request has gone on with the rotation")


def _sealed(tx: RotationTx, row: RotationRow, pending: Pending) -> RotationRow:
    return tx.seal_pending(row, msgspec.json.encode(pending))


def _checked(made: Value) -> Value:
    """What a rotator has made. Raises `RotationError` for what is no value."""
    if not isinstance(made, Mapping) or not 0 < len(made) <= MAX_FIELDS:
        raise _faulty("has made no value")
    if not all(isinstance(part, str) for pair in made.items() for part in pair):
        raise _faulty("has made a value that is not text")
    return made


def _encode(text: str) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(text))


def _faulty(what: str, *, is_final: bool = True) -> RotationError:
    return RotationError("rotator_faulty", f"the rotator {what}", is_final=is_final)


def _describe_laggards(names: list[str]) -> str:
    some = ", ".join(names[:MAX_NAMED])
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return f"the grace period is over, and the new value was not fetched by {some}{more}"


def _emptied(row: RotationRow) -> RotationRow:
    return replace(row, wrapped_dek=b"", box=b"", kek_generation=0)


def _fields(value: bytes) -> dict[str, msgspec.Raw]:
    """The fields of a value; of one that is no object: none."""
    try:
        return json_text.decode(value, type=dict[str, msgspec.Raw])
    except msgspec.MsgspecError:
        return {}


def _strings(fields: Mapping[str, msgspec.Raw]) -> Value:
    """Those that are text: what rotators understand."""
    found: dict[str, str] = {}
    for name, raw in fields.items():
        if bytes(raw).startswith(b'"'):
            found[name] = json_text.decode(raw, type=str)
    return found
