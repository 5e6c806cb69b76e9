"""A `freehold` for a shell that `maker` makes: a tenth of what a start of the command takes.

The file that the shell finds sends its arguments, environment and descriptors through a socket, and
ends as the process ends that was made of them.
"""

import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Final

from tests.acceptance.command import FREEHOLD, PATIENCE
from tests.acceptance.maker import Kind, maker

_MESSAGE: Final = 1 << 18
_SIGNALLED: Final = 128  # as shells tell it
_SHIM: Final = """\
#!{python} -ISE
import json, os, socket, sys
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as wire:
    wire.connect({address!r})
    told = [sys.argv[1:], dict(os.environ), os.getcwd()]
    socket.send_fds(wire, [json.dumps(told).encode()], [0, 1, 2])
    os._exit(int(wire.recv(16)))
"""


@contextmanager
def quick_commands() -> Iterator[Path]:
    """A folder with such a `freehold`, for the length of the block."""
    with TemporaryDirectory(prefix="freehold-shim-") as name, ExitStack() as stack:
        folder = Path(name)
        address = str(folder / "socket")
        listener = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        listener.bind(address)
        listener.listen()
        Thread(target=_serve, args=(listener,), daemon=True).start()
        stack.callback(listener.shutdown, socket.SHUT_RDWR)
        shim = folder / "freehold"
        shim.write_text(_SHIM.format(python=sys.executable, address=address))
        shim.chmod(0o700)
        yield folder


def _serve(listener: socket.socket) -> None:
    while True:
        try:
            wire, _ = listener.accept()
        except OSError:  # the block is over
            return
        Thread(target=_answer, args=(wire,), daemon=True).start()


def _answer(wire: socket.socket) -> None:
    with wire, ExitStack() as stack:
        message, descriptors, _, _ = socket.recv_fds(wire, _MESSAGE, 3)
        words, environment, folder = json.loads(message)
        given, out, errors = (
            stack.enter_context(os.fdopen(each, "rb+", 0)) for each in descriptors
        )
        kind: Kind = "control" if words[:1] == ["control"] else "agent"
        command = [FREEHOLD, *words]
        made = maker(kind).make(command, environment, out, errors, given, folder=folder)
        code = made.wait(PATIENCE)
        wire.send(str(code if code >= 0 else _SIGNALLED - code).encode())
