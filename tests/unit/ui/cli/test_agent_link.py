"""The agent's way to its control plane, as commands."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.protocols.pki.samples import make_pki
from tests.unit.ui.cli.conftest import Run

PIN = make_pki("command line").trust.pins[0]
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


@pytest.mark.parametrize("pin", ["", "sha256:", PIN[:-1], PIN + "A", PIN.removeprefix("sha256:")])
def test_what_is_no_pin_is_told_before_the_token_is_asked_for(
    cli: Run, tmp_path: Path, pin: str
) -> None:
    """Who has cut it while copying does not spend a token on that."""
    done = cli("agent", "enrol", "--control", "https://127.0.0.1:1", "--pin", pin,
               "--data-dir", str(tmp_path / "one"))  # fmt: skip
    assert (done.code, "--pin: not a pin: sha256:<43 digits" in done.err) == (64, True)
    assert not (tmp_path / "one").exists()
