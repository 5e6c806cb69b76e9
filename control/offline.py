"""What is done where the database and the keys are, without the control plane's process.

Reading is done beside a control plane that runs. SQLite takes one process that writes: to change
something in it the control plane has to be stopped.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

from msgspec import Struct

from actors import World
from control.account_recovery import restore_account
from control.api.views import EventView, audit_event_view
from control.authn.passwords import Passwords
from control.config.settings import Settings
from control.errors import NotFoundError
from control.key_files import public_bytes, read_signing_key
from control.services.audit_log import GENESIS_HASH, AuditLogReader
from control.services.deletion_guard import confirm
from control.services.signed_heads import HEADS_FILE, MAX_FILE_BYTES, SignedHead, decode_heads
from control.store import audit_records, people
from control.store.store import Store, StoreReader, open_reader, open_store
from protocols.pki import files

EXPORT_PAGE: Final = 1000


class AuditLogVerification(Struct, frozen=True):
    """An organization's trail: `kept` records are in the signed head beside the keys.

    `broken_at`: the first record that is not as it was, 0 when all are.
    """

    organization: str
    records: int
    kept: int
    broken_at: int
    head: bytes


async def verify_audit_logs(settings: Settings, world: World) -> list[AuditLogVerification]:
    """Every organization's chain, held against its signed head.

    Raises `ControlError`, `PkiKeyError`, `OSError`.
    """
    kept = await world.run_sync(_read_signed_heads, settings)
    async with _open_for_reading(settings, world) as store:
        trail = AuditLogReader(store, await world.run_sync(read_witness_key, settings))
        known = [org for org, _, _ in await store.read(audit_records.chain_ends)]
        names = sorted({*known, *kept})  # a trail that is gone whole has a head all the same
        return [await _verify_one(trail, org, kept.get(org)) for org in names]


async def export_audit_log(
    settings: Settings, world: World, org: str, write_record: Callable[[EventView], None]
) -> None:
    """Every record of an organization, the oldest first.

    Raises as `verify_audit_logs`, and `NotFoundError` for one that there is not and never was.
    """
    async with _open_for_reading(settings, world) as store:
        known = {name for name, _, _ in await store.read(audit_records.chain_ends)}
        if (
            org not in known
            and await store.read(lambda tx: people.get_organization(tx, org)) is None
        ):
            raise NotFoundError(
                "not_found",
                f"there is no organization {org}: 'freehold control trail verify' lists those that "
                "have a trail",
            )
        trail, after = AuditLogReader(store), 0
        while page := await trail.events_after(org, after, EXPORT_PAGE):
            for row in page:
                write_record(audit_event_view(row))
            after = page[-1].seq


async def recover_account(
    settings: Settings, world: World, org: str, name: str, password: str
) -> None:
    """Let somebody in again (`rescue`). Raises as `verify_audit_logs`."""
    async with _open_for_writing(settings, world) as store:
        await restore_account(store, Passwords(world), org, name, password)


def _open_for_reading(settings: Settings, world: World) -> AbstractAsyncContextManager[StoreReader]:
    return open_reader(settings.database.url.get_secret_value(), world)


async def confirm_clock(settings: Settings, world: World) -> None:
    """Say that the machine's clock is right, so that old rows are deleted again (`deletions`).

    Raises as `verify_audit_logs`.
    """
    async with _open_for_writing(settings, world) as store:
        await store.write(lambda tx: confirm(tx, world.wall()))


@asynccontextmanager
async def _open_for_writing(settings: Settings, world: World) -> AsyncIterator[Store]:
    """The store to change, of a control plane that does not run; it has to be there."""
    url = settings.database.url.get_secret_value()
    async with _open_for_reading(settings, world):
        pass
    async with open_store(url, world, shared=url.startswith("postgresql")) as store:
        yield store


async def _verify_one(
    trail: AuditLogReader, org: str, head: SignedHead | None
) -> AuditLogVerification:
    at = (0, GENESIS_HASH) if head is None else (head.size, head.hash)
    verdict = await trail.verify_chain(org, at)
    return AuditLogVerification(org, verdict.size, at[0], verdict.broken_at, verdict.head)


def read_witness_key(settings: Settings) -> bytes:
    """The public key that reports and bases are signed with; empty where there is none yet."""
    folder = settings.keys.folder
    if not (folder / "witness.pem").exists():
        return b""
    return public_bytes(read_signing_key(folder, "witness"))


def _read_signed_heads(settings: Settings) -> dict[str, SignedHead]:
    """The signed heads; none where the control plane has not run for a minute yet."""
    path = settings.keys.folder / HEADS_FILE
    if not path.exists():
        return {}
    key = read_signing_key(settings.keys.folder, "witness")
    return decode_heads(files.read_file(path, secret=True, most=MAX_FILE_BYTES), public_bytes(key))
