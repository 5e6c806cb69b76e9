"""Tests of initialising, unsealing and sealing."""

import pytest

from tests.unit.vault.edge.compat.conftest import NOW, Wire
from vault.errors import AuthorizationError
from vault.model.health import KeyringState, KeyStatus
from vault.seal.manager import SealStatus

SEALED = SealStatus(type="shamir", initialized=True, sealed=True)


async def test_initialise(wire: Wire) -> None:
    """The shares in hex and base64, the token; a vault with a key file opens at once."""
    answer = await wire.ask(
        "PUT", "sys/init", {"secret_shares": 2, "secret_threshold": 2, "pgp_keys": None}
    )
    assert answer.json == {
        "keys": ["010203", "fffefd"], "keys_base64": ["AQID", "//79"], "root_token": "s.root",
    }  # fmt: skip
    assert wire.gate.calls == [("initialise", 2, 2), "unseal_alone"]
    assert (await wire.ask("GET", "sys/init")).json == {"initialized": True}


@pytest.mark.parametrize(
    "more", [{"pgp_keys": ["k"]}, {"root_token_pgp_key": "k"}, {"recovery_shares": 3}]
)
async def test_what_cannot_be_kept_is_refused(wire: Wire, more: dict[str, object]) -> None:
    """Ignoring a PGP key would tell the shares in clear to whoever sees the answer."""
    body = {"secret_shares": 1, "secret_threshold": 1} | more
    assert (await wire.ask("PUT", "sys/init", body)).status == 400
    assert wire.gate.calls == []


@pytest.mark.parametrize("key", ["fffefd", "//79", " fffefd\n"])
async def test_unseal(wire: Wire, key: str) -> None:
    """A share in hex or base64; no token is asked for."""
    wire.token = ""
    answer = await wire.ask("PUT", "sys/unseal", {"key": key, "reset": False, "migrate": False})
    assert (answer.status, answer.json["t"]) == (200, 2)
    assert wire.gate.calls == [("unseal", b"\xff\xfe\xfd")]


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


async def test_seal(wire: Wire) -> None:
    """Answered when it is done, so that the next status tells it."""
    wire.gate.answers["sys.seal"] = None
    assert (await wire.ask("PUT", "sys/seal")).status == 204
    assert (wire.last.path, wire.gate.calls) == ("sys/seal", ["wait_sealed"])


async def test_seal_twice(wire: Wire) -> None:
    """Already done, whoever asks."""
    wire.gate.state = SEALED
    assert (await wire.ask("PUT", "sys/seal")).status == 204
    assert wire.gate.asked == []


async def test_seal_without_the_right(wire: Wire) -> None:
    """It stays open."""
    wire.gate.answers["sys.seal"] = AuthorizationError("permission_denied", "permission denied")
    assert (await wire.ask("PUT", "sys/seal")).status == 403
    assert wire.gate.calls == []


async def test_key_status(wire: Wire) -> None:
    """At the top and in `data`."""
    wire.gate.answers["sys.key_status"] = KeyStatus(
        keyring=KeyringState(
            epoch=1,
            generation=2,
            oldest_generation=1,
            created_at=NOW,
            uses=7,
            reserved_uses=12,
            rotation_due=False,
        ),
        rewrapped=False,
    )
    body = (await wire.ask("GET", "sys/key-status")).json
    wanted = {"term": 2, "install_time": "2027-01-15T08:00:00Z", "encryptions": 7}
    assert body["data"] == wanted
    assert {key: body[key] for key in wanted} == wanted


@pytest.mark.parametrize("path", ["sys/rotate", "sys/rotate/keyring"])
async def test_rotate(wire: Wire, path: str) -> None:
    """By its old name and its new one; the same right."""
    wire.gate.answers["sys.rotate"] = 3
    assert (await wire.ask("POST", path)).status == 204
    assert wire.last.path == "sys/rotate"
