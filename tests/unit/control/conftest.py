"""A whole control plane on SQLite, under a clock that moves only when told."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from actors.testing import FakeWorld
from control.config.load import dev_settings
from control.core import Core, open_control_plane
from control.model.people import PLATFORM, Caller, Organization, Role
from control.store import people
from tests.newest import place_authority, place_control

ROOT = Caller(PLATFORM, "admin", Role.OWNER, "t")
PASSWORD = "correct horse battery"


@pytest.fixture
def world() -> FakeWorld:
    """The clock."""
    return FakeWorld()


@pytest.fixture
async def core(tmp_path: Path, world: FakeWorld) -> AsyncIterator[Core]:
    """With the organizations `acme` and `platform`, and the owner `acme/ann`."""
    place_authority(tmp_path, world.now())
    place_control(tmp_path)
    cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    async with open_control_plane(dev_settings("127.0.0.1:0", tmp_path), world, cheap) as opened:
        for org in (PLATFORM, "acme"):
            row = Organization(org, org, world.now())
            await opened.store.write(lambda tx, row=row: people.add_organization(tx, row))
        await opened.people.users.create_user(None, "acme", "ann", Role.OWNER, PASSWORD)
        yield opened
