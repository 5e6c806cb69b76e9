"""The first start: certificate authority, organizations, and the first account."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from actors import World
from control.authn.passwords import check_length
from control.ca.directory import STATE_FILE, CaDirectory
from control.config.settings import Settings
from control.core import Core, open_control_plane
from control.crypto import new_bearer_secret
from control.errors import ConflictError, UnavailableError, ValidationError
from control.model.names import require_slug
from control.model.operation import Operation, Origin
from control.model.people import PLATFORM, Organization, Role
from control.store import people
from control.store.rows import Tx
from control.store.store import open_reader
from protocols.pki import files
from protocols.pki.pin import pin_of

ADMIN: Final = "admin"
LOCAL_SOURCE: Final = "local"
"""Where the record of it says that it came from."""


async def is_initialized(core: Core) -> bool:
    """Whether somebody can sign in."""
    return bool(await core.store.read(lambda tx: people.count_owners(tx, PLATFORM)))


async def require_uninitialized(core: Core) -> None:
    """Raise `ConflictError` where somebody can sign in."""
    if await is_initialized(core):
        raise _initialized()


def _initialized() -> ConflictError:
    return ConflictError(
        "already_initialized",
        "this control plane has accounts: sign in, or recover one with "
        "'freehold control user recover platform admin'",
    )


async def create_admin(core: Core, password: str) -> None:
    """Make the super-admin `platform/admin`, with an audit record. Raises `ValidationError`."""
    made = Organization(PLATFORM, "The control plane", core.world.now())

    def change(tx: Tx) -> None:
        if people.get_organization(tx, PLATFORM) is None:
            people.add_organization(tx, made)

    await core.store.write(change)
    await core.people.users.create_user(None, PLATFORM, ADMIN, Role.OWNER, password)
    await _record_created(core, "users.create_user", PLATFORM, ADMIN)


async def create_organization(core: Core, org: str, title: str) -> None:
    """Make the first tenant, with an audit record. Raises `ConflictError`, `ValidationError`."""
    await core.people.users.create_organization(org, title or org)
    await _record_created(core, "organizations.create", org, org)


async def _record_created(core: Core, name: str, org: str, target: str) -> None:
    request = core.world.new_id()
    op = Operation(
        name=name, request_id=request, credential=None, origin=Origin(ip=LOCAL_SOURCE), org=org,
        target=target,
    )  # fmt: skip
    await core.audit.log.record(op, None, "outcome", "ok")


def needs_authority(settings: Settings) -> bool:
    """Whether the settings have a link and there is no authority yet."""
    return settings.link is not None and not (settings.link.authority / STATE_FILE).exists()


async def need_authority(settings: Settings, world: World) -> None:
    """Raise `UnavailableError` where the settings have a link and there is no authority.

    `ca_missing` where somebody can sign in: then nothing else is missing.
    """
    if settings.link is None or not needs_authority(settings):
        return
    if not await _has_accounts(settings, world):
        raise not_initialized()
    folder = settings.link.authority
    raise UnavailableError(
        "ca_missing",
        f"no certificate authority in {folder}: restore it from a backup, or, if there was none, "
        "make one with "
        f"'freehold control ca init --root FOLDER --directory {folder}'",
    )


def not_initialized() -> UnavailableError:
    """Nobody can sign in yet."""
    return UnavailableError(
        "not_initialized",
        "nobody can sign in yet: run 'freehold control init ORGANIZATION --config FILE --root "
        "FOLDER' once (without --root where you have installed an authority already)",
    )


def _root_missing(settings: Settings) -> ValidationError:
    folder = settings.link.authority if settings.link is not None else ""
    return ValidationError(
        "root_missing",
        f"there is no authority in {folder} yet: pass --root FOLDER for the root's key, which you "
        "take away from this machine afterwards",
    )


def create_authority(settings: Settings, root: Path | None, label: str, now: int) -> str:
    """Make the authority of `link.authority` unless it exists; the pin that agents need.

    The root's key is kept in `root` alone. Returns the empty string without a link. Raises
    `PkiError`, `ControlError`.
    """
    if settings.link is None:
        return ""
    directory = CaDirectory(settings.link.authority)
    if needs_authority(settings):
        if root is None:
            raise _root_missing(settings)
        directory.create_authority(root, label, now)
    return pin_of(directory.issuing_state().authority.root)


async def initialize(
    settings: Settings,
    world: World,
    *,
    organization: str,
    title: str,
    root: Path | None,
    password: Callable[[], str],
) -> str:
    """Make the authority, the first organization and the first account; the pin for agents.

    The arguments are checked before anything is made, and `password` is called only where there are
    no accounts. Parts that a failed attempt has made stay and are used. Returns the empty string
    without a link. Raises `ControlError`, `PkiError`, `OSError`.
    """
    require_slug(organization, "organization")
    if root is None and needs_authority(settings):
        raise _root_missing(settings)
    await _need_fresh_database(settings, world)
    chosen = check_length(await world.run_sync(password))
    pin = await world.run_sync(create_authority, settings, root, organization, world.now())
    settings = settings.model_copy(update={"redis": None})  # alone on the database
    async with open_control_plane(settings, world) as core:
        await require_uninitialized(core)
        with suppress(ConflictError):  # an attempt before this one has made it
            await create_organization(core, organization, title)
        await create_admin(core, chosen)
    return pin


async def _need_fresh_database(settings: Settings, world: World) -> None:
    """Raise `ConflictError` where somebody can sign in; no database is fine."""
    if await _has_accounts(settings, world):
        raise _initialized()


async def _has_accounts(settings: Settings, world: World) -> bool:
    try:
        async with open_reader(settings.database.url.get_secret_value(), world) as store:
            return bool(await store.read(lambda tx: people.count_owners(tx, PLATFORM)))
    except UnavailableError:
        return False  # none yet, or another version's: `open_control_plane` says what is wrong


def read_or_create_password(file: Path) -> str:
    """The password in the file; without the file, one is made there at random.

    Raises `PkiKeyError` for a file that cannot be written or that others may read.
    """
    if not file.exists():
        files.write_atomically(file, f"{new_bearer_secret('first')}\n".encode(), files.SECRET_MODE)
    return files.read_file(file, secret=True).decode().strip()


def create_dev_authority(folder: Path, now: int) -> None:
    """Make an authority in `folder/ca`, its root in `folder/root`, unless it exists.

    Raises `PkiError`.
    """
    directory = CaDirectory(folder / "ca")
    if not (directory.path / STATE_FILE).exists():
        directory.create_authority(folder / "root", "Freehold development", now)
