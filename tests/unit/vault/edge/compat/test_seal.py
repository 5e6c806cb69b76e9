"""Tests of initialising, unsealing and sealing."""

import pytest

from tests.unit.vault.edge.compat.conftest import Wire
from vault.errors import AuthorizationError
from vault.seal.manager import SealStatus

SEALED = SealStatus(type="shamir", initialized=True, sealed=True)


@pytest.mark.parametrize(
    "more", [{"pgp_keys": ["k"]}, {"root_token_pgp_key": "k"}, {"recovery_shares": 3}]
)
async def test_what_cannot_be_kept_is_refused(wire: Wire, more: dict[str, object]) -> None:
    """Ignoring a PGP key would tell the shares in clear to whoever sees the answer."""
    body = {"secret_shares": 1, "secret_threshold": 1} | more
    assert (await wire.ask("PUT", "sys/init", body)).status == 400
    assert wire.gate.calls == []


@pytest.mark.parametrize("body", [{}, {"key": ""}, {"key": "?"}, {"key": "abc"}])
async def test_no_share(wire: Wire, body: object) -> None:
    """Neither nothing nor anything else."""
    assert (await wire.ask("PUT", "sys/unseal", body)).status == 400
    assert wire.gate.calls == []


async def test_reset(wire: Wire) -> None:
    """Begin again; there is nothing to begin in an open vault."""
    assert (await wire.ask("PUT", "sys/unseal", {"reset": True})).errors == ["vault is unsealed"]
    wire.gate.state = SEALED
    assert (await wire.ask("PUT", "sys/unseal", {"reset": True})).json["sealed"] is True
    assert wire.gate.calls == ["reset"]


async def test_seal_without_the_right(wire: Wire) -> None:
    """It stays open."""
    wire.gate.answers["sys.seal"] = AuthorizationError("permission_denied", "permission denied")
    assert (await wire.ask("PUT", "sys/seal")).status == 403
    assert wire.gate.calls == []
