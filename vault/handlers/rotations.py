"""Rotations as callers see them: the policy of a secret or folder, begin, look, resume, undo."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec
from msgspec.structs import replace

from actors.world import World
from protocols.instant import HOUR
from vault import operations
from vault.authz.access import AccessRequest
from vault.authz.authorizer import Authorizer
from vault.errors import AuthorizationError, ConflictError, NotFoundError, ValidationError
from vault.handlers.adoption import Adoption
from vault.handlers.handler import Call, Handler, Handlers, handler_table
from vault.handlers.secrets import check_facts_unchanged, is_live, secret_not_found
from vault.handlers.stores import RotationStore, RotationTx
from vault.handlers.visibility import Visibility, secret_facts
from vault.model.operation import NO_FACTS, Capability
from vault.model.path import ResourcePath
from vault.model.payloads import (
    MAX_PAGE_SIZE,
    BeginRotation,
    ListRotations,
    Nothing,
    PauseRotations,
    PlanRotations,
    WriteRotationPolicy,
)
from vault.model.records import FolderPolicyRow, RotationRow, SecretRow
from vault.model.results import RotationOverview, RotationPage, RotationPlan, SecretRotation
from vault.model.rotation import (
    ADOPTION_INCOMPLETE,
    AdoptionStatus,
    RotationCause,
    RotationPolicy,
    RotationState,
)
from vault.rotation import machine
from vault.rotation.rotator import Rotators
from vault.rotation.schedule import NEVER, check_cron, may_begin, next_due, retry_delay

KEPT: Final = 20  # rotations of a secret, the latest ones
PAGE: Final = 200  # rows that are looked at in one query
MAX_PAGES: Final = 20  # of one answer; the next one goes on behind them
MOST_JITTER: Final = 1.0  # the earliest that an interval may end


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
                operations.UNDO_ROTATION,
                run=self.undo,
                capability=Capability.UPDATE,
                mutates=True,
                targets_secret=True,
                audit_response=rotation_reference,
            ),
        )

    async def write_policy(self, call: Call[WriteRotationPolicy]) -> Nothing:
        """Set or remove the policy of a secret, or of a folder.

        Whoever sets it must be allowed to read the secret that it connects with: the agent will do
        so for them. Raises `ValidationError`, `AuthorizationError`, `NotFoundError`.
        """
        path, policy, now = call.op.path, call.payload.policy, self.world.now()
        if policy is not None:
            await self._check(call, policy)
            if path.endswith("/") and (policy.interval or policy.cron):
                raise ValidationError(
                    "rotation_policy_invalid",
                    "a folder's policy says how, and not when: give interval or cron in the policy "
                    "of each secret",
                    field="policy",
                )
        document = None if policy is None else msgspec.to_builtins(policy)

        def change(tx: RotationTx) -> None:
            if not path.endswith("/"):
                secret = tx.get_secret(path)
                check_facts_unchanged(call, secret)
                if secret is None:
                    raise secret_not_found()
                changed = replace(secret, rotation_policy=document)
                tx.put_secret(scheduled(tx, changed, now, self.world.jitter()))
            elif document is not None:
                tx.put_folder_policy(
                    FolderPolicyRow(
                        path=str(path), policy=document, updated_at=now,
                        updated_by=call.identity.name,
                    )
                )  # fmt: skip
            elif tx.get_folder_policy(path) is None:
                raise NotFoundError("rotation_policy_missing", "this folder has no rotation policy")
            else:
                tx.delete_folder_policy(path)

        await self.store.transact(change)
        return Nothing()

    async def read(self, call: Call[Nothing]) -> SecretRotation:
        """How a secret is rotated, and how its last rotations went."""
        secret = await self.store.get_secret(call.op.path)
        check_facts_unchanged(call, secret)
        if secret is None:
            raise secret_not_found()
        rotations = [without_value(row) for row in await self.store.list_of_secret(secret.id)]
        source, policy = await load_effective_policy(self.store, secret)
        latest = rotations[0] if rotations else None
        return SecretRotation(
            source=source,
            policy=policy,
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
        """Secrets that are due, of those whose metadata the caller may read."""
        payload, visibility = call.payload, Visibility(self.authorizer, call, self.world.now())
        check_limit(payload.limit)
        after = self.store.open_cursor(payload.cursor) if payload.cursor else ""
        shown, wanted = list[tuple[str, int]](), set(payload.tags)
        for _ in range(MAX_PAGES):
            page = await self.store.list_due_secrets(payload.before, after, PAGE)
            for secret in page:
                after = secret.name
                is_wanted = after.startswith(call.op.path) and wanted <= set(secret.tags)
                if is_wanted and visibility.can_read_metadata(secret):
                    shown.append((secret.name, secret.rotation_due))
                if len(shown) == payload.limit:
                    return RotationPlan(secrets=shown, cursor=self.store.seal_cursor(after))
            if len(page) < PAGE:
                return RotationPlan(secrets=shown, cursor="")
        return RotationPlan(secrets=shown, cursor=self.store.seal_cursor(after))

    async def overview(self, _: Call[Nothing]) -> RotationOverview:
        """The policies of folders, and what there is."""
        return RotationOverview(
            paused=await self.store.is_paused(),
            rotators=self.rotators.names(),
            policies=await self.store.list_folder_policies(),
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
            raise ValidationError(
                "cursor_invalid", "this cursor is of another list", field="cursor"
            )
        return secret_id, int(number)

    async def begin(self, call: Call[BeginRotation]) -> RotationRow | None:
        """Begin one; None if the schedule asks and it is not due, and when it is due is set anew.

        One that has begun `since` the given time is the answer, whatever became of it. Raises
        `ConflictError` (`rotation_running`, `secret_not_live`), `NotFoundError`.
        """
        cause, now, jitter = call.payload.cause, self.world.now(), self.world.jitter()
        asked_by_time = cause is RotationCause.SCHEDULE

        def change(tx: RotationTx) -> RotationRow | None:
            secret = tx.get_secret(call.op.path)
            check_facts_unchanged(call, secret)
            if secret is None:
                raise secret_not_found()
            _, policy = effective_policy(tx, secret)
            latest = tx.get_latest_rotation(secret.id)
            if latest is not None and 0 < call.payload.since <= latest.began_at:
                return without_value(latest)
            if asked_by_time and (due := _postponed(tx, secret, policy, latest, now, jitter)):
                tx.put_secret(replace(secret, rotation_due=due.at))
                return None
            if policy is None:
                raise policy_missing()
            return start_rotation(
                tx, secret, policy, cause=cause, by=call.identity.name, now=now,
                delay=call.payload.delay,
            )  # fmt: skip

        return await self.store.transact(change)

    async def resume(self, call: Call[Nothing]) -> RotationRow:
        """Try the step anew that the latest rotation is stuck at. Raises `ConflictError`."""
        return await self._change_latest(call, lambda row: machine.resume(row, self.world.now()))

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
        if not policy.connection:
            return
        secret = await self.store.get_secret(policy.connection)
        access = AccessRequest(
            capability=Capability.READ,
            path=ResourcePath.parse_secret(policy.connection),
            identity=call.identity,
            origin=call.op.origin,
            facts=NO_FACTS if secret is None else secret_facts(secret),
            now=self.world.now(),
        )
        if not self.authorizer.decide(access).allowed:
            raise AuthorizationError(
                "connection_denied",
                "the rotation would connect with a secret that you may not read: ask somebody who "
                "may to set the policy",
            )
        if secret is None:  # its tags and metadata decide, too, and nobody knows them yet
            raise ValidationError(
                "rotation_policy_invalid",
                "the secret that it connects with is not there: write it first",
                field="connection",
            )


def scheduled(tx: RotationTx, secret: SecretRow, now: int, jitter: float) -> SecretRow:
    """The secret, due as its policy says."""
    _, policy = effective_policy(tx, secret)
    latest = tx.get_latest_rotation(secret.id)
    if latest is not None and not machine.is_over(latest):
        return secret  # its end sets it
    due = NEVER if policy is None else _due(tx, secret, policy, now, jitter)
    return replace(secret, rotation_due=due)


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
    """Begin a rotation, whose steps the scheduler takes.

    Raises `ConflictError` (`rotation_running`, `secret_not_live`).
    """
    latest = tx.get_latest_rotation(secret.id)
    if latest is not None and not machine.is_over(latest):
        raise rotation_running(latest)
    if not _has_value(tx, secret, now):
        raise secret_not_live()
    row = RotationRow(
        secret_id=secret.id,
        number=1 if latest is None else latest.number + 1,
        path=secret.name,
        policy=msgspec.to_builtins(policy),
        cause=cause,
        requested_by=by,
        previous=secret.current_version,
        next_at=now + delay,
        began_at=now,
    )
    tx.put_rotation(row)
    tx.delete_rotation(secret.id, row.number - KEPT)
    tx.put_secret(replace(secret, rotation_due=NEVER))
    return row


def check_limit(limit: int) -> None:
    """Raise `ValidationError` (`limit_invalid`)."""
    if not 1 <= limit <= MAX_PAGE_SIZE:
        raise ValidationError("limit_invalid", f"limit must be 1 to {MAX_PAGE_SIZE}", field="limit")


def effective_policy(tx: RotationTx, secret: SecretRow) -> tuple[str, RotationPolicy | None]:
    """The policy of a secret and the path that it belongs to: its own, or that of a folder."""
    if secret.rotation_policy is not None:
        return secret.name, parse_policy(secret.rotation_policy)
    for folder in _folders(secret.name):
        row = tx.get_folder_policy(folder)
        if row is not None:
            return folder, parse_policy(row.policy)
    return "", None


async def load_effective_policy(
    store: RotationStore, secret: SecretRow
) -> tuple[str, RotationPolicy | None]:
    """As `effective_policy`, without a transaction."""
    if secret.rotation_policy is None:
        for folder in _folders(secret.name):
            row = await store.get_folder_policy(folder)
            if row is not None:
                return folder, parse_policy(row.policy)
        return "", None
    return secret.name, parse_policy(secret.rotation_policy)


def parse_policy(document: object) -> RotationPolicy:
    """A policy as it is stored. Raises `ValidationError` (`rotation_policy_invalid`)."""
    try:
        return msgspec.convert(document, RotationPolicy)
    except (msgspec.ValidationError, ValueError) as error:
        raise ValidationError("rotation_policy_invalid", str(error), field="policy") from None


def rotation_reference(row: RotationRow | None) -> object:
    """What the audit log tells of a rotation."""
    if row is None:
        return None
    told = {"secret_id": row.secret_id, "number": row.number, "state": row.state}
    return told | {"laggards": row.error} if row.error_code == ADOPTION_INCOMPLETE else told


def end_rotation(tx: RotationTx, row: RotationRow, now: int, jitter: float) -> RotationRow:
    """The rotation as it is stored: once it is over the secret is scheduled anew."""
    if not machine.is_over(row):
        return row
    secret = tx.get_secret(ResourcePath.parse_secret(row.path))
    if secret is not None and secret.id == row.secret_id:
        _, policy = effective_policy(tx, secret)
        due = NEVER if policy is None else _due(tx, secret, policy, now, jitter)
        if policy is not None and row.state == RotationState.UNDONE and due != NEVER:
            later = now + retry_delay(policy.retry, policy.retry.attempts, jitter)
            due = max(due, later)  # with a new value
        tx.put_secret(replace(secret, rotation_due=due))
    return replace(row, wrapped_dek=b"", box=b"", kek_generation=0)


class _Postponed(NamedTuple):
    """When a secret is to be looked at again."""

    at: int


def _postponed(  # noqa: PLR0917  # what decides
    tx: RotationTx,
    secret: SecretRow,
    policy: RotationPolicy | None,
    latest: RotationRow | None,
    now: int,
    jitter: float,
) -> _Postponed | None:
    """None if a secret that was found due is to be rotated now."""
    is_running = latest is not None and not machine.is_over(latest)
    if policy is None or not policy.enabled or is_running:
        return _Postponed(NEVER)  # the end of the one that runs schedules it
    if not _has_value(tx, secret, now):
        return _Postponed(now + HOUR)
    if not _is_due(tx, secret, policy, now):
        return _Postponed(_due(tx, secret, policy, now, jitter))
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


def _due(tx: RotationTx, secret: SecretRow, policy: RotationPolicy, now: int, jitter: float) -> int:
    return next_due(policy, _written_at(tx, secret), now, jitter)


def _is_due(tx: RotationTx, secret: SecretRow, policy: RotationPolicy, now: int) -> bool:
    """Whether a policy says so now: the value may have been written since it was scheduled."""
    if policy.interval:
        return next_due(policy, _written_at(tx, secret), 0, MOST_JITTER) <= now
    return may_begin(policy, now)


def _folders(name: str) -> Iterator[str]:
    """The folders of a path, with their closing slash, the innermost first."""
    end = len(name)
    while (end := name.rfind("/", 0, end)) >= 0:
        yield name[: end + 1]


def _written_at(tx: RotationTx, secret: SecretRow) -> int:
    version = tx.get_version(secret.id, secret.current_version)
    return secret.updated_at if version is None else version.created_at


def without_value(row: RotationRow) -> RotationRow:
    """As callers see it."""
    return replace(row, wrapped_dek=b"", box=b"", kek_generation=0, mac=b"")


def _policy_request(payload: WriteRotationPolicy) -> object:
    return None if payload.policy is None else msgspec.to_builtins(payload.policy)
