"""The agent's way to its control plane, as commands."""

import socket
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.protocols.pki.samples import make_pki
from tests.unit.ui.cli.conftest import FakeAgent, Run
from vault.control_link import enrol_client
from vault.control_link.enrol_client import EnrolError

PIN = make_pki("command line").trust.pins[0]
OPAQUE = bytes([0xFB, 0xFF, 0xBE, *range(13)])
"""In base64 it has a slash and a plus."""
TOKEN = "fhe_supersecret"


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Where nobody may come to."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0)
        yield listening


@pytest.mark.parametrize("way", [["--token", TOKEN], ["--join"]])
def test_nothing_is_sent_in_clear(
    cli: Run, listener: socket.socket, tmp_path: Path, way: list[str]
) -> None:
    """A token behind no TLS is everybody's, and no pin is looked at there."""
    control = f"http://127.0.0.1:{listener.getsockname()[1]}"
    done = cli("agent", "enrol", "--control", control, "--pin", PIN,
               "--data-dir", str(tmp_path / "one"), *way)  # fmt: skip
    assert (done.code, "--control: is not https://" in done.err) == (64, True)
    assert TOKEN not in done.err
    with pytest.raises(BlockingIOError):
        listener.accept()


@pytest.mark.parametrize(
    "pin",
    ["", "sha256:", PIN[:-1], PIN + "A", PIN.removeprefix("sha256:")],
    ids=["none", "prefix", "short", "long", "bare"],  # the pin is made anew in each process
)
def test_what_is_no_pin_is_told_before_the_token_is_asked_for(
    cli: Run, tmp_path: Path, pin: str
) -> None:
    """Who has cut it while copying does not spend a token on that."""
    done = cli("agent", "enrol", "--control", "https://127.0.0.1:1", "--pin", pin,
               "--data-dir", str(tmp_path / "one"))  # fmt: skip
    assert (done.code, "--pin: not a pin: sha256:<43 digits" in done.err) == (64, True)
    assert not (tmp_path / "one").exists()


def test_who_is_not_reached_is_told_with_the_reason(
    cli: Run, listener: socket.socket, tmp_path: Path
) -> None:
    """In one line, and with the exit code for that."""
    port = listener.getsockname()[1]
    listener.close()
    done = cli("agent", "enrol", "--control", f"https://127.0.0.1:{port}", "--pin", PIN,
               "--token", TOKEN, "--data-dir", str(tmp_path / "one"))  # fmt: skip
    assert (done.code, "refused: nothing listens there" in done.err) == (6, True)
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(("status", "code"), [(401, 4), (409, 5), (429, 7), (500, 1), (0, 6)])
def test_a_refusal_has_its_exit_code(
    cli: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, status: int, code: int
) -> None:
    """As docs/reference/cli.md has it for every command."""

    async def post(*_: object) -> bytes:
        raise EnrolError("the control plane refuses", status)

    monkeypatch.setattr(enrol_client, "post_request", post)
    done = cli("agent", "enrol", "--control", "https://c.test", "--pin", PIN,
               "--token", TOKEN, "--data-dir", str(tmp_path / "one"))  # fmt: skip
    assert (done.code, done.err) == (code, "freehold: the control plane refuses\n")


@pytest.mark.parametrize(
    "given",
    [OPAQUE.hex(), OPAQUE.hex().upper(), b64encode(OPAQUE).decode(),
     b64encode(OPAQUE).decode().rstrip("=")],
)  # fmt: skip
def test_an_opaque_id_is_taken_as_it_is_shown(agent: FakeAgent, cli: Run, given: str) -> None:
    """In hexadecimal by the control plane, in base64 by the egress ledger."""
    agent.answer({"kind": "secret", "name": "secret/app", "id": "i"})
    assert cli("agent", "usage", "resolve", given).code == 0
    assert agent.asked[0][1] == f"/api/v1/system/usage/{OPAQUE.hex()}"


@pytest.mark.parametrize(
    "given", ["a", "secret/app", OPAQUE.hex()[1:], "é", b64encode(b"x").decode()]
)
def test_what_is_no_opaque_id_is_told_with_the_form(agent: FakeAgent, cli: Run, given: str) -> None:
    """And not looked up."""
    done = cli("agent", "usage", "resolve", given)
    assert (done.code, "32 hex digits" in done.err, agent.seen) == (64, True, [])
