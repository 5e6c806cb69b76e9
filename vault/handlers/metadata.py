"""Metadata: everything about a secret but its values; reading it never counts as a use."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from msgspec import UNSET
from msgspec.structs import replace

from actors.world import World
from vault import operations
from vault.errors import NotFoundError
from vault.handlers.access_counters import AccessCounters
from vault.handlers.handler import (
    Call,
    Handler,
    Handlers,
    create_or_update,
    handler_table,
    updated_facts,
)
from vault.handlers.secret_settings import validate_max_versions, validate_metadata, validate_tags
from vault.handlers.secrets import (
    MAX_ATTEMPTS,
    METADATA_FORM,
    changed_meanwhile,
    check_existence_unchanged,
    check_facts_unchanged,
    is_other_version,
    mount_of_secret,
    reload_head,
    secret_not_found,
    version_with_expiry,
)
from vault.handlers.stores import SecretStore, SecretTx
from vault.model.labels import Labels
from vault.model.mounts import MountTable
from vault.model.operation import Capability, SecretFacts
from vault.model.payloads import CompareVersions, ReadMetadata, WriteMetadata
from vault.model.records import SecretRow, VersionRow
from vault.model.results import SecretInfo, VersionComparison, VersionLabels

_PAGE = 100  # version rows a query; each has its sealed value and its labels with it
_FIRST_PAGE = 16  # the same, while it is not known how large they are
CACHED_VERSIONS = (
    32  # versions that are looked for one by one; a mount keeps 10 unless it is told otherwise
)
SMALL_BYTES = 1 << 18  # bytes that they have together: they are unpacked while everybody waits


@dataclass(frozen=True)
class MetadataHandlers:
    """The handlers of `secret.metadata.read`, `.diff` and `.write`."""

    store: SecretStore
    mounts: MountTable
    access: AccessCounters
    world: World

    def handlers(self) -> Handlers:
        """The operations this file serves."""
        return handler_table(
            Handler(
                operations.READ_METADATA,
                run=self.read,
                capability=Capability.READ_METADATA,
                targets_secret=True,
                may_be_stale=True,
                audit_response=lambda info: {"secret_id": info.secret.id},
            ),
            Handler(
                operations.COMPARE_METADATA,
                run=self.diff,
                capability=Capability.READ_METADATA,
                targets_secret=True,
                audit_request=lambda payload: {"before": payload.before, "after": payload.after},
                audit_response=lambda found: {"secret_id": found.secret.id},
            ),
            Handler(
                operations.WRITE_METADATA,
                run=self.write,
                capability=create_or_update,
                mutates=True,
                targets_secret=True,
                proposed_facts=_proposed,
                api_forms=lambda _: (METADATA_FORM,),
                audit_response=lambda secret: {"secret_id": secret.id},
            ),
        )

    async def read(self, call: Call[ReadMetadata]) -> SecretInfo:
        """The head, its versions with who wrote each, and the access counts if they are wanted."""
        payload = call.payload
        secret, versions, relabelled = await self._with_versions(call)
        access = await self.access.get(secret.id) if payload.uses else None
        self.access.count_metadata_read(secret.id)
        mount = self.mounts.find_for_path(call.op.path)
        return SecretInfo(
            secret=secret, versions=versions, relabelled=relabelled, access=access, mount=mount
        )

    async def diff(self, call: Call[CompareVersions]) -> VersionComparison:
        """The labels of two versions. Whoever may read the metadata may read what they were.

        Raises `NotFoundError`: `version_not_found`, or `labels_not_kept` for a version that was
        written before labels were kept.
        """
        payload = call.payload
        secret = await self._secret(call)
        found = VersionComparison(
            secret=secret,
            before=await self._labelled(secret, payload.before),
            after=await self._labelled(secret, payload.after),
        )
        self.access.count_metadata_read(secret.id)
        return found

    async def write(self, call: Call[WriteMetadata]) -> SecretRow:
        """Change what the payload names; makes a secret without versions where there is none.

        Raises `ValidationError` (`no_mount`) where the mount was deleted meanwhile.
        """
        payload = call.payload

        def change(tx: SecretTx) -> SecretRow:
            now = self.world.now()
            secret = tx.get_secret(call.op.path)
            if secret is None and payload.must_exist:
                raise secret_not_found()
            check_existence_unchanged(call, secret)
            mount_of_secret(tx, self.mounts, call.op.path)
            head = secret or SecretRow(
                name=str(call.op.path), id=self.world.new_id(), created_at=now, updated_at=now,
                created_by=call.identity.name,
            )  # fmt: skip
            head = replace(_edited(head, payload), updated_at=now)
            tx.put_secret(head)
            if payload.expires_at is not None:
                _expire_current(tx, head)
            return head

        return await self.store.transact(change)

    async def _secret(self, call: Call[object]) -> SecretRow:
        return _require_secret(call, await self.store.get(call.op.path))

    async def _with_versions(
        self, call: Call[object]
    ) -> tuple[SecretRow, list[VersionRow], dict[int, bool]]:
        """As `SecretInfo` has them, the current version being the newest one of the list.

        They are looked up in two views of the database: see `SecretHandlers.read`.
        """
        secret = await self._secret(call)
        for _ in range(MAX_ATTEMPTS):
            versions, relabelled = await self._versions(secret)
            if secret.current_version == (versions[-1].version if versions else 0):
                return secret, versions, relabelled
            before = secret
            secret = _require_secret(call, await reload_head(self.store, call, before))
            if not is_other_version(before, secret):
                return secret, versions, relabelled
        raise changed_meanwhile()

    async def _labelled(self, secret: SecretRow, number: int) -> VersionLabels:
        if not number:
            return VersionLabels.current(secret)
        version = await self.store.get_version(secret.id, number)
        if version is None:
            raise NotFoundError("version_not_found", "there is no such version of this secret")
        labelled = VersionLabels.of_version(version)
        if labelled is None:
            raise NotFoundError(
                "labels_not_kept",
                f"version {number} was written before metadata was kept with each version; "
                "compare versions that were written since",
            )
        return labelled

    async def _versions(self, secret: SecretRow) -> tuple[list[VersionRow], dict[int, bool]]:
        """As `SecretInfo` has them; of few versions as they are cached, where all of them are."""
        told = _VersionHistory()
        numbers = range(max(secret.oldest_version, 1), secret.current_version + 1)
        if (
            len(numbers) <= CACHED_VERSIONS
            and (rows := await self._few(secret, numbers)) is not None
        ):
            told.extend(rows)
            return told.rows, told.relabelled
        after, limit = None, self._first_page(secret)
        while True:
            page = await self.store.list_versions(secret.id, after, limit)
            told.extend(page)
            if len(page) < limit:
                return told.rows, told.relabelled
            after = page[-1].version
            limit = _PAGE if sum(map(_size, page)) <= SMALL_BYTES else _FIRST_PAGE
            del page  # its values are not held while the next page is loaded

    def _first_page(self, secret: SecretRow) -> int:
        """How many versions to ask for at first: few unless it is known that they are small."""
        newest = self.store.get_cached_version(secret.id, secret.current_version)
        if newest is None:
            return _FIRST_PAGE
        return _PAGE if _size(newest) * _PAGE <= SMALL_BYTES else _FIRST_PAGE

    async def _few(self, secret: SecretRow, numbers: range) -> Sequence[VersionRow] | None:
        """These versions; None where they have to be asked for.

        Small ones are brought into the cache, so that they are there the next time. Whether they
        are is told by the newest, which comes with the head: the versions of a secret are alike.
        """
        cached = self.store.get_cached_versions(secret, numbers, SMALL_BYTES)
        if cached is not None:
            head, versions = cached
            return versions if head == secret else None  # not secret: a row
        newest = self.store.get_cached_version(secret.id, numbers[-1]) if numbers else None
        if newest is None or _size(newest) * len(numbers) > SMALL_BYTES:
            return None
        return await self.store.load_versions(secret.id, numbers)


class _VersionHistory:
    """What is told of versions, which are added in their order: nothing of what is sealed."""

    def __init__(self) -> None:
        self.rows: list[VersionRow] = []
        self.relabelled: dict[int, bool] = {}
        self._before: VersionLabels | None = None

    def extend(self, rows: Iterable[VersionRow]) -> None:
        """Some more."""
        for row in rows:
            labelled = VersionLabels.of_version(row)
            if labelled and self._before:
                self.relabelled[row.version] = labelled.labels != self._before.labels
            self._before = labelled
            self.rows.append(replace(row, wrapped_dek=b"", box=b"", labels=UNSET))


def _size(row: VersionRow) -> int:
    """Bytes of what is unpacked of it, about: its value, and the labels that it keeps."""
    labels = row.labels
    if not isinstance(labels, Labels):
        return len(row.box)
    words = sum(len(key) + len(value) for key, value in labels.metadata.items())
    return len(row.box) + words + sum(map(len, labels.tags))


def _require_secret(call: Call[object], secret: SecretRow | None) -> SecretRow:
    check_facts_unchanged(call, secret)
    if secret is None:
        raise secret_not_found()
    return secret


def _expire_current(tx: SecretTx, head: SecretRow) -> None:
    """Have the current version expire when its head does."""
    current = tx.get_version(head.id, head.current_version) if head.current_version else None
    if current is not None:
        tx.put_version(version_with_expiry(head, current, head.expires_at))


def _proposed(payload: WriteMetadata, facts: SecretFacts) -> SecretFacts:
    metadata = None
    if payload.metadata is not None:
        metadata = _merged(facts.metadata, payload)
    return updated_facts(facts, payload.tags, metadata)


def _merged(old: dict[str, str], payload: WriteMetadata) -> dict[str, str]:
    given = payload.metadata or {}
    merged = {**old, **given} if payload.merge else given
    return {key: value for key, value in merged.items() if value is not None}


def _edited(head: SecretRow, payload: WriteMetadata) -> SecretRow:
    changes: dict[str, object] = {
        name: value
        for name in ("cas_required", "delete_version_after", "expires_at")
        if (value := getattr(payload, name)) is not None
    }
    if payload.max_versions is not None:
        changes["max_versions"] = validate_max_versions(payload.max_versions)
    if payload.tags is not None:
        changes["tags"] = validate_tags(payload.tags)
    if payload.metadata is not None:
        changes["metadata"] = validate_metadata(_merged(head.metadata, payload), payload.metadata)
    return replace(head, **changes)
