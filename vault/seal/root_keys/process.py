"""A key provider as the agent sees it: a helper process that may crash, hang, or be killed.

Each call has a time limit. A process that does not answer within it is killed; one that has ended
is started again at the next call, after a growing pause when it fails time after time. A call that
was cut short is made once more where that changes nothing at the provider. A wrong PIN is
remembered: tokens lock after a few, so it is not shown to one again before the agent is restarted.
"""

import logging
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, TypeVar

import msgspec
import trio
from msgspec.structs import replace

from actors import World
from actors.restart import RestartAfter, RestartPolicy, decide_restart, recent_failures
from vault.seal.root_keys.helper import LENGTH, MAX_MESSAGE, Answer, Request, Start
from vault.seal.root_keys.provider import KeyDescription, KeyProviderError, WrappedKey

T = TypeVar("T")

log: Final = logging.getLogger("freehold.seal")

PROGRAM: Final = (sys.executable, "-P", "-m", "vault.seal.root_keys.helper")
KILL_SECONDS: Final = 5.0
UNREACHABLE: Final = "key_provider_unreachable"
_READ: Final = 1 << 16
_PAUSES: Final = RestartPolicy(intensity=1 << 30, window=60.0, backoff_base=0.1, backoff_cap=5.0)
_FAILURES: Final = 32  # that are remembered for the length of a pause


class HelperEndedError(Exception):
    """The process ended, or its pipe did, during a call."""


class ProcessKeyProvider:
    """One provider's helper process. See `KeyProvider`."""

    def __init__(
        self,
        name: str,
        type_: str,
        settings: Mapping[str, Any],
        *,
        environment: Mapping[str, str],
        timeout: float,
        creates_keys: bool,
        world: World,
        program: tuple[str, ...] = PROGRAM,
    ) -> None:
        """`settings` go to the backend; `environment` is all that the process gets.

        `timeout`: seconds that a call may take, with the start of the process where that is needed.
        """
        self.name = name
        self.type = type_
        self.creates_keys = creates_keys
        self._start = Start(type_, dict(settings))
        self._environment = dict(environment)
        self._timeout = timeout
        self._world = world
        self._program = program
        self._process: trio.Process | None = None
        self._failures: list[float] = []
        self._refused: KeyProviderError | None = None
        self._lock = trio.Lock()

    @property
    def pid(self) -> int | None:
        """Of the process; None while there is none."""
        return None if self._process is None else self._process.pid

    async def describe(self) -> KeyDescription:
        """See `KeyBackend`."""
        answer = await self._call(Request("describe"))
        return _given(answer.description)

    async def wrap(self, root_key: bytes, context: bytes) -> WrappedKey:
        """See `KeyBackend`."""
        answer = await self._call(Request("wrap", root_key=root_key, context=context))
        wrapped = _given(answer.wrapped)
        now = self._world.now()
        return replace(wrapped, provider=self.name, type=self.type, created_at=now)

    async def unwrap(self, wrapped: WrappedKey, context: bytes) -> bytes:
        """See `KeyBackend`."""
        answer = await self._call(
            Request("unwrap", wrapped=wrapped, context=context), is_shielded=False
        )
        return answer.root_key

    async def create_version(self) -> KeyDescription:
        """See `KeyBackend`."""
        answer = await self._call(Request("create_version"))
        return _given(answer.description)

    async def aclose(self) -> None:
        """End the process: orderly, or within the time limit of a call. A later call starts one."""
        with trio.CancelScope(shield=True):
            async with self._lock:
                process, self._process = self._process, None
            if process is None:
                return
            if process.stdin is not None:
                await process.stdin.aclose()
            with trio.move_on_after(self._timeout):
                await process.wait()
            await _kill(process)

    async def _call(self, request: Request, *, is_shielded: bool = True) -> Answer:
        """Raises `KeyProviderError`.

        A call that is cancelled ends the process, as one that takes too long does. Those that
        change something at the provider are shielded: a call that is cut may leave a token damaged.
        """
        if self._refused is not None:
            raise self._refused.with_traceback(None)
        try:
            with trio.CancelScope(shield=is_shielded), trio.fail_after(self._timeout):
                async with self._lock:
                    answer = await self._exchange(request)
        except trio.TooSlowError:
            raise KeyProviderError(
                "key_provider_timeout",
                f"key provider {self.name} ({self.type}) has not answered within "
                f"{self._timeout:g} s: see whether its device or service is up",
            ) from None
        except HelperEndedError:
            raise KeyProviderError(
                "key_provider_unreachable",
                f"the helper process of key provider {self.name} ({self.type}) ended during a "
                "call: see the agent's log, and try its library with the provider's own tools",
            ) from None
        if answer.code:
            error = KeyProviderError(answer.code, f"key provider {self.name}: {answer.message}")
            if error.is_final:
                self._refused = error
            raise error
        return answer

    async def _exchange(self, request: Request) -> Answer:
        """Raises `HelperEndedError`."""
        try:
            return await self._exchange_once(request)
        except HelperEndedError:
            if request.method == "create_version":  # it may have made one
                raise
            log.warning("the helper process of key provider %s ended; it is restarted", self.name)
            return await self._exchange_once(request)

    async def _exchange_once(self, request: Request) -> Answer:
        process = await self._running()
        try:
            await _send(process, request)
            answer = await _receive(process)
        except (trio.BrokenResourceError, trio.ClosedResourceError, msgspec.MsgspecError):
            await self._drop(process)
            raise HelperEndedError from None
        except trio.Cancelled:  # the answer, if any, would be taken for the next call's
            await self._drop(process)
            raise
        self._failures.clear()
        if answer.code == UNREACHABLE:  # its library may be in an unknown state: the next is fresh
            self._process = None
            await _kill(process)
        return answer

    async def _running(self) -> trio.Process:
        """The process, started if there is none."""
        if self._process is not None:
            if self._process.poll() is None:
                return self._process
            await self._drop(self._process)
        now = self._world.monotonic()
        if recent_failures(_PAUSES, self._failures, now):
            decision = decide_restart(_PAUSES, self._failures, now, self._world.jitter())
            pause = decision.delay if isinstance(decision, RestartAfter) else _PAUSES.backoff_cap
            await self._world.sleep(max(self._failures[-1] + pause - now, 0))
        try:
            with trio.CancelScope(shield=True):  # a process that is started has an owner
                process = await trio.lowlevel.open_process(
                    self._program,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    env=self._environment,
                    start_new_session=True,  # a terminal's Ctrl-C is for the agent
                )
        except OSError as error:
            self._note_failure()
            log.error("key provider %s: no helper process: %s", self.name, error.strerror)  # noqa: TRY400  # one line tells all
            raise HelperEndedError from None
        self._process = process
        try:
            await _send(process, self._start)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            await self._drop(process)
            raise HelperEndedError from None
        except trio.Cancelled:
            await self._drop(process)
            raise
        return process

    async def _drop(self, process: trio.Process) -> None:
        """Kill what has failed, and remember that it did."""
        self._process = None
        self._note_failure()
        await _kill(process)

    def _note_failure(self) -> None:
        self._failures = [*self._failures[-_FAILURES:], self._world.monotonic()]


async def _kill(process: trio.Process) -> None:
    """End it and take its status, whatever cancels the caller."""
    with trio.CancelScope(shield=True):
        with suppress(ProcessLookupError):
            process.kill()
        with trio.move_on_after(KILL_SECONDS):  # one that a driver holds ends when that lets go
            await process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                await stream.aclose()


async def _send(process: trio.Process, message: Start | Request) -> None:
    if process.stdin is None:
        raise RuntimeError("it was started with a pipe")
    encoded = msgspec.msgpack.encode(message)
    await process.stdin.send_all(LENGTH.pack(len(encoded)) + encoded)


async def _receive(process: trio.Process) -> Answer:
    """Raises `trio.BrokenResourceError` when the process ends before its answer does."""
    if process.stdout is None:
        raise RuntimeError("it was started with a pipe")
    received, wanted = b"", LENGTH.size
    while len(received) < wanted:
        piece = await process.stdout.receive_some(_READ)
        if not piece:
            raise trio.BrokenResourceError
        received += piece
        if wanted == LENGTH.size <= len(received):
            (length,) = LENGTH.unpack_from(received)
            if length > MAX_MESSAGE:
                raise trio.BrokenResourceError
            wanted += length
    return msgspec.msgpack.decode(received[LENGTH.size :], type=Answer)


def _given(value: T | None) -> T:
    """What an answer without an error has."""
    if value is None:
        raise KeyProviderError("key_provider_failed", "its helper process gave no answer")
    return value
