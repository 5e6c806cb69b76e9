"""The first start: the platform's organization, and the one account that can make all others.

For development also the authority, which elsewhere a person makes (`freehold control ca init`).
"""

from pathlib import Path
from typing import Final

from control.api.plane import Plane
from control.ca.directory import STATE, CaDirectory
from control.crypto import mint
from control.model.people import PLATFORM, Organization, Role
from control.store import people
from control.store.rows import Tx

ADMIN: Final = "admin"


async def first_admin(plane: Plane) -> str | None:
    """The password of the super-admin `platform/admin`, if this start has made it; to be shown."""
    if await plane.store.read(lambda tx: people.count_owners(tx, PLATFORM)):
        return None
    made = Organization(PLATFORM, "The control plane", plane.world.now())

    def change(tx: Tx) -> None:
        if people.organization(tx, PLATFORM) is None:
            people.add_organization(tx, made)

    await plane.store.write(change)
    password = mint("first")
    await plane.users.create(None, PLATFORM, ADMIN, Role.OWNER, password)
    return password


def dev_authority(folder: Path, now: int) -> None:
    """An authority in `folder/ca`, its root in `folder/root`, unless there is one.

    Raises `PkiError`.
    """
    directory = CaDirectory(folder / "ca")
    if not (directory.path / STATE).exists():
        directory.init(folder / "root", "Freehold development", now)
