"""A fake agent on a port of its own, and the command run in this process against it."""

import io
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from ui.cli.main import main

TOKEN = "token-of-the-test"


@dataclass(frozen=True)
class Seen:
    """One request as it came over the wire."""

    method: str
    path: str
    body: Any
    headers: dict[str, str]


@dataclass
class FakeAgent:
    """Gives the answers it was told to, in order, and keeps what was asked."""

    address: str
    answers: list[tuple[int, object]] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)

    def answer(self, body: object = None, status: int = 200) -> None:
        """The next answer; `None` is an empty one, bytes go as they are."""
        self.answers.append((status, body))

    @property
    def asked(self) -> list[tuple[str, str, Any]]:
        """Method, path and body of every request."""
        return [(seen.method, seen.path, seen.body) for seen in self.seen]


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, decoded."""
        return json.loads(self.out)


Run = Callable[..., Done]


class Terminal(io.TextIOWrapper):
    """A stdin where a person sits."""

    def isatty(self) -> bool:
        """As at a terminal."""
        return True


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, and none of the variables that the command reads."""
    for name in ("ADDR", "TOKEN", "CACERT", "CLIENT_CERT", "CLIENT_KEY"):
        monkeypatch.delenv(f"FREEHOLD_{name}", raising=False)
        monkeypatch.delenv(f"VAULT_{name}", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("ui.cli.keyring_store.find_keyring", lambda: None)  # not the developer's
    return tmp_path


@pytest.fixture
def agent(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAgent]:
    """A fake agent that the environment points at."""
    with HTTPServer(("127.0.0.1", 0), _Handler) as server:
        fake = FakeAgent(f"http://127.0.0.1:{server.server_port}")
        server.fake = fake  # type: ignore[attr-defined]  # the handler has no other way to it
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setenv("FREEHOLD_ADDR", fake.address)
        monkeypatch.setenv("FREEHOLD_TOKEN", TOKEN)
        try:
            yield fake
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def cli(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command; what comes by stdin is text or bytes, from a `terminal` or a pipe."""

    def run(*arguments: str, stdin: str | bytes = "", terminal: bool = False) -> Done:
        raw = stdin.encode() if isinstance(stdin, str) else stdin
        monkeypatch.setattr(sys, "argv", ["freehold", *arguments])
        kind = Terminal if terminal else io.TextIOWrapper
        monkeypatch.setattr(sys, "stdin", kind(io.BytesIO(raw)))
        with pytest.raises(SystemExit) as ended:
            main()
        shown = capsys.readouterr()
        return Done(int(ended.value.code or 0), shown.out, shown.err)

    return run


class _Handler(BaseHTTPRequestHandler):
    def _reply(self) -> None:
        fake: FakeAgent = self.server.fake  # type: ignore[attr-defined]  # set by the fixture
        raw = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        fake.seen.append(Seen(self.command, self.path, json.loads(raw or b"null"), headers))
        status, body = fake.answers.pop(0)
        content = body if isinstance(body, bytes) else b"" if body is None else _json(body)
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _reply  # noqa: N815  # the base calls them

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base's name
        """Say nothing."""


def _json(body: object) -> bytes:
    return json.dumps(body).encode()
