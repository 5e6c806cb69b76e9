"""`script`: a program of the operator's, which `vault.rotation.launcher` runs confined.

The agent connects to the launcher's socket, writes one JSON document and reads one. It needs no
privilege, and of the script it knows the name alone: what a name runs, only root's files say.
"""

import re
import socket
import struct
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from actors import World
from protocols import json_text
from vault.connections.deadline import Deadline
from vault.rotation.rotator import RotationContext, RotationError, RotatorKind, Step, Value

MAX_DOCUMENT: Final = 64 * 1024
"""Bytes of a request and of an answer, as in the launcher."""
VERSION: Final = 1
_GRACE: Final = 5.0
"""Seconds that the launcher has, after the step's own, to end the script and to say so."""
_PIECE: Final = 16 * 1024
_MAX_TEXT: Final = 1000
_PEER: Final = struct.Struct("3i")  # of SO_PEERCRED, unix(7): pid, uid, gid
_CODE: Final = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)


class ScriptConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of `script`. `settings` go to the script as they are."""

    script: Annotated[str, Meta(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?\Z")]
    settings: dict[str, str] = {}
    overlaps: bool = False
    """Whether the target accepts both values between apply and retire."""


class _Failure(Struct, frozen=True):
    code: str
    text: str
    final: bool


class _Answer(Struct, frozen=True, forbid_unknown_fields=True):
    value: dict[str, str] | None = None
    error: _Failure | None = None


class ScriptRotator:
    """See `Rotator`. `launcher`: its socket, None for none; `owner`: the uid that listens there."""

    def __init__(
        self, config: ScriptConfig, launcher: Path | None, world: World, owner: int = 0
    ) -> None:
        self._config = config
        self._launcher = launcher
        self._world = world
        self._owner = owner

    def create(self, context: RotationContext, previous: Value) -> Value:
        """The value that the script makes."""
        value = self._run(context, Step.CREATE, previous=previous)
        if not value:
            raise _no_answer("the launcher's answer holds no value: update the launcher")
        return value

    def apply(self, context: RotationContext, value: Value) -> None:
        """Have the script change the target."""
        self._run(context, Step.APPLY, value=value)

    def verify(self, context: RotationContext, value: Value) -> None:
        """Have the script log in."""
        self._run(context, Step.VERIFY, value=value)

    def retire(self, context: RotationContext, value: Value) -> None:
        """Have the script end the old value."""
        self._run(context, Step.RETIRE, value=value)

    def _run(self, context: RotationContext, step: Step, **values: Value) -> dict[str, str]:
        if self._launcher is None:
            raise RotationError(
                "scripts_off",
                "scripts are off: set the launcher's socket in the agent's configuration",
                is_final=True,
            )
        document = msgspec.json.encode(
            {
                "version": VERSION,
                "script": self._config.script,
                "step": step,
                "rotation": context.rotation,
                "key": context.key(step),
                "fence": context.fence,
                "timeout": context.timeout,
                "settings": self._config.settings,
                "connection": dict(context.connection),
                **{name: dict(value) for name, value in values.items()},
            }
        )
        if len(document) > MAX_DOCUMENT:
            raise RotationError(
                "script_request",
                f"value, connection and settings have more than {MAX_DOCUMENT} bytes: shorten them",
                is_final=True,
            )
        deadline = Deadline(context.timeout + _GRACE, self._world.uptime)
        return _decode(_exchange(self._launcher, self._owner, document, deadline))


def _exchange(launcher: Path, owner: int, document: bytes, deadline: Deadline) -> bytes:
    answer = bytearray()
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(deadline.left())
            connection.connect(str(launcher))
            option = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
            if _PEER.unpack(option)[1] != owner:
                raise RotationError(
                    "launcher_peer",
                    f"not root listens at {launcher}: nothing was sent; see who does",
                    is_final=True,
                )
            connection.settimeout(deadline.left())
            connection.sendall(document)
            connection.shutdown(socket.SHUT_WR)
            while True:
                connection.settimeout(deadline.left())
                piece = connection.recv(_PIECE)
                if not piece:
                    return bytes(answer)
                answer += piece
                if len(answer) > MAX_DOCUMENT:
                    raise _no_answer(f"the launcher answered more than {MAX_DOCUMENT} bytes")
    except TimeoutError:
        raise RotationError(
            "launcher_timeout", "the launcher did not answer in time: see its unit's state"
        ) from None
    except (FileNotFoundError, ConnectionRefusedError):
        raise RotationError(
            "launcher_away", f"nobody listens at {launcher}: start freehold-rotator.socket"
        ) from None
    except BlockingIOError:  # unix(7): its backlog is full
        raise RotationError(
            "launcher_busy", "too many scripts wait: they are tried again"
        ) from None
    except OSError as error:
        raise RotationError(
            "launcher_away", f"{launcher}: {error.strerror or 'the connection was lost'}"
        ) from None


def _decode(answer: bytes) -> dict[str, str]:
    try:
        found = json_text.decode(answer, type=_Answer)
    except (msgspec.MsgspecError, ValueError):
        raise _no_answer("the launcher ended without an answer: see its unit's state") from None
    if found.error is not None:
        if _CODE.fullmatch(found.error.code) is None or len(found.error.text) > _MAX_TEXT:
            raise _no_answer("the launcher's error cannot be read: update the launcher")
        raise RotationError(found.error.code, found.error.text, is_final=found.error.final)
    return found.value or {}


def _no_answer(text: str) -> RotationError:
    return RotationError("launcher_answer", text)


def kind(launcher: Path | None, world: World, owner: int = 0) -> RotatorKind[ScriptConfig]:
    """The kind, with the launcher's socket as the local configuration names it."""
    return RotatorKind(
        "script",
        ScriptConfig,
        lambda config: ScriptRotator(config, launcher, world, owner),
        lambda config: config.overlaps,
    )
