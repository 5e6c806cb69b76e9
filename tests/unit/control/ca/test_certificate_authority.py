"""One ledger, one issuer, shared by all that lets agents in or out."""

from pathlib import Path

import pytest

from actors.testing import FakeWorld
from control.bootstrap import create_dev_authority
from control.ca.certificate_authority import CertificateAuthority
from control.ca.directory import CaDirectory
from control.ca.issuer import ControlKeys
from control.errors import NotFoundError
from tests.support.memory_ca_store import MemoryCaStore
from tests.unit.control.ca.harness import Asking

KEYS = ControlKeys(b"l" * 32, b"p" * 32)


async def test_a_rollover_reaches_every_service(tmp_path: Path) -> None:
    """They issue with the same standing."""
    world = FakeWorld()
    create_dev_authority(tmp_path, world.now())
    directory = CaDirectory(tmp_path / "ca")
    office = CertificateAuthority.load(directory, MemoryCaStore(), KEYS, lambda _: None, world)
    made = await office.enrolment.create_token("acme", "v1", "ann")
    grant = await office.enrolment.enrol_agent(Asking().enrol(made.text))
    assert (grant.link_key, grant.policy_key) == KEYS
    assert made.pin == office.issuer.pin


def test_without_an_authority_there_is_no_office(tmp_path: Path) -> None:
    """And it says what to do."""
    with pytest.raises(NotFoundError, match="make one first: freehold control ca init --root"):
        CertificateAuthority.load(
            CaDirectory(tmp_path), MemoryCaStore(), KEYS, lambda _: None, FakeWorld()
        )
