"""The database servers of a run: one of each kind for all of its processes.

The process that runs pytest starts a server when the first test asks for one. The workers of
pytest-xdist ask that process on a socket, whose folder they learn from the environment. A server
ends with the thread that started it, however that ends (`owned`), and a shell removes the folder.

A test that stops a server or changes its settings starts one of its own (`run_server`).
"""

import os
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Final

from tests.scratch import open_folder

FOLDER: Final = "FREEHOLD_TEST_SERVERS"
"""In the environment of a run: where its servers are."""
PATIENCE: Final = 180.0  # seconds for a server to start, and for others before it
_LONGEST: Final = 1 << 16  # bytes of a question or an answer
# Its input ends when the run does, a killed one as well; a server may still be about to end.
_REMOVE: Final = 'read -r _; rm -rf "$0" || { sleep 2; rm -rf "$0"; }'

Run = Callable[[str, Path], AbstractContextManager[object]]
"""A running server of a kind, in a folder to make, for the length of the block."""


def shared_folder(kind: str) -> Path:
    """The folder of the run's server of this kind, which runs. Raises `RuntimeError`."""
    folder = Path(os.environ[FOLDER])
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(PATIENCE)
        asking.connect(str(_socket(folder)))
        asking.sendall(kind.encode())
        asking.shutdown(socket.SHUT_WR)
        with asking.makefile("rb") as answer:
            if error := answer.read(_LONGEST).decode():
                raise RuntimeError(error)
    return folder / kind


@contextmanager
def shared_servers(run: Run) -> Iterator[None]:
    """Run the servers that `shared_folder` is asked for within the block."""
    folder = Path(tempfile.mkdtemp(prefix="freehold-servers-", dir=open_folder()))
    folder.chmod(0o711)  # the users of the servers pass
    outer = os.environ.get(FOLDER)
    os.environ[FOLDER] = str(folder)
    with (
        subprocess.Popen(
            ["/bin/sh", "-c", _REMOVE, str(folder)],
            stdin=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for pytest alone
        ),
        socket.socket(socket.AF_UNIX) as asked,
    ):
        asked.bind(str(_socket(folder)))
        asked.listen(64)
        thread = Thread(target=_serve, args=(asked, folder, run), daemon=True)
        thread.start()
        try:
            yield
        finally:
            asked.shutdown(socket.SHUT_RDWR)
            thread.join(PATIENCE)
            del os.environ[FOLDER]
            if outer is not None:
                os.environ[FOLDER] = outer


def _socket(folder: Path) -> Path:
    return folder / "ask"


def _serve(asked: socket.socket, folder: Path, run: Run) -> None:
    """Answer each question with nothing, or with why there is no such server."""
    answers: dict[str, str] = {}
    with ExitStack() as stack:
        while True:
            try:
                connection, _ = asked.accept()
            except OSError:  # the block has ended
                return
            with connection, suppress(OSError), connection.makefile("rb") as question:
                kind = question.read(_LONGEST).decode()
                if kind not in answers:
                    answers[kind] = _start(kind, folder / kind, run, stack)
                connection.sendall(answers[kind].encode())


def _start(kind: str, folder: Path, run: Run, stack: ExitStack) -> str:
    try:
        folder.mkdir()
        stack.enter_context(run(kind, folder))
    except Exception as error:  # noqa: BLE001  # raised by those who ask
        return f"the {kind} server of this run does not start: {error}"
    return ""
