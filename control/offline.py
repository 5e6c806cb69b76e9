"""What is done where the database and the keys are, without the control plane's process.

Reading is done beside a control plane that runs. SQLite takes one process that writes: to change
something in it the control plane has to be stopped.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

from msgspec import Struct

from actors import World
from control.api.views import EventView, event
from control.authn.passwords import Passwords
from control.config.settings import Settings
from control.errors import NotFoundError
from control.keys import public, signing_key
from control.rescue import rescue
from control.services.deletions import confirm
from control.services.heads import FILE, MAX_FILE, Head, decoded
from control.services.trail import START, TrailReader
from control.store import people, records
from control.store.store import Store, StoreReader, open_reader, open_store
from protocols.pki import files

PAGE: Final = 1000


class Finding(Struct, frozen=True):
    """An organization's trail: `kept` records are in the signed head beside the keys.

    `broken_at`: the first record that is not as it was, 0 when all are.
    """

    organization: str
    records: int
    kept: int
    broken_at: int
    head: bytes


async def verify_trails(settings: Settings, world: World) -> list[Finding]:
    """Every organization's chain, held against its signed head.

    Raises `ControlError`, `PkiKeyError`, `OSError`.
    """
    kept = await world.run_sync(_kept, settings)
    async with _reading(settings, world) as store:
        trail = TrailReader(store, await world.run_sync(witness_key, settings))
        known = [org for org, _, _ in await store.read(records.ends)]
        names = sorted({*known, *kept})  # a trail that is gone whole has a head all the same
        return [await _one(trail, org, kept.get(org)) for org in names]


async def export_trail(
    settings: Settings, world: World, org: str, tell: Callable[[EventView], None]
) -> None:
    """Every record of an organization, the oldest first.

    Raises as `verify_trails`, and `NotFoundError` for one that there is not and never was.
    """
    async with _reading(settings, world) as store:
        known = {name for name, _, _ in await store.read(records.ends)}
        if org not in known and await store.read(lambda tx: people.organization(tx, org)) is None:
            raise NotFoundError(
                "not_found",
                f"there is no organization {org}: 'freehold control trail verify' lists those that "
                "have a trail",
            )
        trail, after = TrailReader(store), 0
        while page := await trail.onward(org, after, PAGE):
            for row in page:
                tell(event(row))
            after = page[-1].seq


async def recover_account(
    settings: Settings, world: World, org: str, name: str, password: str
) -> None:
    """Let somebody in again (`rescue`). Raises as `verify_trails`."""
    async with _writing(settings, world) as store:
        await rescue(store, Passwords(world), org, name, password)


def _reading(settings: Settings, world: World) -> AbstractAsyncContextManager[StoreReader]:
    return open_reader(settings.database.url.get_secret_value(), world)


async def confirm_clock(settings: Settings, world: World) -> None:
    """Say that the machine's clock is right, so that old rows are deleted again (`deletions`).

    Raises as `verify_trails`.
    """
    async with _writing(settings, world) as store:
        await store.write(lambda tx: confirm(tx, world.wall()))


@asynccontextmanager
async def _writing(settings: Settings, world: World) -> AsyncIterator[Store]:
    """The store to change, of a control plane that does not run; it has to be there."""
    url = settings.database.url.get_secret_value()
    async with _reading(settings, world):
        pass
    async with open_store(url, world, shared=url.startswith("postgresql")) as store:
        yield store


async def _one(trail: TrailReader, org: str, head: Head | None) -> Finding:
    at = (0, START) if head is None else (head.size, head.hash)
    verdict = await trail.verify(org, at)
    return Finding(org, verdict.size, at[0], verdict.broken_at, verdict.head)


def witness_key(settings: Settings) -> bytes:
    """The public key that reports and bases are signed with; empty where there is none yet."""
    folder = settings.keys.folder
    if not (folder / "witness.pem").exists():
        return b""
    return public(signing_key(folder, "witness"))


def _kept(settings: Settings) -> dict[str, Head]:
    """The signed heads; none where the control plane has not run for a minute yet."""
    path = settings.keys.folder / FILE
    if not path.exists():
        return {}
    key = signing_key(settings.keys.folder, "witness")
    return decoded(files.read(path, secret=True, most=MAX_FILE), public(key))
