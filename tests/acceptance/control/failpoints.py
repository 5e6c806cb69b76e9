"""A control plane that dies at a step of the test's choice. Never product code.

`python -m tests.acceptance.control.failpoints FOLDER control dev …`: from when FOLDER has a file
`at` that says `commit 2`, steps are counted by their names, and the process kills itself at that
one. A step is a commit, a read or write of the link's TLS, or a signature; a commit has one before
and one after it (`committed`). Each name is counted by itself: which of two tasks goes first is
chance. Between two steps nothing that outlives the process changes (decision 0010 says so of
system calls).

With a file `watch` it dies of nothing: whoever commits, signs or touches TLS is written to `seen`,
as the interpreter tells of each call into C. A test holds that against `PLACES`.

It starts once and becomes a control plane for each line of its input, in a process of its own that
is forked from it: dozens of deaths cost dozens of starts, and most of a start is imports.
"""

import json
import os
import signal
import sys
import threading
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any, Final

PLACES: Final = {
    "commit": "sqlalchemy.engine.default.DefaultDialect.do_commit",
    "certificate": "cryptography.x509.base.CertificateBuilder.sign",
    "sign link": "protocols.link.signing.LinkKey.sign",
    "sign policy": "protocols.link.bundle.PolicyKey.sign",
    "handshake": "protocols.link.secured.SecuredStream.do_handshake",
    "send": "protocols.link.secured.SecuredStream.send_all",
    "receive": "protocols.link.secured.SecuredStream.receive_some",
    "end": "protocols.link.secured.SecuredStream.aclose",
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
    """Make control planes: a line is the environment of one, the answer its process id."""
    import control.app  # once, for all that are forked
    import control.genesis  # noqa: F401
    from ui.cli.main import main as freehold

    folder = Path(sys.argv.pop(1))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody here waits for them
    for line in sys.stdin:
        process = os.fork()
        if process:
            sys.stdout.write(f"{process}\n")
            sys.stdout.flush()
            continue
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        out = os.open(folder / "agent.out", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for ours, theirs in ((nothing, 0), (out, 1), (out, 2)):
            os.dup2(ours, theirs)
        os.environ.update(json.loads(line))
        if (folder / "watch").exists():
            watch(folder)
        else:
            strike(Steps(folder))
        freehold()
        return


if __name__ == "__main__":
    main()
