"""Rotations as callers see them: the policy of a secret or folder, begin, look, resume, undo."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from actors.world import World
from protocols.instant import HOUR
from vault import operations
from vault.authz.authorizer import Authorizer
from vault.errors import AuthorizationError, ConflictError, NotFoundError, ValidationError
from vault.handlers.adoption import Adoption
from vault.handlers.handler import Call, Handler, Handlers, handler_table
from vault.handlers.mounts import mount_not_found
from vault.handlers.rotation_schedule import (
    BATCH,
    EffectivePolicy,
    due_time,
    effective_policy,
    is_due,
    load_effective_policy,
    parse_policy,
    schedule,
    schedule_folder,
)
from vault.handlers.secrets import check_facts_unchanged, is_live, secret_not_found
from vault.handlers.stores import RotationStore, RotationTx
from vault.handlers.visibility import Visibility, may_read
from vault.model.operation import Capability
from vault.model.path import ResourcePath
from vault.model.payloads import (
    MAX_PAGE_SIZE,
    BeginRotation,
    ListRotations,
    Nothing,
    PauseRotations,
    PlanRotations,
    RefuseRotation,
    ScheduleSecrets,
    WriteRotationPolicy,
)
from vault.model.records import FolderPolicyRow, RotationRow, SecretRow
from vault.model.results import (
    DueSecret,
    RotationOverview,
    RotationPage,
    RotationPlan,
    SecretRotation,
)
from vault.model.rotation import (
    ABANDONED,
    ADOPTION_INCOMPLETE,
    AdoptionStatus,
    RotationCause,
    RotationPolicy,
    RotationState,
)
from vault.rotation import machine
from vault.rotation.rotator import Rotators
from vault.rotation.schedule import NEVER, check_cron, retry_delay

KEPT: Final = 20  # rotations of a secret, the latest ones
PAGE: Final = 200  # rows that are looked at in one query
MAX_PAGES: Final = 20  # of one answer; the next one goes on behind them
REFUSED: Final = "rotation_denied"
"""The `error_code` of a rotation that policies do not allow the agent."""
BATCHES: Final = 8  # transactions of one `rotation.schedule`


@dataclass(frozen=True)
class RotationHandlers:
    """The handlers of `rotation.*`, but for the steps."""

    store: RotationStore
    rotators: Rotators
    adoption: Adoption
    authorizer: Authorizer
    world: World

    def handlers(self) -> Handlers:
        """The operations this file serves."""
        return handler_table(
            Handler(
                operations.WRITE_ROTATION_POLICY,
                run=self.write_policy,
                capability=Capability.UPDATE,
                mutates=True,
                targets_secret=True,
                audit_request=_policy_request,
            ),
            Handler(
                operations.SCHEDULE_SECRETS,
                run=self.schedule,
                capability=Capability.SUDO,
                mutates=True,
                audit_response=lambda count: {"count": count},
            ),
            Handler(
                operations.REFUSE_ROTATION,
                run=self.refuse,
                capability=Capability.SUDO,
                mutates=True,
                audit_response=rotation_reference,
            ),
            Handler(
                operations.LIST_ROTATIONS,
                run=self.list,
                capability=None,
                discloses=lambda page: bool(page.rotations),
                audit_response=lambda page: {"count": len(page.rotations)},
            ),
            Handler(
                operations.PLAN_ROTATIONS,
                run=self.plan,
                capability=None,
                discloses=lambda plan: bool(plan.secrets),
                audit_response=lambda plan: {"count": len(plan.secrets)},
            ),
            Handler(operations.READ_ROTATIONS, run=self.overview, capability=Capability.LIST),
            Handler(
                operations.PAUSE_ROTATIONS,
                run=self.pause,
                capability=Capability.SUDO,
                mutates=True,
                audit_request=lambda payload: {"paused": payload.paused},
            ),
            Handler(
                operations.READ_ROTATION,
                run=self.read,
                capability=Capability.READ_METADATA,
                targets_secret=True,
            ),
            Handler(
                operations.BEGIN_ROTATION,
                run=self.begin,
                capability=Capability.UPDATE,
                mutates=True,
                targets_secret=True,
                audit_response=rotation_reference,
            ),
            Handler(
                operations.RESUME_ROTATION,
                run=self.resume,
                capability=Capability.UPDATE,
                mutates=True,
                targets_secret=True,
                audit_response=rotation_reference,
            ),
            Handler(
                operations.ABANDON_ROTATION,
                run=self.abandon,
                capability=Capability.UPDATE,
                mutates=True,
                targets_secret=True,
                audit_response=rotation_reference,
            ),
            Handler(
                operations.UNDO_ROTATION,
                run=self.undo,
                capability=Capability.UPDATE,
                mutates=True,
                targets_secret=True,
                audit_response=rotation_reference,
            ),
        )

    async def write_policy(self, call: Call[WriteRotationPolicy]) -> Nothing:
        """Set or remove the policy of a secret, or of a folder, whose secrets are scheduled later.

        Whoever sets it must be allowed to read the secret that it connects with, for the agent will
        do so for them, and what is rotated: a target that they name is given that to log in with.
        Raises `ValidationError`, `AuthorizationError`, and `NotFoundError`, also for a folder that
        no mount is at, above or below.
        """
        path, policy, now = call.op.path, call.payload.policy, self.world.now()
        if policy is not None:
            await self._check(call, policy)
        document = None if policy is None else msgspec.to_builtins(policy)

        def change(tx: RotationTx) -> None:
            if policy is not None and policy.connection and not tx.connect(policy.connection):
                raise _connection_missing()
            if not path.endswith("/"):
                secret = tx.get_secret(path)
                check_facts_unchanged(call, secret)
                if secret is None:
                    raise secret_not_found()
                tx.put_secret(schedule(tx, replace(secret, rotation_policy=document), now))
                return
            before = tx.get_folder_policy(path)
            if document is None and (before is None or not before.policy):
                raise NotFoundError("rotation_policy_missing", "this folder has no rotation policy")
            if document is not None and not tx.has_mount(path):
                raise mount_not_found()  # it may be at another path by now, with all policies
            tx.put_folder_policy(
                FolderPolicyRow(
                    path=str(path), policy=document or {}, updated_at=now,
                    updated_by=call.identity.name, scheduled_to="",
                )
            )  # fmt: skip

        await self.store.transact(change)
        return Nothing()

    async def schedule(self, call: Call[ScheduleSecrets]) -> int:
        """Schedule the next secrets below a folder whose policy has changed; returns how many.

        Each transaction says how far it is, so another call or agent goes on there.
        """
        total = 0
        for _ in range(BATCHES):
            change = partial(schedule_folder, path=call.payload.folder, now=self.world.now())
            done = await self.store.transact(change)
            total += done
            if done < BATCH:
                break
        return total

    async def read(self, call: Call[Nothing]) -> SecretRotation:
        """How a secret is rotated, and how its last rotations went."""
        secret = await self.store.get_secret(call.op.path)
        check_facts_unchanged(call, secret)
        if secret is None:
            raise secret_not_found()
        rotations = [without_value(row) for row in await self.store.list_of_secret(secret.id)]
        found = await load_effective_policy(self.store, secret)
        latest = rotations[0] if rotations else None
        return SecretRotation(
            source=found.source,
            policy=found.policy,
            due=secret.rotation_due,
            rotations=rotations,
            adoption=None if latest is None or not latest.version else await self._adopted(latest),
        )

    async def _adopted(self, row: RotationRow) -> AdoptionStatus:
        return await self.adoption.status(row, parse_policy(row.policy).adoption_window)

    async def _page(self, rows: list[RotationRow], cursor: str) -> RotationPage:
        adoptions = [
            await self._adopted(row) if row.state == RotationState.CURRENT else None for row in rows
        ]
        return RotationPage(rotations=rows, adoptions=adoptions, cursor=cursor)

    async def list(self, call: Call[ListRotations]) -> RotationPage:
        """Rotations of secrets whose metadata the caller may read. Raises `ValidationError`."""
        payload, visibility = call.payload, Visibility(self.authorizer, call, self.world.now())
        check_limit(payload.limit)
        after = self._open(payload.cursor)
        shown = list[RotationRow]()
        for _ in range(MAX_PAGES):
            page = await self.store.list_page(payload.state, after, PAGE, running=payload.running)
            for row in page:
                after = row.secret_id, row.number
                secret = await self._visible(row.path, call.op.path, visibility)
                if (
                    secret is not None
                    and secret.id == row.secret_id
                    and set(payload.tags) <= set(secret.tags)
                ):
                    shown.append(without_value(row))
                if len(shown) == payload.limit:
                    return await self._page(shown, self._seal(after))
            if len(page) < PAGE:
                return await self._page(shown, "")
        return await self._page(shown, self._seal(after))

    async def plan(self, call: Call[PlanRotations]) -> RotationPlan:
        """Secrets that are due, the earliest first, of those whose metadata the caller may read."""
        payload, visibility = call.payload, Visibility(self.authorizer, call, self.world.now())
        check_limit(payload.limit)
        after = self._open_due(payload.cursor)
        shown, wanted = list[DueSecret](), set(payload.tags)
        for _ in range(MAX_PAGES):
            page = await self.store.list_due_secrets(payload.before, after, PAGE)
            for secret in page:
                after = secret.rotation_due, secret.name
                is_wanted = secret.name.startswith(call.op.path) and wanted <= set(secret.tags)
                if is_wanted and visibility.can_read_metadata(secret):
                    found = await load_effective_policy(self.store, secret)
                    shown.append(DueSecret(secret.name, secret.rotation_due, found.source))
                if len(shown) == payload.limit:
                    return RotationPlan(secrets=shown, cursor=self._seal_due(after))
            if len(page) < PAGE:
                return RotationPlan(secrets=shown, cursor="")
        return RotationPlan(secrets=shown, cursor=self._seal_due(after))

    async def overview(self, _: Call[Nothing]) -> RotationOverview:
        """The policies of folders, and what there is."""
        return RotationOverview(
            paused=await self.store.is_paused(),
            rotators=self.rotators.names(),
            policies=[row for row in await self.store.list_folder_policies() if row.policy],
        )

    async def pause(self, call: Call[PauseRotations]) -> Nothing:
        """Have no rotation begin or go on, or have them do so again."""
        await self.store.set_paused(call.payload.paused, call.identity.name)
        return Nothing()

    async def _visible(self, name: str, folder: str, visibility: Visibility) -> SecretRow | None:
        """The secret if it is in the folder and the caller may read its metadata."""
        secret = await self.store.get_secret(name) if name.startswith(folder) else None
        return secret if secret is not None and visibility.can_read_metadata(secret) else None

    def _seal(self, after: tuple[str, int] | None) -> str:
        return "" if after is None else self.store.seal_cursor(f"{after[0]} {after[1]}")

    def _open(self, cursor: str) -> tuple[str, int] | None:
        if not cursor:
            return None
        secret_id, _, number = self.store.open_cursor(cursor).partition(" ")
        if not number.isdecimal():
            raise _cursor_invalid()
        return secret_id, int(number)

    def _seal_due(self, after: tuple[int, str] | None) -> str:
        return "" if after is None else self.store.seal_cursor(f"{after[0]} {after[1]}")

    def _open_due(self, cursor: str) -> tuple[int, str] | None:
        if not cursor:
            return None
        due, _, name = self.store.open_cursor(cursor).partition(" ")
        if not due.isdecimal():
            raise _cursor_invalid()
        return int(due), name

    async def begin(self, call: Call[BeginRotation]) -> RotationRow | None:
        """Begin one; None if the schedule asks and it is not due, and when it is due is set anew.

        One that has begun `since` the given time is the answer, whatever became of it, and so is
        one that was put off for longer: it begins when this one would. Raises `ConflictError`
        (`rotation_running`, `secret_not_live`), `NotFoundError`.
        """
        cause, now = call.payload.cause, self.world.now()
        asked_by_time = cause is RotationCause.SCHEDULE

        def change(tx: RotationTx) -> RotationRow | None:
            secret = tx.get_secret(call.op.path)
            check_facts_unchanged(call, secret)
            if secret is None:
                raise secret_not_found()
            found = effective_policy(tx, secret)
            latest, policy = tx.get_latest_rotation(secret.id), found.policy
            if latest is not None and 0 < call.payload.since <= latest.began_at:
                return without_value(latest)
            if asked_by_time and (due := _postponed(tx, secret, found, latest, now)):
                tx.put_secret(replace(secret, rotation_due=due.at))
                return None
            if policy is None:
                raise policy_missing()
            delay, by = call.payload.delay, call.identity.name
            return start_rotation(tx, secret, policy, cause=cause, by=by, now=now, delay=delay)

        return await self.store.transact(change)

    async def refuse(self, call: Call[RefuseRotation]) -> RotationRow | None:
        """Put on record that policies do not allow it: the rotation fails, as it does at a target.

        One that could not begin is undone at once, and due again later; of several in a row the
        last one is kept. None: the rotation or secret has changed, and nothing is refused.
        """
        payload, now, jitter = call.payload, self.world.now(), self.world.jitter()
        reason = f"{call.identity.name}: {payload.reason}"

        def change(tx: RotationTx) -> RotationRow | None:
            secret = tx.get_secret(ResourcePath.parse_secret(payload.path))
            latest = None if secret is None else tx.get_latest_rotation(secret.id)
            is_running = latest is not None and not machine.is_over(latest)
            if secret is None or bool(payload.number) != is_running:
                return None
            if latest is None or not is_running:
                found = effective_policy(tx, secret)
                policy = found.policy
                due = _postponed(tx, secret, found, latest, now)
                if due is not None or policy is None:
                    tx.put_secret(replace(secret, rotation_due=due.at if due else NEVER))
                    return None
                row = _new_rotation(
                    secret, policy, latest, RotationCause.SCHEDULE, call.identity.name, now
                )
                if latest is not None and latest.error_code == REFUSED and not latest.fence:
                    row = replace(row, number=latest.number)
                tx.delete_rotation(secret.id, row.number - KEPT)
            elif latest.number == payload.number and 0 < latest.next_at <= now:
                row, policy = latest, parse_policy(latest.policy)
            else:
                return None
            failed = machine.fail(
                row, policy.retry, REFUSED, reason, is_final=not is_running, now=now, jitter=jitter
            )
            settled = end_rotation(tx, failed, now, jitter)
            tx.put_rotation(settled)
            return settled

        return await self.store.transact(change)

    async def resume(self, call: Call[Nothing]) -> RotationRow:
        """Try the step anew that the latest rotation is stuck at. Raises `ConflictError`."""
        return await self._change_latest(call, lambda row: machine.resume(row, self.world.now()))

    async def abandon(self, call: Call[Nothing]) -> RotationRow:
        """Close the latest rotation, which is stuck; its target stays as it is.

        Raises `ConflictError` (`rotation_not_stuck`).
        """
        by = call.identity.name
        return await self._change_latest(
            call, lambda row: machine.abandon(row, by, self.world.now())
        )

    async def undo(self, call: Call[Nothing]) -> RotationRow:
        """Have the latest rotation undone, as long as its value is not current."""
        by = call.identity.name
        return await self._change_latest(
            call,
            lambda row: machine.undo(row, "cancelled", f"undone by {by}", self.world.now()),
        )

    async def _change_latest(
        self, call: Call[Nothing], edit: Callable[[RotationRow], RotationRow]
    ) -> RotationRow:
        def change(tx: RotationTx) -> RotationRow:
            secret = tx.get_secret(call.op.path)
            check_facts_unchanged(call, secret)
            if secret is None:
                raise secret_not_found()
            latest = tx.get_latest_rotation(secret.id)
            if latest is None:
                raise NotFoundError("rotation_missing", "this secret was never rotated")
            edited = end_rotation(tx, edit(latest), now, jitter)
            tx.put_rotation(edited)
            return edited

        now, jitter = self.world.now(), self.world.jitter()
        return without_value(await self.store.transact(change))

    async def _check(self, call: Call[object], policy: RotationPolicy) -> None:
        if policy.cron:
            check_cron(policy.cron)
        self.rotators.get(policy.rotator).parse(policy.config)
        now, path = self.world.now(), call.op.path
        rotated = None if path.endswith("/") else await self.store.get_secret(path)
        if not may_read(self.authorizer, call, path, rotated, now):
            raise AuthorizationError(
                "rotation_policy_denied",
                "a rotator is given the values of what it rotates, and you may not read them: ask "
                "somebody who may to set the policy",
            )
        if not policy.connection:
            return
        secret = await self.store.get_secret(policy.connection)
        if not may_read(
            self.authorizer, call, ResourcePath.parse_secret(policy.connection), secret, now
        ):
            raise AuthorizationError(
                "connection_denied",
                "the rotation would connect with a secret that you may not read: ask somebody who "
                "may to set the policy",
            )
        if secret is None:  # its tags and metadata decide, too, and nobody knows them yet
            raise _connection_missing()


def _connection_missing() -> ValidationError:
    return ValidationError(
        "rotation_policy_invalid",
        "the secret that it connects with is not there: write it first",
        field="connection",
    )


def _cursor_invalid() -> ValidationError:
    return ValidationError("cursor_invalid", "this cursor is of another list", field="cursor")


def check_limit(limit: int) -> None:
    """Raise `ValidationError` (`limit_invalid`)."""
    if not 1 <= limit <= MAX_PAGE_SIZE:
        raise ValidationError("limit_invalid", f"limit must be 1 to {MAX_PAGE_SIZE}", field="limit")


def rotation_reference(row: RotationRow | None) -> object:
    """What the audit log tells of a rotation."""
    if row is None:
        return None
    told = {"secret_id": row.secret_id, "number": row.number, "state": row.state}
    if row.error_code == ABANDONED:
        return told | {"left": row.error}
    return told | {"laggards": row.error} if row.error_code == ADOPTION_INCOMPLETE else told


def end_rotation(tx: RotationTx, row: RotationRow, now: int, jitter: float) -> RotationRow:
    """The rotation as it is stored: once it is over the secret is scheduled anew."""
    if not machine.is_over(row):
        return row
    secret = tx.get_secret(ResourcePath.parse_secret(row.path))
    if secret is not None and secret.id == row.secret_id:
        found = effective_policy(tx, secret)
        due, policy = due_time(tx, secret, found, now), found.policy
        if policy is not None and row.state == RotationState.UNDONE and due != NEVER:
            later = now + retry_delay(policy.retry, policy.retry.attempts, jitter)
            due = max(due, later)  # with a new value
        tx.put_secret(replace(secret, rotation_due=due))
    return replace(row, wrapped_dek=b"", box=b"", kek_generation=0)


def start_rotation(
    tx: RotationTx,
    secret: SecretRow,
    policy: RotationPolicy,
    *,
    cause: RotationCause = RotationCause.REQUEST,
    by: str,
    now: int,
    delay: int = 0,
) -> RotationRow:
    """Begin a rotation, whose steps the scheduler takes. One that was put off begins earlier.

    Raises `ConflictError` (`rotation_running`, `secret_not_live`).
    """
    latest = tx.get_latest_rotation(secret.id)
    if latest is not None and not machine.is_over(latest):
        if machine.is_under_way(latest, now + delay):
            raise rotation_running(latest)
        row = replace(latest, cause=cause, requested_by=by, next_at=now + delay)
        tx.put_rotation(row)
        return without_value(row)
    if not _has_value(tx, secret, now):
        raise secret_not_live()
    row = replace(_new_rotation(secret, policy, latest, cause, by, now), next_at=now + delay)
    tx.put_rotation(row)
    tx.delete_rotation(secret.id, row.number - KEPT)
    tx.put_secret(replace(secret, rotation_due=NEVER))
    return row


def _new_rotation(  # noqa: PLR0917  # what it is made of
    secret: SecretRow,
    policy: RotationPolicy,
    latest: RotationRow | None,
    cause: RotationCause,
    by: str,
    now: int,
) -> RotationRow:
    return RotationRow(
        secret_id=secret.id,
        number=1 if latest is None else latest.number + 1,
        path=secret.name,
        policy=msgspec.to_builtins(policy),
        cause=cause,
        requested_by=by,
        previous=secret.current_version,
        next_at=now,
        began_at=now,
        reads=UNSET if latest is None else latest.reads,
    )


class _Postponed(NamedTuple):
    """When a secret is to be looked at again."""

    at: int


def _postponed(
    tx: RotationTx,
    secret: SecretRow,
    found: EffectivePolicy,
    latest: RotationRow | None,
    now: int,
) -> _Postponed | None:
    """None if a secret that was found due is to be rotated now."""
    if latest is not None and not machine.is_over(latest):
        return _Postponed(NEVER)  # its end schedules the next one
    if not _has_value(tx, secret, now):
        return _Postponed(NEVER if due_time(tx, secret, found, now) == NEVER else now + HOUR)
    if not is_due(tx, secret, found, now):
        return _Postponed(due_time(tx, secret, found, now))
    return None


def policy_missing() -> NotFoundError:
    """No policy says how."""
    return NotFoundError(
        "rotation_policy_missing",
        "neither the secret nor a folder of it has a rotation policy: set one",
    )


def rotation_running(row: RotationRow) -> ConflictError:
    """The one before is not over."""
    return ConflictError("rotation_running", f"rotation {row.number} of it is {row.state}")


def secret_not_live() -> ConflictError:
    """There is nothing to replace."""
    return ConflictError(
        "secret_not_live",
        "the secret has no current value to replace: write its first one, with what the rotation "
        "starts from",
    )


def _has_value(tx: RotationTx, secret: SecretRow, now: int) -> bool:
    version = tx.get_version(secret.id, secret.current_version)
    return version is not None and is_live(version, now)


def without_value(row: RotationRow) -> RotationRow:
    """As callers see it."""
    return replace(row, wrapped_dek=b"", box=b"", kek_generation=0, mac=b"")


def _policy_request(payload: WriteRotationPolicy) -> object:
    return None if payload.policy is None else msgspec.to_builtins(payload.policy)
