"""Values: read, write, patch, roll back. Each write makes a version; none is ever overwritten."""

from dataclasses import dataclass
from typing import Final

import msgspec
from msgspec.structs import replace

from actors.world import World
from protocols import json_text
from protocols.instant import MAX_NS
from vault import operations
from vault.errors import (
    AuthorizationError,
    ConflictError,
    NotFoundError,
    TooLargeError,
    ValidationError,
)
from vault.handlers.access_counters import AccessCounters
from vault.handlers.consumer_recorder import ConsumerRecorder
from vault.handlers.handler import (
    CHANGED_MEANWHILE,
    Call,
    Handler,
    Handlers,
    create_or_update,
    handler_table,
    updated_facts,
)
from vault.handlers.read_limits import ReadLimits
from vault.handlers.rotation_schedule import schedule
from vault.handlers.secret_settings import (
    MAX_VALUE_BYTES,
    cas_required,
    resolve_settings,
    validate_metadata,
    validate_tags,
)
from vault.handlers.stores import SecretStore, SecretTx
from vault.handlers.visibility import secret_facts
from vault.model.acl.access import USUAL_FORM, AclCapability, ApiForm
from vault.model.dynamic import CONNECTIONS
from vault.model.dynamic import MOUNT_TYPE as DATABASE
from vault.model.labels import Labels
from vault.model.mounts import MountTable
from vault.model.operation import COPIES, LARGE_VALUE, NO_FACTS, Capability
from vault.model.path import ResourcePath
from vault.model.payloads import PatchSecret, ReadSecret, RollbackSecret, WriteSecret
from vault.model.records import MountRow, RecordStatus, SecretRow, VersionRow
from vault.model.reference import ReferencePayload
from vault.model.results import SecretValue, SecretWritten

MAX_ATTEMPTS: Final = 10  # at a head and its version; a write has to fall between the two in each


class SecretVersionRef(ReferencePayload, frozen=True):
    """Which value an answer had."""

    secret_id: str
    version: int


@dataclass(frozen=True)
class SecretHandlers:
    """The handlers of `secret.read`, `.write`, `.patch` and `.rollback`."""

    store: SecretStore
    mounts: MountTable
    access: AccessCounters
    consumers: ConsumerRecorder
    read_limits: ReadLimits
    world: World

    def handlers(self) -> Handlers:
        """The operations this file serves."""
        return handler_table(
            Handler(
                operations.READ_SECRET,
                run=self.read,
                capability=Capability.READ,
                targets_secret=True,
                may_be_stale=True,
                audit_response=_audit_response,
            ),
            Handler(
                operations.WRITE_SECRET,
                run=self.write,
                capability=create_or_update,
                mutates=True,
                targets_secret=True,
                proposed_facts=lambda payload, facts: updated_facts(
                    facts, payload.tags, payload.metadata
                ),
                api_forms=write_forms,
                audit_request=_write_request,
                audit_response=_audit_response,
            ),
            Handler(
                operations.PATCH_SECRET,
                run=self.patch,
                capability=Capability.UPDATE,
                mutates=True,
                targets_secret=True,
                api_forms=lambda _: (_PATCH_FORM,),
                audit_request=_patch_request,
                audit_response=_audit_response,
            ),
            Handler(
                operations.ROLL_BACK_SECRET,
                run=self.rollback,
                capability=Capability.UPDATE,
                mutates=True,
                targets_secret=True,
                audit_response=_audit_response,
            ),
        )

    async def read(self, call: Call[ReadSecret]) -> SecretValue:
        """A version's value; its `value` is None where the version is deleted or destroyed.

        Raises `NotFoundError` for no such secret or version, and for a version that has expired.
        """
        payload = call.payload
        require_readable(self.mounts, call.op.path)
        secret, version = await self._find(call, payload.version)
        expires_at = version_expiry(secret, version)
        self._check_expiry(expires_at)
        if expires_at != secret.expires_at:
            secret = replace(secret, expires_at=expires_at)  # of what is shown
        if not is_live(version, self.world.now()):
            return SecretValue(secret=secret, version=version, value=None)
        value = self.store.open_value(version)
        self.access.count_value_read(secret.id)
        self.consumers.record(call.identity, secret.id, secret.name, version.version)
        self.read_limits.note(secret)
        if len(version.box) >= LARGE_VALUE:
            version = replace(version, box=b"")  # not held until the value is sent
        return SecretValue(secret=secret, version=version, value=value)

    async def _find(self, call: Call[object], number: int) -> tuple[SecretRow, VersionRow]:
        """The head, and its version of this number or the current one, which always is there.

        They are looked up in two views of the database. A write in between may have pruned what
        the head named (at once, where one version is kept), so then the head is read again.

        Memory is reserved for a large value. While there is no room, it is not held, so it is
        looked up again afterwards.
        """
        secret = self._readable(call, await self.store.get(call.op.path))
        reserved = 0
        for _ in range(MAX_ATTEMPTS):
            wanted = number or secret.current_version
            version = await self.store.get_version(secret.id, wanted) if wanted else None
            if version is not None:
                needed = _memory_needed(version) - reserved
                if needed <= 0 or call.op.memory.take_nowait(needed):
                    return secret, version
                del version
                await call.reserve(needed)
                reserved += needed
                secret = self._readable(call, await self.store.get(call.op.path))
                continue
            if number or not wanted:
                raise _no_version()
            before = secret
            secret = self._readable(call, await reload_head(self.store, call, before))
            if not is_other_version(before, secret):
                raise _no_version()
        raise changed_meanwhile()

    def _readable(self, call: Call[object], secret: SecretRow | None) -> SecretRow:
        check_facts_unchanged(call, secret)
        if secret is None:
            raise secret_not_found()
        return secret

    def _check_expiry(self, expires_at: int) -> None:
        if expires_at and expires_at <= self.world.now():
            raise NotFoundError("secret_expired", "the secret has expired; write it anew to use it")

    async def write(self, call: Call[WriteSecret]) -> SecretWritten:
        """A new version. Raises `ConflictError` (`cas_mismatch`, `secret_exists`)."""
        payload = call.payload
        _check_size(payload.value)
        metadata = None if payload.metadata is None else validate_metadata(payload.metadata)
        tags = None if payload.tags is None else validate_tags(payload.tags)

        def change(tx: SecretTx) -> SecretWritten:
            secret = tx.get_secret(call.op.path)
            if payload.create_only and secret is not None:
                raise ConflictError("secret_exists", "a secret of this name exists; update it")
            if payload.must_exist and secret is None:
                raise secret_not_found()
            check_existence_unchanged(call, secret)
            self._check_cas(tx, call.op.path, secret, payload.cas)
            head = secret or self._head(tx, call)
            head = replace(
                head,
                metadata=head.metadata if metadata is None else metadata,
                tags=head.tags if tags is None else tags,
            )
            return self._append(tx, call, head, payload.value, payload.expires_at or 0)

        return await self.store.transact(change, max_encryptions=1)

    async def patch(self, call: Call[PatchSecret]) -> SecretWritten:
        """A new version: the current value with a JSON merge patch applied (RFC 7396).

        It expires as the current one does, whose value it has in part. Of what a connection of a
        database mount logs in with no part is kept so. Raises `AuthorizationError`.
        """
        payload = call.payload
        require_readable(self.mounts, call.op.path)  # what is kept would go to another address

        def change(tx: SecretTx) -> SecretWritten:
            secret, current = self._live_version(tx, call, 0)
            self._check_cas(tx, call.op.path, secret, payload.cas)
            value = _merge(tx.open_value(current), payload.patch)
            _check_size(value)
            return self._append(tx, call, secret, value, secret.expires_at)

        return await self.store.transact(change, max_encryptions=1)

    async def rollback(self, call: Call[RollbackSecret]) -> SecretWritten:
        """A new version with the value of an older one, which must not be deleted or expired.

        It expires when that one does.
        """
        payload = call.payload

        def change(tx: SecretTx) -> SecretWritten:
            secret, old = self._live_version(tx, call, payload.version)
            self._check_cas(tx, call.op.path, secret, payload.cas)
            return self._append(tx, call, secret, tx.open_value(old), version_expiry(secret, old))

        return await self.store.transact(change, max_encryptions=1)

    def _live_version(
        self, tx: SecretTx, call: Call[object], number: int
    ) -> tuple[SecretRow, VersionRow]:
        secret = tx.get_secret(call.op.path)
        check_facts_unchanged(call, secret)
        if secret is None:
            raise secret_not_found()
        version = tx.get_version(secret.id, number or secret.current_version)
        if version is None or not is_live(version, self.world.now()):
            raise NotFoundError("version_not_found", "that version is not there or is deleted")
        self._check_expiry(version_expiry(secret, version))
        return secret, version

    def _check_cas(
        self, tx: SecretTx, path: ResourcePath, secret: SecretRow | None, cas: int | None
    ) -> None:
        if cas is None:
            if cas_required(secret, mount_of_secret(tx, self.mounts, path)):
                raise ValidationError(
                    "cas_required", "check-and-set parameter required for this call", field="cas"
                )
            return
        if cas != (secret.current_version if secret else 0):
            raise ConflictError(
                "cas_mismatch", "check-and-set parameter did not match the current version"
            )

    def _append(
        self, tx: SecretTx, call: Call[object], head: SecretRow, value: bytes, expires_at: int
    ) -> SecretWritten:
        return append_version(
            tx, mount_of_secret(tx, self.mounts, call.op.path), head, value,
            expires_at=expires_at, by=call.identity.name, now=self.world.now(),
        )  # fmt: skip

    def _head(self, tx: SecretTx, call: Call[object]) -> SecretRow:
        """Of a secret that is not there yet: `append_version` says as of when.

        Raises `ValidationError` for a name below no mount.
        """
        if mount_of_secret(tx, self.mounts, call.op.path) is None:
            raise _mount_not_found(call.op.path)
        return SecretRow(
            name=str(call.op.path), id=self.world.new_id(), created_at=0, updated_at=0,
            created_by=call.identity.name,
        )  # fmt: skip


def append_version(
    tx: SecretTx,
    mount: MountRow | None,
    head: SecretRow,
    value: bytes,
    *,
    expires_at: int,
    by: str,
    now: int,
) -> SecretWritten:
    """Put the next version and the head that points to it, and prune the oldest.

    `by` is the name of whoever writes it. The head has the expiry of the current version once more,
    for lists and looks.
    """
    settings = resolve_settings(head, mount)
    had_no_value = head.status != RecordStatus.ACTIVE
    number = head.current_version + 1
    wrapped_dek, box, generation = tx.seal(head.id, number, value)
    version = VersionRow(
        secret_id=head.id, version=number, wrapped_dek=wrapped_dek, box=box,
        kek_generation=generation, created_at=now, created_by=by,
        deletion_time=min(now + settings.delete_after, MAX_NS) if settings.delete_after else 0,
        labels=Labels(metadata=head.metadata, tags=head.tags, expires_at=expires_at),
    )  # fmt: skip
    if head.expires_at or expires_at:
        _copy_head_expiry(tx, head)
    tx.insert_version(version)
    oldest = max(head.oldest_version, 1)
    keep_from = max(oldest, number - settings.max_versions + 1)
    for pruned in range(oldest, keep_from):
        tx.delete_version(head.id, pruned)
    head = replace(
        head, current_version=number, oldest_version=keep_from, expires_at=expires_at,
        status=RecordStatus.ACTIVE.value,  # plain text, as it is read back
        created_at=head.created_at or now, updated_at=now,
    )  # fmt: skip
    if had_no_value:
        head = schedule(tx, head, now)
    tx.put_secret(head)
    return SecretWritten(secret=head, version=version)


def mount_of_secret(tx: SecretTx, mounts: MountTable, path: ResourcePath) -> MountRow | None:
    """The mount that a path lies in, as the transaction has it; None if `mounts` has none.

    `mounts` is as of the beginning of the request. Raises `ValidationError` (`no_mount`) where the
    mount was deleted since: its secrets are erased, and none may be left below it.
    """
    known = mounts.find_for_path(path)
    if known is None:
        return None
    mount = tx.get_mount(known.path)
    if mount is None:
        raise _mount_not_found(path)
    return mount


def require_readable(mounts: MountTable, path: ResourcePath) -> None:
    """Raise `AuthorizationError` for what a connection of a database mount logs in with."""
    mount = mounts.find_for_path(path)
    if mount is not None and mount.type == DATABASE and path.startswith(mount.path + CONNECTIONS):
        raise AuthorizationError(
            "connection_unreadable",
            "what a connection logs in with is shown to nobody: write it anew to change it",
        )


def _mount_not_found(path: ResourcePath) -> ValidationError:
    """A secret below no mount could not be reached by Vault's clients, or be found by its mount."""
    folder, below, _ = path.partition("/")
    return ValidationError(
        "no_mount",
        f"there is no mount at {folder}/: create it with 'freehold mount create {folder}/'"
        if below
        else "a secret is named MOUNT/NAME, such as secret/app",
        field="name",
    )


def secret_not_found() -> NotFoundError:
    """The one answer for a secret that is not there."""
    return NotFoundError("secret_not_found", "there is no secret of this name")


def check_existence_unchanged(call: Call[object], secret: SecretRow | None) -> None:
    """Refuse when the secret came or went since step 2 asked for `create` or `update`."""
    if (secret is not None) != call.facts.exists:
        raise changed_meanwhile()
    check_facts_unchanged(call, secret)


def check_facts_unchanged(call: Call[object], secret: SecretRow | None) -> None:
    """Refuse when tags or metadata that step 2 may have decided on are no longer those."""
    if call.needs_facts and call.facts != (NO_FACTS if secret is None else secret_facts(secret)):
        raise changed_meanwhile()


def changed_meanwhile() -> ConflictError:
    """What was looked up in steps does not fit together, because of a write in between."""
    return ConflictError(CHANGED_MEANWHILE, "the secret was changed meanwhile; try again")


async def reload_head(
    store: SecretStore, call: Call[object], before: SecretRow
) -> SecretRow | None:
    """The head, after a look at its versions did not find the one that it named.

    If it is still `before`, it is as the database has it: a cache hears of a commit a moment after
    the database. The cache comes first because of what is written all the time: head and version
    are looked up there without a wait, so without a write, in between.
    """
    secret = await store.get(call.op.path)
    if secret is None or is_other_version(before, secret):
        return secret
    return await store.get_from_database(call.op.path)


def is_other_version(before: SecretRow, after: SecretRow) -> bool:
    """Whether a write made another current version between two looks."""
    return (before.id, before.current_version) != (after.id, after.current_version)


def _memory_needed(version: VersionRow) -> int:
    """Bytes to reserve before a version is decrypted."""
    size = len(version.box)
    return COPIES * size if size >= LARGE_VALUE else 0


def _no_version() -> NotFoundError:
    return NotFoundError("version_not_found", "there is no such version of this secret")


def is_live(version: VersionRow, now: int) -> bool:
    """Whether a version's value may be shown at `now`."""
    return not version.destroyed and not (version.deletion_time and version.deletion_time <= now)


def _check_size(value: bytes) -> None:
    if len(value) > MAX_VALUE_BYTES:
        raise TooLargeError("value_too_large", f"a value may have at most {MAX_VALUE_BYTES} bytes")


def version_expiry(secret: SecretRow, version: VersionRow) -> int:
    """When a version expires, in Unix ns; 0: never."""
    own = _version_own_expiry(version)
    return secret.expires_at if own is None else own


def version_with_expiry(secret: SecretRow, version: VersionRow, expires_at: int) -> VersionRow:
    """The version with an expiry of its own."""
    labels = version.labels
    if not isinstance(labels, Labels):
        labels = Labels(metadata=secret.metadata, tags=secret.tags)
    return replace(version, labels=replace(labels, expires_at=expires_at))


def _version_own_expiry(version: VersionRow) -> int | None:
    return version.labels.expires_at if isinstance(version.labels, Labels) else None


def _copy_head_expiry(tx: SecretTx, head: SecretRow) -> None:
    """Write the head's expiry into the versions of an older program, of all of which it is."""
    for number in range(head.current_version, max(head.oldest_version, 1) - 1, -1):
        version = tx.get_version(head.id, number)
        if version is None:
            continue
        if _version_own_expiry(version) is not None:
            return  # and so have all before it
        tx.put_version(version_with_expiry(head, version, head.expires_at))


def _merge(target: bytes, patch: bytes) -> bytes:
    """RFC 7396, section 2, on the bytes: what is not patched stays as it was written.

    The depth is that of the patch, which the dialect has bounded.
    """
    if not patch.lstrip().startswith(b"{"):
        return patch
    is_object = target.lstrip().startswith(b"{")
    result = json_text.decode(target, type=dict[str, msgspec.Raw]) if is_object else {}
    for key, value in json_text.decode(patch, type=dict[str, msgspec.Raw]).items():
        if bytes(value) == b"null":
            result.pop(key, None)
        else:
            result[key] = msgspec.Raw(_merge(bytes(result.get(key, b"")), bytes(value)))
    return msgspec.json.encode(result)


def _audit_response(result: SecretValue | SecretWritten) -> object:
    """What the audit record tells of the answer: which value it was, not the value."""
    return SecretVersionRef(result.secret.id, result.version.version)


METADATA_FORM: Final = ApiForm("metadata/")
_PATCH_FORM: Final = ApiForm("data/", AclCapability.PATCH)


def write_forms(payload: WriteSecret) -> tuple[ApiForm, ...]:
    """A write of the value and, where they come with it, one of the metadata."""
    both = payload.metadata is not None or payload.tags is not None
    return (USUAL_FORM, METADATA_FORM) if both else (USUAL_FORM,)


def _write_request(payload: WriteSecret) -> object:
    return {
        "data": json_text.decode(payload.value),
        "cas": payload.cas,
        "metadata": payload.metadata,
        "tags": payload.tags,
        "expires_at": payload.expires_at,
    }


def _patch_request(payload: PatchSecret) -> object:
    return {"data": json_text.decode(payload.patch), "cas": payload.cas}
