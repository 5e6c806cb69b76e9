"""A control plane that dies at a step of the test's choice. Never product code.

`python -m tests.acceptance.control.failpoints FOLDER` makes them. From when FOLDER has a file `at`
that says `commit 2`, steps are counted by their names, and the process kills itself at that one. A
step is a commit, a read or write of the link's TLS, or a signature; a commit has one before and one
after it (`committed`). Each name is counted by itself: which of two tasks goes first is chance.
Between two steps nothing that outlives the process changes (decision 10 says so of system calls).

With a file `watch` it dies of nothing: whoever commits, signs or touches TLS is written to `seen`,
as the interpreter tells of each call into C. A test holds that against `PLACES`.
"""

import os
import signal
import sys
import threading
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any, Final

from tests.acceptance.maker import serve

PLACES: Final = {
    "commit": "sqlalchemy.engine.default.DefaultDialect.do_commit",
    "certificate": "cryptography.x509.base.CertificateBuilder.sign",
    "sign link": "protocols.link.signing.LinkKey.sign",
    "sign policy": "protocols.link.bundle.PolicyKey.sign",
    "handshake": "protocols.link_transport.tls_stream.TlsStream.do_handshake",
    "send": "protocols.link_transport.tls_stream.TlsStream.send_all",
    "receive": "protocols.link_transport.tls_stream.TlsStream.receive_some",
    "end": "protocols.link_transport.tls_stream.TlsStream.aclose",
}
"""Where a step is, by what it is called."""
WATCHED: Final = frozenset(
    {"commit", "sign", "create_x509_certificate", "do_handshake", "read", "write", "shutdown"}
)
"""Calls into C that are a step: of SQLite, of cryptography, of OpenSSL."""
OWNERS: Final = ("sqlite3", "_ssl", "cryptography", "_rust")


class Steps:
    """Counts them."""

    def __init__(self, folder: Path) -> None:
        self._at = folder / "at"
        self._trace = folder / "trace"
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def step(self, name: str) -> None:
        """This one is about to happen, or the end of the process."""
        with self._lock:
            if not self._at.exists():
                return
            self._counts[name] += 1
            this = f"{name} {self._counts[name]}"
            with self._trace.open("a") as trace:
                trace.write(this + "\n")
            if this == self._at.read_text():
                os.kill(os.getpid(), signal.SIGKILL)


def strike(steps: Steps) -> None:
    """Put a failpoint before each of `PLACES`, and one behind a commit."""
    for name, place in PLACES.items():
        owner, method = _found(place)
        _wrap(owner, method, name, steps)


def _found(place: str) -> tuple[Any, str]:
    module, owner, method = place.rsplit(".", 2)
    return getattr(__import__(module, fromlist=[owner]), owner), method


def _wrap(owner: Any, method: str, name: str, steps: Steps) -> None:
    real = getattr(owner, method)

    def before(*args: Any, **options: Any) -> Any:
        steps.step(name)
        result = real(*args, **options)
        if name == "commit":
            steps.step("committed")
        return result

    setattr(owner, method, before)


def watch(folder: Path) -> None:
    """Note who makes the calls into C that a step is made of."""
    seen, file = set[str](), folder / "seen"

    def profile(frame: FrameType, event: str, called: Any) -> None:
        if event != "c_call" or getattr(called, "__name__", "") not in WATCHED:
            return
        owner = getattr(called, "__self__", None)
        if not str(called.__module__ or type(owner).__module__).startswith(OWNERS):
            return
        line = f"{called.__name__} {_caller(frame)}"
        if line not in seen:
            seen.add(line)
            with file.open("a") as out:
                out.write(line + "\n")

    threading.setprofile(profile)
    sys.setprofile(profile)


def _caller(frame: FrameType | None) -> str:
    """The first on the stack that is a place of ours, else who made the call."""
    first, walked = "", frame
    while walked is not None:
        name = f"{walked.f_globals.get('__name__')}.{walked.f_code.co_qualname}"
        first = first or name
        if name in PLACES.values():
            return name
        walked = walked.f_back
    return first


def main() -> None:
    """Make control planes with failpoints, as `tests.acceptance.maker` does without."""
    folder = Path(sys.argv.pop())

    def prepare() -> None:
        if (folder / "watch").exists():
            watch(folder)
        else:
            strike(Steps(folder))

    serve("control", prepare)


if __name__ == "__main__":
    main()
