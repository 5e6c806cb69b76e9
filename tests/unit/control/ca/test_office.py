"""One ledger, one issuer, shared by all that lets agents in or out."""

from pathlib import Path

import pytest

from actors.testing import FakeWorld
from control.ca.directory import CaDirectory
from control.ca.issuer import ControlKeys
from control.ca.memory import MemoryLedger
from control.ca.office import Office
from control.errors import NotFoundError
from control.genesis import dev_authority
from tests.unit.control.ca.harness import Asking

KEYS = ControlKeys(b"l" * 32, b"p" * 32)


async def test_a_rollover_reaches_every_service(tmp_path: Path) -> None:
    """They issue with the same standing."""
    world = FakeWorld()
    dev_authority(tmp_path, world.now())
    directory = CaDirectory(tmp_path / "ca")
    office = Office.open(directory, MemoryLedger(), KEYS, lambda _: None, world)
    made = await office.enrolment.create("acme", "v1", "ann")
    grant = await office.enrolment.enrol(Asking().enrol(made.text))
    assert (grant.link_key, grant.policy_key) == KEYS
    assert made.pin == office.issuer.pin


def test_without_an_authority_there_is_no_office(tmp_path: Path) -> None:
    """And it says what to do."""
    with pytest.raises(NotFoundError, match="make one first: freehold control ca init --root"):
        Office.open(CaDirectory(tmp_path), MemoryLedger(), KEYS, lambda _: None, FakeWorld())
