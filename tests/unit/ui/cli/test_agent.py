import gc
import os
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

import ui.cli.agent
import vault.app
from tests.unit.ui.cli.conftest import Run
from ui.cli.agent import in_one_line
from ui.cli.errors import CliError
from vault.errors import UnavailableError
from vault.seal.manager import SealStatus

Served = list[dict[str, Any]]
OPEN = SealStatus(type="shamir", initialized=True, sealed=False)
STATUS: list[SealStatus] = []
"""How the next agent finds its vault; open, if this says nothing."""


@pytest.fixture(autouse=True)
def protected(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """How often the memory of this process was to be protected, which is the tests'."""
    times: list[None] = []
    monkeypatch.setattr(ui.cli.agent, "protect_memory", lambda: times.append(None))
    return times


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch, protected: list[None]) -> Iterator[Served]:
    """What the agent was to run with; it ends at once."""
    calls: Served = []

    async def serve(settings: Any, **more: Any) -> None:
        calls.append(
            {"settings": settings, "collects": gc.isenabled(), "protected": len(protected), **more}
        )
        more["on_listening"](4321, STATUS.pop() if STATUS else OPEN)
        if (zygote := more.get("zygote")) is not None:
            zygote.close()

    monkeypatch.setattr(vault.app, "serve", serve)
    # It would make ready every struct of this process, other tests' too, that nothing can read.
    monkeypatch.setattr(vault.app.msgspec_init, "prepare_structs", lambda: None)
    yield calls
    gc.unfreeze()  # other tests look for what is left of theirs


def failing(error: BaseException) -> Callable[..., Coroutine[Any, Any, None]]:
    """An agent that does not start."""

    async def serve(*_: object, **__: object) -> None:
        raise error

    return serve


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (OPEN, ""),
        (SealStatus(type="shamir", initialized=False, sealed=True), "freehold operator init"),
        (SealStatus(type="shamir", initialized=True, sealed=True), "freehold operator unseal"),
        (
            SealStatus(type="pkcs11", initialized=True, sealed=True, waiting="key provider hsm"),
            "waits for key provider hsm",
        ),
    ],
)
def test_serve_says_what_to_do_next(
    cli: Run, served: Served, tmp_path: Path, status: SealStatus, told: str
) -> None:
    """With a vault that is new or sealed; with an open one there is nothing to do."""
    config = tmp_path / "vault.yaml"
    config.write_text(
        f"server: {{listen: '127.0.0.1:0', tls: {{enabled: false}}}}\n"
        f"storage: {{connection_string: 'sqlite:///{tmp_path}/vault.db'}}\n"
    )
    STATUS.append(status)
    done = cli("agent", "serve", "--config", str(config))
    assert done.code == 0, done.err
    assert "listening on port 4321" in done.err
    assert done.err.count("\n") == (2 if told else 1)
    assert told in done.err
    assert len(served) == 1


@pytest.mark.parametrize("grouped", [False, True])
def test_what_keeps_it_from_starting_is_one_line(grouped: bool) -> None:
    """Alone or in groups, on each Python: 3.11 groups what is raised while it is handled."""
    inner = UnavailableError("key_file", "cannot read key file k: No such file")
    error = ExceptionGroup("", [ExceptionGroup("", [inner, inner])]) if grouped else inner

    def run() -> None:
        raise error

    with pytest.raises(CliError) as caught:
        in_one_line(run, UnavailableError, OSError)
    assert str(caught.value) == "key_file: cannot read key file k: No such file"
    with pytest.raises(ExceptionGroup if grouped else UnavailableError):
        in_one_line(run, OSError)


def test_dev_runs_on_its_folder_with_its_token(cli: Run, served: Served, tmp_path: Path) -> None:
    """The folder is its owner's only, whatever the umask is."""
    data = tmp_path / "deep" / "data"
    before = os.umask(0)
    try:
        done = cli("agent", "dev", "--listen", "127.0.0.1:0", "--data-dir", str(data))
    finally:
        os.umask(before)
    assert done.code == 0
    assert served[0]["dev_token"] == data / "root-token"
    assert (served[0]["collects"], gc.isenabled()) == (False, True)  # until it has settled
    assert data.stat().st_mode & 0o777 == 0o700


def test_its_memory_is_protected_before_it_runs(cli: Run, served: Served, tmp_path: Path) -> None:
    """In development, too."""
    cli("agent", "dev", "--data-dir", str(tmp_path / "d"))
    assert served[0]["protected"] == 1


def test_where_the_root_token_is_is_shown(cli: Run, served: Served, tmp_path: Path) -> None:
    """Not the token."""
    file = tmp_path / "own token"
    done = cli("agent", "dev", "--root-token-file", str(file), "--data-dir", str(tmp_path / "d"))
    assert served[0]["dev_token"] == file
    assert f"FREEHOLD_TOKEN=$(cat '{file}')" in done.err


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o1777, 0o722])
def test_a_folder_that_others_may_write_to_is_refused(
    mode: int, cli: Run, served: Served, tmp_path: Path
) -> None:
    """They could replace the root key or the database in it."""
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(mode)
    for command in (("agent", "dev"), ("control", "dev")):
        done = cli(*command, "--data-dir", str(folder))
        assert done.code == 1
        assert f"chmod 700 {folder}" in done.err
    assert served == []


def test_the_address_shown_is_the_one_in_use(cli: Run, served: Served, tmp_path: Path) -> None:
    """Once something listens there: a port that the kernel chose is shown as it is."""
    for host in ("127.0.0.1", "[::1]"):
        done = cli("agent", "dev", "--listen", f"{host}:0", "--data-dir", str(tmp_path / "d"))
        assert f"development agent on http://{host}:4321," in done.err
        assert f"FREEHOLD_ADDR=http://{host}:4321 " in done.err


def test_nothing_is_said_to_listen_that_does_not(
    cli: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An agent that cannot start tells that alone."""
    monkeypatch.setattr(vault.app, "serve", failing(UnavailableError("store_locked", "locked")))
    done = cli("agent", "dev", "--data-dir", str(tmp_path / "d"))
    assert done.err == "freehold: store_locked: locked\n"


def test_dev_serves_loopback_only(cli: Run, served: Served, tmp_path: Path) -> None:
    """It has no TLS."""
    done = cli("agent", "dev", "--listen", "0.0.0.0:1", "--data-dir", str(tmp_path / "d"))
    assert (done.code, served) == (1, [])
    assert done.err.startswith("freehold: ")
    assert done.err.count("\n") == 1


def test_a_folder_that_cannot_be_made_is_told(cli: Run, served: Served, tmp_path: Path) -> None:
    """By its name."""
    (tmp_path / "file").write_text("")
    done = cli("agent", "dev", "--data-dir", str(tmp_path / "file" / "d"))
    assert done.code == 1
    assert "cannot make" in done.err


def test_serve_tells_what_is_wrong_with_its_settings(
    cli: Run, served: Served, tmp_path: Path
) -> None:
    """One line for each key, with its name; nothing runs."""
    config = tmp_path / "vault.yaml"
    config.write_text("nosuch: 1\n")
    done = cli("agent", "serve", "--config", str(config))
    assert (done.code, served) == (1, [])
    keys = [line.split(": ")[2] for line in done.err.splitlines()]
    assert keys == ["server", "storage", "nosuch"]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (UnavailableError("store_gone", "the store is gone"), "store_gone: the store is gone"),
        (
            OSError(98, "in use", "h:1"),
            "something listens on h:1 already; end it or choose another address",
        ),
        (
            OSError(98, "in use"),
            "something listens on this address already; end it or choose another address",
        ),
        (OSError(13, "denied", "/d"), "/d: denied"),
        (
            ExceptionGroup("g", [OSError(13, "no"), ExceptionGroup("g", [OSError(13, "no")])]),
            "no",
        ),
    ],
)
def test_an_agent_that_cannot_start_says_why_in_one_line(
    error: Exception, said: str, cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each reason once, however deep it is nested."""
    monkeypatch.setattr(vault.app, "serve", failing(error))
    done = cli("agent", "dev", "--data-dir", str(tmp_path / "d"))
    assert done.code == 1
    assert done.err.splitlines()[-1] == f"freehold: {said}"
