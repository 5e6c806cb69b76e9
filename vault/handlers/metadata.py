"""Metadata: everything about a secret but its values; reading it never counts as a use."""

from dataclasses import dataclass

from msgspec.structs import replace

from actors.world import World
from vault.barrier import SECRETS, VERSIONS, Barrier, Query, VaultTx
from vault.handlers.access import AccessCounters
from vault.handlers.handler import Call, Handler, Handlers, create_or_update, retagged
from vault.handlers.secrets import check_decided, check_upsert, no_secret
from vault.handlers.settings import checked_metadata, checked_tags, checked_versions
from vault.model.mounts import MountBook
from vault.model.operation import Capability, Facts
from vault.model.payloads import WriteMetadata
from vault.model.records import SecretRow, VersionRow
from vault.model.results import SecretInfo

_PAGE = 1000  # version rows a query


@dataclass(frozen=True)
class Metadata:
    """The handlers of `secret.metadata.read` and `.write`."""

    barrier: Barrier
    mounts: MountBook
    access: AccessCounters
    world: World

    def handlers(self) -> Handlers:
        """The operations this file serves."""
        return {
            "secret.metadata.read": Handler(
                run=self.read,
                capability=Capability.READ_METADATA,
                on_secret=True,
                response=lambda info: {"secret_id": info.secret.id},
            ),
            "secret.metadata.write": Handler(
                run=self.write,
                capability=create_or_update,
                mutates=True,
                on_secret=True,
                proposes=_proposed,
                response=lambda secret: {"secret_id": secret.id},
            ),
        }

    async def read(self, call: Call) -> SecretInfo:
        """The head, its versions with who wrote each, and the access counts."""
        secret = await self.barrier.get(SECRETS, call.op.path)
        check_decided(call, secret)
        if secret is None:
            raise no_secret()
        versions = await self._versions(secret)
        access = await self.access.get(secret.id)
        self.access.metadata_read(secret.id)
        mount = self.mounts.match(call.op.path)
        return SecretInfo(secret=secret, versions=versions, access=access, mount=mount)

    async def write(self, call: Call) -> SecretRow:
        """Change what the payload names; makes a secret without versions where there is none."""
        payload: WriteMetadata = call.payload

        def change(tx: VaultTx) -> SecretRow:
            now = self.world.now()
            secret = tx.get(SECRETS, call.op.path)
            if secret is None and payload.must_exist:
                raise no_secret()
            check_upsert(call, secret)
            head = secret or SecretRow(
                name=str(call.op.path), id=self.world.new_id(), created_at=now, updated_at=now,
                created_by=call.identity.name,
            )  # fmt: skip
            head = replace(_edited(head, payload), updated_at=now)
            tx.put(SECRETS, head)
            return head

        return await self.barrier.commit(change)

    async def _versions(self, secret: SecretRow) -> list[VersionRow]:
        found: list[VersionRow] = []
        after = None
        while True:
            query = Query(equals={"secret_id": secret.id}, after=after, limit=_PAGE)
            page = await self.barrier.select(VERSIONS, query)
            found += page
            if len(page) < _PAGE:
                return found
            after = (secret.id, page[-1].version)


def _proposed(payload: WriteMetadata, facts: Facts) -> Facts:
    metadata = None
    if payload.metadata is not None:
        metadata = _merged(facts.metadata, payload)
    return retagged(facts, payload.tags, metadata)


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
        changes["max_versions"] = checked_versions(payload.max_versions)
    if payload.tags is not None:
        changes["tags"] = checked_tags(payload.tags)
    if payload.metadata is not None:
        changes["metadata"] = checked_metadata(_merged(head.metadata, payload))
    return replace(head, **changes)
