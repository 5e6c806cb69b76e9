"""The helper process of a key provider: one backend, one thread, one call at a time.

Libraries of HSMs crash, hang, and lock up whole tokens when two threads use them; those of clouds
take seconds and dozens of megabytes to load. So none is loaded into an agent. The agent starts this
program with a small environment and speaks with it over its stdin and stdout:

    u32 length || msgpack, each way, requests and answers in turns

The first request says which backend, with its settings; it has no answer. When stdin ends, so does
the process: at once between two calls, after `GRACE` seconds during one.
"""

import importlib
import os
import resource
import select
import sys
import threading
from struct import Struct as Packing
from typing import Any, BinaryIO, Final

import msgspec
from msgspec import Struct

from vault.seal.root_keys.provider import (
    KeyBackend,
    KeyDescription,
    KeyProviderError,
    WrappedKey,
)

BACKENDS: Final = {
    "pkcs11": "vault.seal.root_keys.pkcs11",
    "awskms": "vault.seal.root_keys.aws_kms",
    "gcpckms": "vault.seal.root_keys.google_kms",
    "azurekeyvault": "vault.seal.root_keys.azure_key_vault",
    "transit": "vault.seal.root_keys.transit",
    "static": "vault.seal.root_keys.key_file",
}
"""By type: the module, whose `open_backend(settings)` makes a `KeyBackend`."""
GRACE: Final = 5.0
"""Seconds that a call may go on once the agent is gone: a token that writes is not to be cut."""
MAX_MESSAGE: Final = 1 << 20
DENIED: Final = "key_provider_denied"
LENGTH: Final = Packing(">I")


class Start(Struct, frozen=True):
    """The first message: which backend, and what its module makes of the settings."""

    type: str
    settings: dict[str, Any]


class Request(Struct, frozen=True):
    """A method of `KeyBackend` with its arguments."""

    method: str
    root_key: bytes = b""
    wrapped: WrappedKey | None = None
    context: bytes = b""

    def __repr__(self) -> str:
        return f"Request(method={self.method!r})"


class Answer(Struct, frozen=True, omit_defaults=True):
    """What it returned, or the error that it raised."""

    description: KeyDescription | None = None
    wrapped: WrappedKey | None = None
    root_key: bytes = b""
    code: str = ""
    message: str = ""

    def __repr__(self) -> str:
        return f"Answer(code={self.code!r})"


def main() -> None:
    """Serve until stdin ends."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    requests = sys.stdin.buffer
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a module that prints to stdout speaks to nobody
    sys.unraisablehook = lambda _: None  # a library's own tracebacks are not the agent's log
    threading.Thread(target=_end_with_agent, args=(requests.fileno(),), daemon=True).start()
    start = _read(requests)
    if start is None:
        return
    chosen = msgspec.msgpack.decode(start, type=Start)
    backend: KeyBackend | None = None
    while (message := _read(requests)) is not None:
        request = msgspec.msgpack.decode(message, type=Request)
        try:
            backend = backend or _open_backend(chosen)
            answer = _run(backend, request)
        except KeyProviderError as error:
            answer = Answer(code=error.code, message=error.message)
            if backend is not None and error.code == DENIED:
                backend.close()  # the next call looks for credentials anew
        except Exception as error:  # noqa: BLE001  # its text could hold a secret
            answer = Answer(
                code="key_provider_failed",
                message=f"the library of the key provider failed with {type(error).__name__}",
            )
        encoded = msgspec.msgpack.encode(answer)
        answers.write(LENGTH.pack(len(encoded)) + encoded)
        answers.flush()
    if backend is not None:
        backend.close()


def _open_backend(start: Start) -> KeyBackend:
    backend: KeyBackend = importlib.import_module(BACKENDS[start.type]).open_backend(start.settings)
    return backend


def _run(backend: KeyBackend, request: Request) -> Answer:
    match request:
        case Request("describe"):
            return Answer(description=backend.describe())
        case Request("wrap", root_key=root_key, context=context):
            return Answer(wrapped=backend.wrap(root_key, context))
        case Request("unwrap", wrapped=WrappedKey() as wrapped, context=context):
            return Answer(root_key=backend.unwrap(wrapped, context))
        case Request("create_version"):
            return Answer(description=backend.create_version())
        case _:
            raise KeyProviderError("key_provider_unsupported", "no such request")


def _read(stream: BinaryIO) -> bytes | None:
    """One message; None when the agent is gone."""
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(head)
    return stream.read(length) if length <= MAX_MESSAGE else None


def _end_with_agent(descriptor: int) -> None:
    """End the process soon after the other end of the pipe is closed, whatever a call does."""
    ended = select.poll()
    ended.register(descriptor, 0)  # POLLHUP alone, which is always reported
    ended.poll()
    threading.Event().wait(GRACE)
    os._exit(1)


if __name__ == "__main__":
    main()
