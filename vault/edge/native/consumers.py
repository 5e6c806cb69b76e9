"""`/api/v1/consumers`, `readers`, `identities`: who has which secret, and the end of access."""

from typing import Annotated

from msgspec import Meta, Struct

from protocols.instant import rfc3339_or_none
from vault import operations
from vault.edge.dialect import Dialect
from vault.edge.native.endpoint import Endpoints, system_path
from vault.edge.request import Request
from vault.model.path import ResourcePath
from vault.model.payloads import MAX_PAGE_SIZE, ListReaders, Nothing
from vault.model.records import ConsumerRow
from vault.model.results import ExposedSecret, Exposure

consumers = Endpoints("consumers", "Who has which secret.")


class ConsumerBody(Struct, frozen=True, kw_only=True):
    """Who fetched a secret: `kind` `key`, `user` or `token`, and the highest version it fetched."""

    kind: str
    id: str
    name: str
    version: int
    fetched_at: str | None
    compromised_at: str | None

    @classmethod
    def of(cls, row: ConsumerRow) -> "ConsumerBody":
        """From the row."""
        kind, _, id_ = row.consumer.partition(":")
        return cls(
            kind=kind,
            id=id_,
            name=row.name,
            version=row.version,
            fetched_at=rfc3339_or_none(row.fetched_at),
            compromised_at=rfc3339_or_none(row.compromised_at),
        )


class DependentBody(Struct, frozen=True):
    """What connects with a secret: `kind` `rotation`, and its path."""

    kind: str
    path: str


class SecretConsumersBody(Struct, frozen=True, kw_only=True):
    """Who fetches a secret, and what connects with it.

    `hidden`: dependents that the caller may not see. `partial`: there were more consumers than are
    kept.
    """

    path: str
    version: int
    written_at: str | None
    rotated_at: str | None
    consumers: list[ConsumerBody]
    partial: bool
    dependents: list[DependentBody]
    hidden: int


class ReaderBody(Struct, frozen=True, kw_only=True):
    """Who may read a secret, by the rule of a policy; `conditional`: not now and from here."""

    kind: str
    id: str
    name: str
    rule: str
    conditional: bool


class ReaderList(Struct, frozen=True, kw_only=True):
    """A page; an empty `cursor` marks the last one. `hidden`: kinds that one may not list."""

    readers: list[ReaderBody]
    hidden: list[str]
    cursor: str


class ExposedBody(Struct, frozen=True, kw_only=True):
    """A secret that an identity has fetched; `rotator` is empty where it is changed by hand.

    `state`: `pending`, `running`, `stuck` or `done`.
    """

    path: str
    version: int
    current_version: int
    fetched_at: str | None
    connection: bool
    rotator: str
    state: str

    @classmethod
    def of(cls, secret: ExposedSecret) -> "ExposedBody":
        """From the result."""
        return cls(
            path=secret.path,
            version=secret.version,
            current_version=secret.current_version,
            fetched_at=rfc3339_or_none(secret.fetched_at),
            connection=secret.is_connection,
            rotator=secret.rotator,
            state=secret.state,
        )


class ExposureBody(Struct, frozen=True, kw_only=True):
    """What an identity has fetched, in the order in which to rotate it.

    `hidden`: secrets that the caller may not see. `partial`: there is more than is shown.
    """

    kind: str
    id: str
    name: str
    active: bool
    secrets: list[ExposedBody]
    hidden: int
    partial: bool

    @classmethod
    def of(cls, found: Exposure) -> "ExposureBody":
        """From the result."""
        return cls(
            kind=found.kind,
            id=found.id,
            name=found.name,
            active=found.is_active,
            secrets=list(map(ExposedBody.of, found.secrets)),
            hidden=found.hidden,
            partial=found.is_partial,
        )


class RevokedBody(Struct, frozen=True, kw_only=True):
    """An identity whose credentials are over; `keys`: how many API keys were revoked now."""

    kind: str
    id: str
    name: str
    keys: int


class ReaderQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """A page."""

    cursor: str = ""
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE_SIZE)] = 100


@consumers.add("GET", "consumers/{path}", "List who fetched a secret", returns=SecretConsumersBody)
async def list_(dialect: Dialect, request: Request, name: str) -> SecretConsumersBody:
    found = await dialect.run_operation(
        request, operations.LIST_CONSUMERS, ResourcePath.parse_secret(name), Nothing()
    )
    return SecretConsumersBody(
        path=found.secret.name,
        version=found.secret.current_version,
        written_at=rfc3339_or_none(found.written_at),
        rotated_at=rfc3339_or_none(found.rotated_at),
        consumers=list(map(ConsumerBody.of, found.consumers)),
        partial=found.is_partial,
        dependents=[DependentBody(one.kind, one.path) for one in found.dependents],
        hidden=found.hidden,
    )


@consumers.add(
    "GET", "readers/{path}", "List who may read a secret", query=ReaderQuery, returns=ReaderList
)
async def readers(
    dialect: Dialect, request: Request, name: str, *, query: ReaderQuery
) -> ReaderList:
    page = await dialect.run_operation(
        request,
        operations.LIST_READERS,
        ResourcePath.parse_secret(name),
        ListReaders(cursor=query.cursor, limit=query.limit),
    )
    return ReaderList(
        readers=[
            ReaderBody(
                kind=one.kind,
                id=one.id,
                name=one.name,
                rule=one.rule,
                conditional=one.is_conditional,
            )
            for one in page.readers
        ],
        hidden=page.hidden,
        cursor=page.cursor,
    )


@consumers.add(
    "GET",
    "identities/{identity}",
    "List what a user, or a token by its accessor, has fetched",
    returns=ExposureBody,
)
async def exposure(dialect: Dialect, request: Request, identity: str) -> ExposureBody:
    return ExposureBody.of(
        await dialect.run_operation(
            request, operations.READ_EXPOSURE, system_path("identities", identity), Nothing()
        )
    )


@consumers.add(
    "POST",
    "identities/{identity}/revoke",
    "Disable a user, and end all credentials",
    returns=RevokedBody,
    errors=(409,),
)
async def revoke(dialect: Dialect, request: Request, identity: str) -> RevokedBody:
    found = await dialect.run_operation(
        request, operations.REVOKE_IDENTITY, system_path("identities", identity), Nothing()
    )
    return RevokedBody(kind=found.kind, id=found.id, name=found.name, keys=found.keys)
