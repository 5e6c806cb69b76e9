"""`/api/v1/rotations`, `rotation`, `rotate`: credentials that are changed at their targets."""

import re
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from protocols.instant import (
    DAY,
    go_duration,
    parse_duration,
    parse_rfc3339,
    rfc3339,
    rfc3339_or_none,
)
from vault import operations
from vault.edge.dialect import Dialect
from vault.edge.native.endpoint import Endpoints, system_folder, system_path
from vault.edge.request import Request
from vault.errors import AuthorizationError, ConflictError, NotFoundError, ValidationError
from vault.model.operation import OperationType
from vault.model.path import ResourcePath
from vault.model.payloads import (
    MAX_PAGE_SIZE,
    BeginRotation,
    ListRotations,
    Nothing,
    PauseRotations,
    PlanRotations,
    SelectRotations,
    WriteRotationPolicy,
)
from vault.model.records import RotationRow
from vault.model.results import SelectedSecret
from vault.model.rotation import (
    AdoptionState,
    AdoptionStatus,
    Notify,
    RetryPolicy,
    RotationCause,
    RotationPolicy,
    RotationState,
)

rotations = Endpoints("rotations", "Credentials that are changed at their targets.")

Duration = str | Annotated[int, Meta(ge=0)]  # `30d`, or seconds


MAX_BEGUN: Final = 100  # secrets that one request looks at
MAX_SPREAD: Final = 7 * DAY
MAX_TAGS: Final = 64  # that a secret may have


class RetryBody(Struct, frozen=True, forbid_unknown_fields=True):
    """How often a step is tried, and how long it waits in between: `base`, twice that, … `cap`."""

    attempts: int = 5
    base: Duration = "30s"
    cap: Duration = "1h"


class PolicyBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When and how: `interval` or `cron` (UTC, beginning within `window`), or on request only.

    `max_reads`: also once the value was read so often since the last rotation.
    `config` is the rotator's own; `connection` the path of the secret that lets it in at the
    target. `grace`: so long the old value works at most once the new one is current, and shorter
    once all have fetched that one who fetched the secret within `adoption_window` before.
    `notify`: who is told.
    """

    rotator: str
    config: dict[str, Any] = {}
    connection: str = ""
    enabled: bool = True
    interval: Duration | None = None
    cron: str = ""
    window: Duration = "1h"
    max_reads: Annotated[int, Meta(ge=0)] = 0
    grace: Duration = "24h"
    adoption_window: Duration = "720h"
    retry: RetryBody = RetryBody()
    notify: Notify | None = None

    def parse(self) -> RotationPolicy:
        """Raises `ValidationError`."""
        try:
            retry = RetryPolicy(
                attempts=self.retry.attempts,
                base=parse_duration(self.retry.base, "retry.base"),
                cap=parse_duration(self.retry.cap, "retry.cap"),
            )
            policy = RotationPolicy(
                rotator=self.rotator,
                config=self.config,
                connection=self.connection,
                enabled=self.enabled,
                interval=0 if self.interval is None else parse_duration(self.interval, "interval"),
                cron=self.cron,
                window=parse_duration(self.window, "window"),
                max_reads=self.max_reads,
                grace=parse_duration(self.grace, "grace"),
                adoption_window=parse_duration(self.adoption_window, "adoption_window"),
                retry=retry,
                notify=self.notify,
            )
            return msgspec.convert(msgspec.to_builtins(policy), RotationPolicy)
        except (msgspec.ValidationError, ValueError) as error:
            field = _faulty_field(str(error))
            raise ValidationError("rotation_policy_invalid", str(error), field=field) from None

    @classmethod
    def of(cls, policy: RotationPolicy) -> "PolicyBody":
        """As it is shown."""
        retry = policy.retry
        return cls(
            rotator=policy.rotator,
            config=policy.config,
            connection=policy.connection,
            enabled=policy.enabled,
            interval=go_duration(policy.interval) if policy.interval else None,
            cron=policy.cron,
            window=go_duration(policy.window),
            max_reads=policy.max_reads,
            grace=go_duration(policy.grace),
            adoption_window=go_duration(policy.adoption_window),
            retry=RetryBody(
                attempts=retry.attempts,
                base=go_duration(retry.base),
                cap=go_duration(retry.cap),
            ),
            notify=policy.notify,
        )


class AdoptionBody(Struct, frozen=True, kw_only=True):
    """How far a new value has come. `laggards`: who has not fetched it; `fetched`: how many have.

    `reason`: why it is not known, or not yet.
    """

    state: AdoptionState
    laggards: list[str]
    fetched: int
    reason: str

    @classmethod
    def of(cls, status: AdoptionStatus | None) -> "AdoptionBody | None":
        """From what is known."""
        if status is None:
            return None
        return cls(
            state=status.state,
            laggards=status.laggards,
            fetched=status.fetched,
            reason=status.reason,
        )


class RotationBody(Struct, frozen=True, kw_only=True):
    """One rotation. `previous` is the version that it replaces, `version` the new one, 0 before."""

    path: str
    number: int
    state: str
    rotator: str
    cause: str
    requested_by: str
    previous: int
    version: int
    attempt: int
    began_at: str | None
    next_at: str | None
    current_at: str | None
    ended_at: str | None
    error_code: str
    error: str
    adoption: AdoptionBody | None = None

    @classmethod
    def of(cls, row: RotationRow, adoption: AdoptionStatus | None = None) -> "RotationBody":
        """From the row."""
        return cls(
            path=row.path,
            number=row.number,
            state=row.state,
            rotator=str(row.policy.get("rotator", "")),
            cause=row.cause,
            requested_by=row.requested_by,
            previous=row.previous,
            version=row.version,
            attempt=row.attempt,
            began_at=rfc3339_or_none(row.began_at),
            next_at=rfc3339_or_none(row.next_at),
            current_at=rfc3339_or_none(row.current_at),
            ended_at=rfc3339_or_none(row.ended_at),
            error_code=row.error_code,
            error=row.error,
            adoption=AdoptionBody.of(adoption),
        )


class SecretRotationBody(Struct, frozen=True, kw_only=True):
    """How a secret is rotated. `source`: what the policy belongs to, the secret or a folder."""

    source: str
    policy: PolicyBody | None
    due_at: str | None
    rotations: list[RotationBody]


class RotationList(Struct, frozen=True):
    """Rotations; an empty `cursor` marks the last page."""

    rotations: list[RotationBody]
    cursor: str


class DueBody(Struct, frozen=True):
    """A secret, when its next rotation begins, and what its policy belongs to: it or a folder."""

    path: str
    due_at: str | None
    source: str


class PlanBody(Struct, frozen=True):
    """What is due; an empty `cursor` marks the last page."""

    secrets: list[DueBody]
    cursor: str


class FolderPolicyBody(Struct, frozen=True, kw_only=True):
    """The policy of a folder."""

    path: str
    policy: PolicyBody
    updated_at: str | None
    updated_by: str


class OverviewBody(Struct, frozen=True, kw_only=True):
    """Whether all rotations are paused, the kinds of rotators, the policies of folders."""

    paused: bool
    rotators: list[str]
    policies: list[FolderPolicyBody]


class PauseBody(Struct, frozen=True, forbid_unknown_fields=True):
    """Whether no rotation begins or goes on."""

    paused: bool


class RotateBody(Struct, frozen=True, forbid_unknown_fields=True):
    """Why: on request, or because somebody has the value who should not."""

    cause: Literal["request", "compromise"] = "request"


class ListQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which: below a path, with all tags (`a,b`), in a state, or those that have a next step."""

    prefix: str = ""
    tags: str = ""
    state: RotationState | None = None
    running: bool = False
    cursor: str = ""
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE_SIZE)] = 100


class PlanQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which: below a path, with all tags (`a,b`), due before a time (RFC 3339)."""

    before: str
    prefix: str = ""
    tags: str = ""
    cursor: str = ""
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE_SIZE)] = 100


class RunBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which secrets to rotate now: those in a folder, with all of the tags, or both.

    `since`: a secret is left as it is if a rotation of it began then or later, so a request may be
    repeated. `spread`: each begins at a time of its own within it.
    """

    prefix: str = ""
    tags: Annotated[list[str], Meta(max_length=MAX_TAGS)] = []
    dry_run: bool = False
    since: str = ""
    spread: Duration = 0
    cursor: str = ""
    limit: Annotated[int, Meta(ge=1, le=MAX_BEGUN)] = MAX_BEGUN


class RunItemBody(Struct, frozen=True, kw_only=True):
    """What came of one secret: `begun`, `refused`, or of a dry run `ready`.

    `code` and `message` say why it was refused. `number` and `state` are of the rotation, 0 and
    empty where none has begun.
    """

    path: str
    outcome: Literal["ready", "begun", "refused"]
    number: int = 0
    state: str = ""
    code: str = ""
    message: str = ""

    @classmethod
    def begun(cls, row: RotationRow) -> "RunItemBody":
        """Now, or `since`."""
        return cls(path=row.path, outcome="begun", number=row.number, state=row.state)


class RunResultBody(Struct, frozen=True, kw_only=True):
    """What came of each secret of this page; an empty `cursor` marks the last one.

    `hidden`: secrets that you may list, but whose tags you may not read; none of them was rotated.
    `since` goes into the request for the next page, or into one that repeats this one.
    """

    secrets: list[RunItemBody]
    hidden: int
    since: str
    cursor: str


@rotations.add(
    "GET", "rotations", "List the rotations that you may see", query=ListQuery, returns=RotationList
)
async def list_(dialect: Dialect, request: Request, *, query: ListQuery) -> RotationList:
    payload = ListRotations(
        state="" if query.state is None else query.state.value,
        running=query.running,
        tags=_tags(query.tags),
        cursor=query.cursor,
        limit=query.limit,
    )
    page = await dialect.run_operation(
        request, operations.LIST_ROTATIONS, ResourcePath.parse_folder(query.prefix), payload
    )
    bodies = map(RotationBody.of, page.rotations, page.adoptions)
    return RotationList(list(bodies), page.cursor)


@rotations.add("GET", "rotations/plan", "List what is due", query=PlanQuery, returns=PlanBody)
async def plan(dialect: Dialect, request: Request, *, query: PlanQuery) -> PlanBody:
    payload = PlanRotations(
        before=parse_rfc3339(query.before, "before"),
        tags=_tags(query.tags),
        cursor=query.cursor,
        limit=query.limit,
    )
    page = await dialect.run_operation(
        request, operations.PLAN_ROTATIONS, ResourcePath.parse_folder(query.prefix), payload
    )
    return PlanBody(
        [DueBody(each.path, rfc3339_or_none(each.due), each.source) for each in page.secrets],
        page.cursor,
    )


@rotations.add(
    "POST",
    "rotations/run",
    "Rotate many secrets now, each authorized and recorded by itself",
    body=RunBody,
    returns=RunResultBody,
)
async def run(dialect: Dialect, request: Request, *, body: RunBody) -> RunResultBody:
    spread = parse_duration(body.spread, "spread")
    if not 0 <= spread <= MAX_SPREAD:
        raise ValidationError("duration_invalid", "spread is from 0 to 7d", field="spread")
    now = dialect.world.now()
    since = parse_rfc3339(body.since, "since") if body.since else now
    payload = SelectRotations(
        tags=tuple(body.tags), since=since, cursor=body.cursor, limit=body.limit
    )
    found = await dialect.run_operation(
        request, operations.SELECT_ROTATIONS, ResourcePath.parse_folder(body.prefix), payload
    )
    items = list[RunItemBody]()
    for number, secret in enumerate(found.secrets):
        delay = int(spread * dialect.world.jitter())
        begin = None if body.dry_run else BeginRotation(since=since, delay=delay)
        items.append(await _begin_selected(dialect, request, secret, begin, f".{number}"))
    return RunResultBody(
        secrets=items, hidden=found.hidden, since=rfc3339(since), cursor=found.cursor
    )


async def _begin_selected(
    dialect: Dialect,
    request: Request,
    secret: SelectedSecret,
    begin: BeginRotation | None,
    part: str,
) -> RunItemBody:
    """Begin a rotation of it, unless it cannot be or `begin` is None.

    Raises what is about the caller or the agent: the request may be repeated.
    """
    if secret.rotation is not None:
        return RunItemBody.begun(secret.rotation)
    if secret.code:
        return RunItemBody(
            path=secret.path, outcome="refused", code=secret.code, message=secret.message
        )
    if begin is None:
        return RunItemBody(path=secret.path, outcome="ready")
    path = ResourcePath.parse_secret(secret.path)
    try:
        row = await dialect.run_operation(
            request, operations.BEGIN_ROTATION, path, begin, part=part
        )
    except (AuthorizationError, ConflictError, NotFoundError) as error:  # it has changed since
        return RunItemBody(
            path=secret.path, outcome="refused", code=error.code, message=error.message
        )
    return RunItemBody.begun(_requested(row))


@rotations.add("GET", "rotations/overview", "Read the policies of folders", returns=OverviewBody)
async def overview(dialect: Dialect, request: Request) -> OverviewBody:
    found = await dialect.run_operation(
        request, operations.READ_ROTATIONS, system_folder("rotations"), Nothing()
    )
    return OverviewBody(
        paused=found.paused,
        rotators=found.rotators,
        policies=[
            FolderPolicyBody(
                path=row.path,
                policy=PolicyBody.of(msgspec.convert(row.policy, RotationPolicy)),
                updated_at=rfc3339_or_none(row.updated_at),
                updated_by=row.updated_by,
            )
            for row in found.policies
        ],
    )


@rotations.add(
    "PUT", "rotations/paused", "Pause all rotations, or have them go on", body=PauseBody, status=204
)
async def pause(dialect: Dialect, request: Request, *, body: PauseBody) -> None:
    await dialect.run_operation(
        request,
        operations.PAUSE_ROTATIONS,
        system_path("rotations"),
        PauseRotations(paused=body.paused),
    )


@rotations.add("GET", "rotation/{path}", "Read how a secret is rotated", returns=SecretRotationBody)
async def read(dialect: Dialect, request: Request, name: str) -> SecretRotationBody:
    found = await dialect.run_operation(
        request, operations.READ_ROTATION, ResourcePath.parse_secret(name), Nothing()
    )
    return SecretRotationBody(
        source=found.source,
        policy=None if found.policy is None else PolicyBody.of(found.policy),
        due_at=rfc3339_or_none(found.due),
        rotations=[
            RotationBody.of(row, None if number else found.adoption)
            for number, row in enumerate(found.rotations)
        ],
    )


@rotations.add(
    "PUT",
    "rotation/{path}",
    "Set the policy of a secret, or of a folder (with a closing slash)",
    body=PolicyBody,
    status=204,
)
async def write_policy(dialect: Dialect, request: Request, name: str, *, body: PolicyBody) -> None:
    payload = WriteRotationPolicy(policy=body.parse())
    await dialect.run_operation(request, operations.WRITE_ROTATION_POLICY, _place(name), payload)


@rotations.add(
    "DELETE", "rotation/{path}", "Remove the policy of a secret, or of a folder", status=204
)
async def delete_policy(dialect: Dialect, request: Request, name: str) -> None:
    payload = WriteRotationPolicy(policy=None)
    await dialect.run_operation(request, operations.WRITE_ROTATION_POLICY, _place(name), payload)


@rotations.add(
    "POST",
    "rotate/{path}",
    "Rotate a secret now",
    body=RotateBody,
    returns=RotationBody,
    status=202,
    errors=(409,),
)
async def rotate(
    dialect: Dialect, request: Request, name: str, *, body: RotateBody
) -> RotationBody:
    payload = BeginRotation(cause=RotationCause(body.cause))
    row = await dialect.run_operation(
        request, operations.BEGIN_ROTATION, ResourcePath.parse_secret(name), payload
    )
    return RotationBody.of(_requested(row))


@rotations.add(
    "POST",
    "rotation-resume/{path}",
    "Try the step again that a rotation is stuck at",
    returns=RotationBody,
    errors=(409,),
)
async def resume(dialect: Dialect, request: Request, name: str) -> RotationBody:
    return await _change(dialect, request, operations.RESUME_ROTATION, name)


@rotations.add(
    "POST",
    "rotation-abandon/{path}",
    "Give up a rotation that is stuck, and leave its target as it is",
    returns=RotationBody,
    errors=(409,),
)
async def abandon(dialect: Dialect, request: Request, name: str) -> RotationBody:
    return await _change(dialect, request, operations.ABANDON_ROTATION, name)


@rotations.add(
    "POST",
    "rotation-undo/{path}",
    "Undo a rotation whose value is not current yet",
    returns=RotationBody,
    errors=(409,),
)
async def undo(dialect: Dialect, request: Request, name: str) -> RotationBody:
    return await _change(dialect, request, operations.UNDO_ROTATION, name)


async def _change(
    dialect: Dialect, request: Request, operation: OperationType[Nothing, RotationRow], name: str
) -> RotationBody:
    path = ResourcePath.parse_secret(name)
    return RotationBody.of(await dialect.run_operation(request, operation, path, Nothing()))


def _faulty_field(message: str) -> str:
    """What an error of `RotationPolicy` is about: the place that it names, or its first word."""
    place = re.search(r"at `\$\.([a-z_.]+)", message)
    found = message.partition(" ")[0] if place is None else place[1]
    return found if found.partition(".")[0] in RotationPolicy.__struct_fields__ else "policy"


def _requested(row: RotationRow | None) -> RotationRow:
    if row is None:
        raise AssertionError("only the schedule may find that it is too early")
    return row


def _tags(text: str) -> tuple[str, ...]:
    return tuple(tag for tag in text.split(",") if tag)


def _place(name: str) -> ResourcePath:
    folder = name.endswith("/")
    return ResourcePath.parse_folder(name) if folder else ResourcePath.parse_secret(name)
