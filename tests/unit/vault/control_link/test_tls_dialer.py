"""Addresses of control planes, and files that do not fit."""

from pathlib import Path

import pytest
import trio

from actors import SystemWorld
from protocols.link.errors import TransportError
from tests.unit.vault.control_link.office import Office
from vault.control_link.addresses import ControlPlaneAddresses
from vault.control_link.tls_dialer import TlsDialer, parse_address


@pytest.mark.parametrize(
    ("endpoint", "address"),
    [
        ("https://control.test", ("control.test", 443)),
        ("https://control.test:8443/", ("control.test", 8443)),
        ("https://[::1]:9", ("::1", 9)),
    ],
)
def test_an_address_is_host_and_port(endpoint: str, address: tuple[str, int]) -> None:
    """With TLS's port when it names none."""
    assert parse_address(endpoint) == address


@pytest.mark.parametrize(
    "endpoint", ["http://c", "https://", "https://u:p@c", "https://c/x", "https://c?x", "c:1"]
)
def test_anything_else_is_none(endpoint: str) -> None:
    """No path, no user, no plain HTTP."""
    with pytest.raises(ValueError, match="control plane's address"):
        parse_address(endpoint)


async def test_a_key_that_others_can_read_is_not_used(tmp_path: Path) -> None:
    """And one that is gone is told, as an attempt that failed."""
    office = Office(tmp_path)
    await office.enrolled()
    held = office.store.load_credential()
    assert held is not None
    held.identity.key.unlink()
    async with trio.open_nursery() as nursery:
        with pytest.raises(TransportError, match="tls"):
            await TlsDialer(SystemWorld())(nursery, held)


async def test_a_certificate_that_was_renewed_meanwhile_is_not_shown_as_the_old_one(
    tmp_path: Path,
) -> None:
    """The session would be of another one than TLS has shown: a fault that is nobody's."""
    office = Office(tmp_path)
    await office.enrolled()
    before = office.held
    await office.enroller.renew(before)
    assert office.held.leaf != before.leaf
    nobody = ControlPlaneAddresses(("https://127.0.0.1:1",), SystemWorld())
    while "127.0.0.1" not in nobody.address_for(before.enrolment.endpoint):
        nobody.use_next()
    for held, reason in ((before, "renewed"), (office.held, "unreachable")):
        async with trio.open_nursery() as nursery:
            with pytest.raises(TransportError, match=reason):
                await TlsDialer(SystemWorld(), None, nobody)(nursery, held)


async def test_the_keys_of_what_is_said_are_for_the_owner_alone(tmp_path: Path) -> None:
    """The file is there, and private, before the first connection is."""
    office, keylog = Office(tmp_path), tmp_path / "keys.log"
    await office.enrolled()
    held = office.store.load_credential()
    assert held is not None
    nobody = ControlPlaneAddresses(("https://127.0.0.1:1",), SystemWorld())
    while "127.0.0.1" not in nobody.address_for(held.enrolment.endpoint):
        nobody.use_next()
    async with trio.open_nursery() as nursery:
        with pytest.raises(TransportError):
            await TlsDialer(SystemWorld(), keylog, nobody)(nursery, held)
    assert keylog.stat().st_mode & 0o777 == 0o600
