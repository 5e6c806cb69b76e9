"""Commands on the machine of the database and the keys, without the control plane's process.

Reading works beside a running control plane. SQLite takes one process that writes: to change
something in it, stop the control plane first.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from actors import World
from control.api.views import EventView, audit_event_view
from control.authn.attempts import clear_attempts
from control.authn.passwords import Passwords
from control.authn.users import require_user
from control.config.settings import Settings
from control.errors import NotFoundError
from control.key_files import public_bytes, read_signing_key
from control.model.operation import Operation, Origin
from control.services.alerts import Alerts
from control.services.audit_log import GENESIS_HASH, AuditLogReader, append_event, new_audit_event
from control.services.delegated_authority import DelegatedAuthority, Delegations
from control.services.deletion_guard import confirm
from control.services.event_bus import EventBus
from control.services.signed_heads import HEADS_FILE, MAX_FILE_BYTES, SignedHead, decode_heads
from control.store import audit_records, people, second_factors
from control.store.rows import Tx
from control.store.store import Store, StoreReader, open_reader, open_store
from protocols.pki import files

LOCAL_SOURCE: Final = "local"
"""Where its record says that it came from."""


async def restore_account(
    store: Store, passwords: Passwords, org: str, name: str, password: str
) -> Delegations:
    """Set a new password, remove the second factor and all other credentials.

    The audit record is written in the same transaction. Returns what the account has set up, to be
    reviewed, and what of it was withdrawn. Raises `ValidationError` for the password,
    `NotFoundError`.
    """
    hashed, world = await passwords.hash_password(password), passwords.world
    alerts = Alerts(store, EventBus(), world)
    authority = DelegatedAuthority(store, alerts, EventBus(), world)
    now = world.now()
    op = Operation(
        name="users.rescue",
        request_id=world.new_id(),
        credential=None,
        origin=Origin(ip=LOCAL_SOURCE),
        org=org,
        target=name,
    )

    def change(tx: Tx) -> Delegations:
        user = require_user(tx, org, name)
        changed_at = max(now, user.changed_at + 1)
        people.put_user(tx, replace(user, password=hashed, disabled=False, changed_at=changed_at))
        clear_attempts(tx, org, name)
        second_factors.delete_factor(tx, org, name)
        people.delete_tokens(tx, org, name)
        append_event(tx, new_audit_event(op, None, "outcome", "ok", now=now))
        return authority.review_account(tx, f"{org}/{name}")[0]

    return await store.write(change)


EXPORT_PAGE: Final = 1000


class AuditLogVerification(Struct, frozen=True):
    """The verdict on one organization's audit log.

    `kept`: how many records the signed head beside the keys covers. `broken_at`: the first record
    that was changed, 0 for none.
    """

    organization: str
    records: int
    kept: int
    broken_at: int
    head: bytes


async def verify_audit_logs(settings: Settings, world: World) -> list[AuditLogVerification]:
    """Verify every organization's chain against its signed head.

    Raises `ControlError`, `PkiKeyError`, `OSError`.
    """
    kept = await world.run_sync(_read_signed_heads, settings)
    async with _open_for_reading(settings, world) as store:
        trail = AuditLogReader(store, await world.run_sync(read_witness_key, settings))
        known = [org for org, _, _ in await store.read(audit_records.chain_ends)]
        names = sorted({*known, *kept})  # an audit log that is gone whole has a head all the same
        return [await _verify_one(trail, org, kept.get(org)) for org in names]


async def export_audit_log(
    settings: Settings, world: World, org: str, write_record: Callable[[EventView], None]
) -> None:
    """Write every record of an organization, the oldest first.

    Raises as `verify_audit_logs`, and `NotFoundError` for an organization that does not and did not
    exist.
    """
    async with _open_for_reading(settings, world) as store:
        known = {name for name, _, _ in await store.read(audit_records.chain_ends)}
        if (
            org not in known
            and await store.read(lambda tx: people.get_organization(tx, org)) is None
        ):
            raise NotFoundError(
                "not_found",
                f"there is no organization {org}: 'freehold control audit verify' lists those that "
                "have a trail",
            )
        trail, after = AuditLogReader(store), 0
        while page := await trail.events_after(org, after, EXPORT_PAGE):
            for row in page:
                write_record(audit_event_view(row))
            after = page[-1].seq


async def recover_account(
    settings: Settings, world: World, org: str, name: str, password: str
) -> Delegations:
    """As `restore_account`, on the database of the settings. Raises as `verify_audit_logs`, too."""
    async with _open_for_writing(settings, world) as store:
        return await restore_account(store, Passwords(world), org, name, password)


def _open_for_reading(settings: Settings, world: World) -> AbstractAsyncContextManager[StoreReader]:
    return open_reader(settings.database.url.get_secret_value(), world)


async def confirm_clock(settings: Settings, world: World) -> None:
    """Confirm that the machine's clock is right, so that old rows are deleted again.

    See `control.services.deletion_guard`. Raises as `verify_audit_logs`.
    """
    async with _open_for_writing(settings, world) as store:
        await store.write(lambda tx: confirm(tx, world.wall()))


@asynccontextmanager
async def _open_for_writing(settings: Settings, world: World) -> AsyncIterator[Store]:
    """The store of a control plane that is stopped; the database has to exist."""
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
    """The public key that signs reports and bases; empty where it was not made yet."""
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
