"""The keys of a backup, by what its unverified header says."""

import msgspec
import pytest

from tests.support.vaults import MADE
from tests.unit.vault.backup.conftest import Made
from vault.backup.format import Header
from vault.backup.offline import SealedVault
from vault.backup.restore import read_backup_header
from vault.errors import AuthenticationError, ValidationError
from vault.seal.seal_record import SealRecord


def header_with(made: Made, seal: bytes) -> Header:
    """That of a real backup, which says something else of the root key."""
    return msgspec.structs.replace(read_backup_header(made.place, "full"), seal=seal)


@pytest.mark.parametrize("shares", [(0, 0), (3, 1), (2, 3), (256, 2)])
def test_shares_that_cannot_be(made: Made, shares: tuple[int, int]) -> None:
    """Refused before anybody is asked for one."""
    record = SealRecord(
        type="shamir", shares=shares[0], threshold=shares[1], org="o", vault="v", created_at=MADE
    )
    for seal in (msgspec.json.encode(record), b"", b"{}", b"\xff"):
        with pytest.raises(ValidationError) as caught:
            SealedVault.of_backup(header_with(made, seal))
        assert caught.value.code == "backup_invalid"


def test_a_keyring_that_is_none(made: Made) -> None:
    """Whatever is in its place."""
    header = read_backup_header(made.place, "full")
    for wrong in (b"", bytes(100), header.keyring[:-1]):
        vault = SealedVault.of_backup(msgspec.structs.replace(header, keyring=wrong))
        with pytest.raises(AuthenticationError) as caught:
            vault.open_with_shares(lambda _there, _needed: bytes(range(32)))
        assert caught.value.code == "root_key_wrong"
