"""The life of versions: delete (can be undone), undelete, destroy (cannot), purge everything."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from actors.world import World
from protocols.instant import MAX_NS
from vault import operations
from vault.errors import ValidationError
from vault.handlers.handler import Call, Handler, Handlers, handler_table
from vault.handlers.rotation_schedule import schedule
from vault.handlers.secret_settings import resolve_settings
from vault.handlers.secrets import (
    check_facts_unchanged,
    is_live,
    mount_of_secret,
    secret_not_found,
)
from vault.handlers.stores import SecretStore, SecretTx
from vault.model.acl.access import USUAL_FORM, AclCapability, ApiForm
from vault.model.mounts import MountTable
from vault.model.operation import Capability, OperationType, P
from vault.model.payloads import Nothing, SecretVersions
from vault.model.records import RecordStatus, SecretRow, VersionRow

MAX_VERSIONS_AT_ONCE: Final = 1_000  # versions that one operation changes

Edit = Callable[[VersionRow, int, int], VersionRow]
"""A version, the time now, and after how long it is hidden by itself (ns, 0: never)."""


@dataclass(frozen=True)
class VersionHandlers:
    """The handlers of `secret.delete`, `.undelete`, `.destroy` and `.purge`."""

    store: SecretStore
    mounts: MountTable
    world: World

    def handlers(self) -> Handlers:
        """The operations this file serves."""
        return handler_table(
            _handler(operations.DELETE_VERSIONS, self.delete, Capability.DELETE, _delete_forms),
            _handler(
                operations.UNDELETE_VERSIONS, self.undelete, Capability.DELETE, _form(_UNDELETE)
            ),
            _handler(operations.DESTROY_VERSIONS, self.destroy, Capability.DESTROY),
            _handler(operations.PURGE_SECRET, self.purge, Capability.DESTROY, _form(_PURGE)),
            # KV v1 has no way back: there, deleting is erasing, and takes no more than `delete`.
            _handler(operations.REMOVE_SECRET, self.purge, Capability.DELETE, _form(_PURGE)),
        )

    async def delete(self, call: Call[SecretVersions]) -> SecretRow:
        """Hide versions; `undelete` brings them back. Deleting twice changes nothing."""
        return await self._edit(call, _deleted)

    async def undelete(self, call: Call[SecretVersions]) -> SecretRow:
        """Show deleted versions again; destroyed ones stay destroyed.

        Where versions are hidden after a time, that time begins anew.
        """
        return await self._edit(call, _undeleted)

    async def destroy(self, call: Call[SecretVersions]) -> SecretRow:
        """Erase the sealed value and its wrapped key for good; the version's record stays."""
        return await self._edit(call, _destroyed)

    async def purge(self, call: Call[Nothing]) -> SecretRow:
        """Erase the secret with all versions and its metadata; its name is free again."""

        def change(tx: SecretTx) -> SecretRow:
            secret = tx.get_secret(call.op.path)
            check_facts_unchanged(call, secret)
            if secret is None:
                raise secret_not_found()
            tx.erase_secret(secret)
            return secret

        return await self.store.transact(change)

    async def _edit(self, call: Call[SecretVersions], edit: Edit) -> SecretRow:
        payload = call.payload
        wanted = frozenset(payload.versions)
        if len(wanted) > MAX_VERSIONS_AT_ONCE:  # the writer is held for as long as this takes
            raise ValidationError(
                "versions_invalid",
                f"at most {MAX_VERSIONS_AT_ONCE} versions at once",
                field="versions",
            )

        def change(tx: SecretTx) -> SecretRow:
            secret = tx.get_secret(call.op.path)
            check_facts_unchanged(call, secret)
            if secret is None:
                raise secret_not_found()
            now = self.world.now()
            mount = mount_of_secret(tx, self.mounts, call.op.path)
            after = resolve_settings(secret, mount).delete_after
            kept = range(secret.oldest_version, secret.current_version + 1)
            for number in sorted(n for n in wanted or (secret.current_version,) if n in kept):
                version = tx.get_version(secret.id, number)
                if version is not None and (edited := edit(version, now, after)) is not version:
                    tx.put_version(edited)
            head = _with_status(tx, secret, now)
            if head is not secret:
                if head.status == RecordStatus.ACTIVE:
                    head = schedule(tx, head, now)
                tx.put_secret(head)
            return head

        return await self.store.transact(change)


_DELETE: Final = ApiForm("delete/", AclCapability.UPDATE)
_UNDELETE: Final = ApiForm("undelete/", AclCapability.UPDATE)
_PURGE: Final = ApiForm("metadata/", AclCapability.DELETE)


def _form(form: ApiForm = USUAL_FORM) -> Callable[[object], tuple[ApiForm, ...]]:
    return lambda _: (form,)


def _delete_forms(payload: SecretVersions) -> tuple[ApiForm, ...]:
    return (_DELETE if payload.versions else USUAL_FORM,)


def _handler(
    operation: OperationType[P, SecretRow],
    run: Callable[[Call[P]], Awaitable[SecretRow]],
    capability: Capability,
    api_forms: Callable[[P], tuple[ApiForm, ...]] = _form(),  # noqa: B008  # never changed
) -> Handler[P, SecretRow]:
    return Handler(
        operation,
        run=run,
        capability=capability,
        mutates=True,
        targets_secret=True,
        api_forms=api_forms,
        audit_response=lambda secret: {"secret_id": secret.id},
    )


def _deleted(version: VersionRow, now: int, _after: int) -> VersionRow:
    return replace(version, deletion_time=now) if is_live(version, now) else version


def _undeleted(version: VersionRow, now: int, after: int) -> VersionRow:
    if version.destroyed:
        return version
    ends = min(now + after, MAX_NS) if after else 0
    return version if version.deletion_time == ends else replace(version, deletion_time=ends)


def _destroyed(version: VersionRow, _now: int, _after: int) -> VersionRow:
    if version.destroyed:
        return version
    return replace(version, destroyed=True, wrapped_dek=b"", box=b"")


def _with_status(tx: SecretTx, secret: SecretRow, now: int) -> SecretRow:
    """The head with the status that its current version gives it."""
    current = tx.get_version(secret.id, secret.current_version)
    if current is None:
        return secret
    status = RecordStatus.ACTIVE
    if current.destroyed:
        status = RecordStatus.DESTROYED
    elif not is_live(current, now):
        status = RecordStatus.DELETED
    return secret if status == secret.status else replace(secret, status=status, updated_at=now)
