"""vault.app: what the server is given of the settings; acceptance tests run the whole agent."""

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from actors import SystemWorld
from protocols import msgspec_init
from vault import app
from vault.app import http_limits
from vault.config import Settings
from vault.config.settings import METHOD_LIBRARIES, AuthenticationSettings, StorageSettings
from vault.errors import SetupError, UnavailableError

MIB = 1 << 20


def settings(workers: int, body_bytes: str) -> Settings:
    """With so many workers, and so much for bodies."""
    return Settings.model_validate(
        {
            "server": {"port": 1, "tls": {"enabled": False}, "workers": workers},
            "storage": {"connection_string": "sqlite:////data/vault.db"},
            "limits": {"body_bytes": body_bytes, "connections": 99, "in_hand": 77},
        }
    )


@pytest.mark.parametrize(
    ("workers", "total", "each"),
    [(1, "128MiB", 128), (2, "128MiB", 64), (4, "100MiB", 25), (64, "128MiB", 16)],
)
def test_bytes_of_bodies_are_shared_by_the_workers(workers: int, total: str, each: int) -> None:
    """So that all hold what is written; no part is too small for the largest requests."""
    assert http_limits(settings(workers, total)).bodies_bytes == each * MIB


def test_counts_are_of_each_worker() -> None:
    """As the README says."""
    limits = http_limits(settings(4, "128MiB"))
    assert (limits.connections, limits.in_hand) == (99, 77)


async def test_a_method_whose_library_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused by the name of its key, with the command that helps; nothing is opened."""
    monkeypatch.setattr(
        msgspec_init, "prepare_structs", lambda: None
    )  # other tests have broken ones
    monkeypatch.setitem(METHOD_LIBRARIES, "saml", ("no_such_module", "signxml"))
    named = settings(1, "128MiB").model_copy(
        update={"authentication": AuthenticationSettings(methods=("token", "saml"))}
    )
    with pytest.raises(
        SetupError, match=r"authentication\.methods: saml.*freehold\[saml\]"
    ) as error:
        await app.serve(named)
    assert error.value.code == "library_missing"


class Made(Exception):  # noqa: N818  # no error: as far as a test goes
    """The shapes are ready."""


def made_ready(*_: object) -> None:
    """In place of `msgspec_init.complete`."""
    raise Made


async def test_shapes_are_ready_before_there_are_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before an agent looks at anything of its settings."""
    monkeypatch.setattr(msgspec_init, "prepare_structs", made_ready)
    nothing: Any = None
    with pytest.raises(Made):
        await app.serve(nothing)


enrolled: Any = SimpleNamespace(control_plane=SimpleNamespace(enabled=True))


@pytest.mark.parametrize(
    "load",
    [
        lambda: app.fork_workers(settings(2, "128MiB")),
        lambda: app._make_control_link(enrolled, enrolled, enrolled),
    ],
)
def test_shapes_are_ready_before_they_are_shared(
    load: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With processes that have them, too, and where more are loaded."""
    monkeypatch.setattr(msgspec_init, "prepare_structs", made_ready)
    monkeypatch.setattr(app, "Zygote", SimpleNamespace(fork=lambda _: None))
    with pytest.raises(Made):
        load()


def opening_error(**storage: Any) -> str:
    """Why the database of this configuration does not open."""
    url = "postgresql://ada@127.0.0.1:1/vault"
    found = StorageSettings.model_validate(
        {"type": "postgresql", "connection_string": url, **storage}
    )
    with pytest.raises(UnavailableError) as caught:
        app.make_backend(found).open()
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot be read: No such file"),
        (b"\xff\n", "cannot be read: it is not UTF-8"),
        (b"", "is not a password"),
        (b"\nhunter2", "is not a password"),
        (b"hunter2\0x host=elsewhere sslmode=disable\n", "is not a password"),
        (b"hunter2\r\n", "Connection refused"),
    ],
    ids=["absent", "bytes", "empty", "second line", "control character", "good"],
)
def test_password_file(tmp_path: Path, content: bytes | None, says: str) -> None:
    """Read anew for each connection; what is wrong with it is told by its name."""
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    said = opening_error(password_file=file)
    assert says in said
    assert "hunter2" not in said


def test_a_server_elsewhere_is_asked_for_tls_first() -> None:
    """Whoever answers without it gets neither user nor password."""
    heard: list[bytes] = []

    def answer(listener: socket.socket) -> None:
        client, _ = listener.accept()
        with client:
            heard.append(client.recv(1024))
            client.sendall(b"N")  # "there is none here"
            heard.append(client.recv(1024))

    with socket.create_server(("127.0.0.2", 0)) as listener:
        server = threading.Thread(target=answer, args=(listener,))
        server.start()
        port = listener.getsockname()[1]
        url = f"postgresql://ada:hunter2@127.0.0.2:{port}/vault"
        said = opening_error(connection_string=url, tls={"ca_file": os.devnull})
        server.join()
    assert heard == [bytes.fromhex("0000000804d2162f"), b""]
    assert "storage.tls" in said


@pytest.mark.parametrize("hangs", [True, False])
async def test_a_database_that_closes_slowly_keeps_no_keys(
    monkeypatch: pytest.MonkeyPatch, *, hangs: bool
) -> None:
    """What was the open vault is collected meanwhile; an end in time leaves it to the kernel."""
    collected = threading.Event()
    waited: list[bool] = []
    collector = SimpleNamespace(collect_all=collected.set)
    monkeypatch.setattr(app, "garbage_collector", collector)
    monkeypatch.setattr(app, "SLOW_END", 0.01 if hangs else 3600.0)

    def close() -> None:
        if hangs:
            waited.append(collected.wait(60))

    backend: Any = SimpleNamespace(open=lambda: None, close=close)
    async with app._open_backend(backend, None, SystemWorld()):
        assert not collected.is_set()
    assert (waited, collected.is_set()) == ([True] * hangs, hangs)
