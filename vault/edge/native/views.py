"""How rows look on the native wire: the design's field names, RFC 3339 times, no internals."""

from msgspec import UNSET, Raw, Struct, UnsetType

from protocols.instant import SECOND, rfc3339, rfc3339_or_none
from vault.edge.native.openapi import ErrorBody
from vault.errors import VaultError
from vault.model.labels import LabelDiff
from vault.model.records import SecretRow
from vault.model.results import SecretInfo, SecretValue, VersionComparison, VersionLabels


class SecretBody(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The design's Secret; `value` is there only when a value was read."""

    id: str
    name: str
    version: int
    status: str
    metadata: dict[str, str]
    tags: list[str]
    created_at: str
    updated_at: str
    created_by: str
    value: Raw | UnsetType = UNSET
    key_id: str = ""
    expires_at: str | None = None
    rotation_due: str | None = None


class VersionBody(Struct, frozen=True, kw_only=True):
    """One version, with who wrote it.

    `metadata_changed`: whether metadata or tags differ from those of the version before; null when
    there is none before, or when one of the two is older than the keeping of metadata.
    """

    version: int
    created_at: str
    created_by: str
    deleted_at: str | None
    destroyed: bool
    metadata_changed: bool | None


class SideBody(Struct, frozen=True, kw_only=True):
    """What was said of a secret once a version was written; `version` 0: what is said now."""

    version: int
    at: str
    by: str
    metadata: dict[str, str]
    tags: list[str]


class DiffBody(Struct, frozen=True, kw_only=True, rename={"before": "from", "after": "to"}):
    """Two versions, and what came, went and changed from the one to the other."""

    before: SideBody
    after: SideBody
    changes: LabelDiff


class InfoBody(Struct, frozen=True, kw_only=True):
    """Everything about a secret but its values."""

    secret: SecretBody
    versions: list[VersionBody]
    max_versions: int
    cas_required: bool
    delete_version_after_seconds: int
    access_count: int
    last_accessed: str | None
    metadata_reads: int
    last_metadata_read: str | None


class PageBody(Struct, frozen=True, kw_only=True):
    """Some secrets in name order; an empty `cursor` marks the last page."""

    secrets: list[SecretBody]
    cursor: str


def secret_body(
    row: SecretRow, *, version: int = 0, value: bytes | None = None, key: str = ""
) -> SecretBody:
    """The head of a secret, with a value where one was read."""
    return SecretBody(
        id=row.id,
        name=row.name,
        version=version or row.current_version,
        status=row.status,
        metadata=row.metadata,
        tags=row.tags,
        created_at=rfc3339_or_none(row.created_at) or "",
        updated_at=rfc3339_or_none(row.updated_at) or "",
        created_by=row.created_by,
        value=UNSET if value is None else Raw(value),
        key_id=key,
        expires_at=rfc3339_or_none(row.expires_at),
        rotation_due=rfc3339_or_none(row.rotation_due),
    )


def value_body(result: SecretValue) -> SecretBody:
    """A value that was read, with the version it is of."""
    version = result.version
    return secret_body(
        result.secret,
        version=version.version,
        value=result.value,
        key=f"kek-{version.kek_generation}",
    )


def version_bodies(info: SecretInfo) -> list[VersionBody]:
    """The versions of a secret."""
    return [
        VersionBody(
            version=row.version,
            created_at=rfc3339(row.created_at),
            created_by=row.created_by,
            deleted_at=rfc3339_or_none(row.deletion_time),
            destroyed=row.destroyed,
            metadata_changed=info.relabelled.get(row.version),
        )
        for row in info.versions
    ]


def diff_body(found: VersionComparison) -> DiffBody:
    """Both sides with their difference."""
    return DiffBody(
        before=_side_body(found.before),
        after=_side_body(found.after),
        changes=LabelDiff.between(found.before.labels, found.after.labels),
    )


def _side_body(of: VersionLabels) -> SideBody:
    return SideBody(
        version=of.version,
        at=rfc3339(of.at),
        by=of.by,
        metadata=of.labels.metadata,
        tags=of.labels.tags,
    )


def info_body(info: SecretInfo) -> InfoBody:
    """Everything but the values. Raises `ValueError` unless the uses were asked for."""
    secret, access = info.secret, info.access
    if access is None:
        raise ValueError("of a secret's uses nothing is known")
    return InfoBody(
        secret=secret_body(secret),
        versions=version_bodies(info),
        max_versions=secret.max_versions,
        cas_required=secret.cas_required,
        delete_version_after_seconds=secret.delete_version_after // 10**9,
        access_count=access.value_reads,
        last_accessed=rfc3339_or_none(access.last_value_read),
        metadata_reads=access.metadata_reads,
        last_metadata_read=rfc3339_or_none(access.last_metadata_read),
    )


def error_body(error: VaultError, request_id: str, now: int) -> ErrorBody:
    """The design's APIError; `now` in Unix nanoseconds."""
    return ErrorBody(
        type=error.type,
        code=error.code,
        message=error.message,
        request_id=request_id,
        timestamp=rfc3339(now // SECOND * SECOND),
        details=dict(error.details),
    )
