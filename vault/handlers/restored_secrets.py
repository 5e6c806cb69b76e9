"""Secrets of a backup, put back into the vault as new versions, with the rights of one caller.

Each is an ordinary write with the caller's credential: authorized and recorded by itself, under the
request id of the restore and a number.
"""

from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import replace

from actors.world import World
from vault import operations
from vault.authz.access import AccessRequest
from vault.authz.authorizer import Authorizer
from vault.errors import (
    AuthenticationError,
    AuthorizationError,
    InternalError,
    RateLimitError,
    UnavailableError,
    ValidationError,
    VaultError,
)
from vault.handlers.handler import Call, create_or_update, updated_facts
from vault.handlers.secrets import METADATA_FORM, is_live
from vault.handlers.stores import SecretStore
from vault.handlers.visibility import load_stored_facts
from vault.model.acl.access import USUAL_FORM
from vault.model.backup_runs import RestoreAction, RestoredSecret, RestoreSecrets
from vault.model.mounts import MountTable
from vault.model.operation import Operation, OperationType, P, R, RunOperation
from vault.model.path import ResourcePath
from vault.model.payloads import WriteMetadata, WriteSecret
from vault.model.records import SecretRow

MAX_WAITS: Final = 60
"""How often one write waits for the caller's rate limit before the restore is given up."""
_ENDS: Final = (AuthenticationError, InternalError, RateLimitError, UnavailableError)
"""Refusals that the next secret would meet as well."""


@dataclass(frozen=True)
class SecretRestorer:
    """What a restore into the vault works with. `run` is the pipeline's."""

    authorizer: Authorizer
    secrets: SecretStore
    mounts: MountTable
    run: RunOperation
    world: World

    def for_caller(self, call: Call[RestoreSecrets]) -> "CallerRestore":
        """With the rights of this one."""
        return CallerRestore(self, call)


@dataclass
class CallerRestore:
    """One restore, by one caller."""

    parts: SecretRestorer
    call: Call[RestoreSecrets]
    _count: int = field(default=0, init=False)

    async def require_writable(self, names: tuple[str, ...]) -> None:
        """Refuse secrets, not folders, that the caller may not write, whatever a backup has.

        Raises `AuthorizationError`.
        """
        for name in names:
            if not name.endswith("/") and not await self._may_write(name, None, None):
                raise AuthorizationError(
                    "permission_denied",
                    f"permission denied: create or update on {name} is not allowed; ask for a "
                    "policy that allows it (`freehold policy check` says what is missing)",
                    path=name,
                )

    async def may_write(self, head: SecretRow) -> bool:
        """Whether an ordinary write of the secret with its tags and metadata would be allowed."""
        return await self._may_write(head.name, list(head.tags), dict(head.metadata))

    async def put_back(
        self, head: SecretRow, value: bytes | None, problem: str
    ) -> RestoredSecret | None:
        """Write it, or say what would be written; None: the caller may not write it any more.

        Raises what ends the restore: nothing that concerns this secret alone.
        """
        row = RestoredSecret(
            name=head.name, action=RestoreAction.SKIP, backup_version=head.current_version,
            note=problem,
        )  # fmt: skip
        if value is None:
            return row
        if head.expires_at and head.expires_at <= self.parts.world.now():
            return replace(row, note="it has expired since")
        try:
            return await self._put_back(head, value, row)
        except _ENDS:
            raise
        except AuthorizationError:
            return None
        except VaultError as error:
            return replace(
                row, action=RestoreAction.FAILED, error_code=error.code, note=error.message
            )

    async def _put_back(self, head: SecretRow, value: bytes, row: RestoredSecret) -> RestoredSecret:
        path, asked = ResourcePath.parse_secret(head.name), self.call.payload
        now = await self.parts.secrets.get(path)
        row = replace(
            row,
            action=RestoreAction.CREATE if now is None else RestoreAction.WRITE,
            current_version=0 if now is None else now.current_version,
        )
        if now is not None and not asked.overwrite and await self._has_value(now):
            return replace(row, action=RestoreAction.KEEP, note="it has a value: see overwrite")
        if self.parts.mounts.find_for_path(path) is None:
            raise ValidationError("no_mount", f"there is no mount for {path}: create it before")
        if asked.dry_run:
            return row
        payload = WriteSecret(
            value=value,
            cas=row.current_version,
            metadata=dict(head.metadata),
            tags=list(head.tags),
            expires_at=head.expires_at or None,
        )
        written = await self._run(operations.WRITE_SECRET, path, payload)
        row = replace(row, written_version=written.version.version)
        return row if now is not None else await self._restore_settings(path, head, row)

    async def _restore_settings(
        self, path: ResourcePath, head: SecretRow, row: RestoredSecret
    ) -> RestoredSecret:
        """Of a secret that was created: they are no part of a write."""
        if not (head.max_versions or head.cas_required or head.delete_version_after):
            return row
        payload = WriteMetadata(
            max_versions=head.max_versions or None,
            cas_required=head.cas_required or None,
            delete_version_after=head.delete_version_after or None,
            must_exist=True,
        )
        try:
            await self._run(operations.WRITE_METADATA, path, payload)
        except _ENDS:
            raise
        except VaultError as error:
            return replace(
                row,
                error_code=error.code,
                note=f"written, without its settings: {error.message}",
            )
        return row

    async def _has_value(self, head: SecretRow) -> bool:
        """Whether the current version could be read now."""
        now = self.parts.world.now()
        if not head.current_version or (head.expires_at and head.expires_at <= now):
            return False
        version = await self.parts.secrets.get_version(head.id, head.current_version)
        return version is None or is_live(version, now)  # None: it was just replaced

    async def _run(self, operation: OperationType[P, R], path: ResourcePath, payload: P) -> R:
        """As the caller. Waits for the caller's rate limit, `MAX_WAITS` times at most."""
        op, waits = self.call.op, 0
        while True:
            self._count += 1
            try:
                return await self.parts.run(
                    Operation(
                        type=operation,
                        path=path,
                        payload=payload,
                        request_id=f"{op.request_id}.{self._count}",
                        credential=op.credential,
                        origin=op.origin,
                        service=op.service,
                    )
                )
            except RateLimitError as error:
                waits += 1
                if waits > MAX_WAITS:
                    raise
                pause = error.details.get("retry_after")
                await self.parts.world.sleep(float(pause) if isinstance(pause, int) else 1.0)

    async def _may_write(
        self, name: str, tags: list[str] | None, metadata: dict[str, str] | None
    ) -> bool:
        """As the pipeline decides on `secret.write`: on the secret as it is, and as it would be."""
        parts, identity = self.parts, self.call.identity
        path = ResourcePath.parse_secret(name)
        if not parts.authorizer.is_ready(identity):
            await parts.authorizer.prepare(identity)
        needed = parts.authorizer.needs_facts(identity)
        facts = await load_stored_facts(parts.secrets, path, in_full=needed)
        forms = [USUAL_FORM, METADATA_FORM] if tags or metadata else [USUAL_FORM]
        wanted = [facts, updated_facts(facts, tags, metadata)] if needed else [facts]
        return all(
            parts.authorizer.decide(
                AccessRequest(
                    capability=create_or_update(facts),
                    path=path,
                    identity=identity,
                    origin=self.call.op.origin,
                    facts=each,
                    now=parts.world.now(),
                    form=form,
                )
            ).allowed
            for each in wanted
            for form in forms
        )
