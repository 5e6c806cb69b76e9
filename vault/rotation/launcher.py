"""Runs a rotation script for the agent, confined: a program of its own that holds no secret.

    python -I -m vault.rotation.launcher connection --agent freehold
        One request on standard input, which is a socket. systemd starts it for each connection
        (deploy/systemd/freehold-rotator@.service) and confines it; this has no privilege.
    python -I -m vault.rotation.launcher serve --agent freehold --socket PATH --uids FIRST-LAST
        Without systemd, as root: listens, and gives each run namespaces and a uid of its own.

The request is one JSON document of at most 64 KiB and names a script; what it runs and within which
limits, only a root-owned file in /etc/freehold/rotators.d says. The script gets the document on its
standard input, no argument of the request's and no environment. Its standard output is the answer;
its standard error goes nowhere. Nothing here imports anything but the standard library, nothing is
logged, and no answer repeats what the script wrote, except the value that it makes.

docs/spec/rotators.md has the protocol and what each of the two ways promises.
"""

import argparse
import ctypes
import errno
import json
import os
import pwd
import re
import resource
import selectors
import signal
import socket
import stat
import struct
import sys
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NoReturn

MAX_DOCUMENT: Final = 64 * 1024
"""Bytes of a request and of an answer."""
MAX_DEFINITION: Final = 16 * 1024
FOLDER: Final = "/etc/freehold/rotators.d"
REQUEST_SECONDS: Final = 10.0
MAX_SECONDS: Final = 300
NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?", re.ASCII)
CODE: Final = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)
STEPS: Final = frozenset({"create", "apply", "verify", "retire"})
HIDDEN: Final = ("/etc/freehold", "/var/lib/freehold", "/var/lib/freehold-anchor",
                 "/var/lib/freehold-key", "/var/log", "/root", "/home", "/run")  # fmt: skip
_SCRATCH: Final = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108  # private to each run
_SCRATCH_OPTIONS: Final = b"size=16m,mode=1777"
_FILE_SIZE: Final = 16 * 1024 * 1024
_FILES: Final = 256
_MEBIBYTE: Final = 1024 * 1024
_PIECE: Final = 16 * 1024
_MAX_UNREAD: Final = 1024 * 1024
_BACKLOG: Final = 128
_SETUP_FAILED: Final = 126
_MAX_RUNS: Final = 64

# Linux: prctl(2), unshare(2), mount(2), mount_setattr(2).
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
_CLONE_NEWNS, _CLONE_NEWUTS, _CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
_CLONE_NEWPID, _CLONE_NEWNET = 0x20000000, 0x40000000
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 1, 2, 4, 8
_MS_REMOUNT, _MS_REC, _MS_PRIVATE = 32, 16384, 1 << 18
_SYS_MOUNT_SETATTR, _AT_RECURSIVE, _MOUNT_ATTR_RDONLY, _MOUNT_ATTR_NOSUID = 442, 0x8000, 1, 2
_KEYCTL: Final = {"x86_64": 250, "aarch64": 219, "riscv64": 219, "s390x": 280, "ppc64le": 271}
_JOIN_SESSION_KEYRING, _CLEAR_KEYRING = 1, 7
_KEYRINGS_OF_UID: Final = (-4, -5)  # keyctl(2): its user keyring, its user session keyring
_DEVICES: Final = (
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
)
_PEER: Final = struct.Struct("3i")  # pid, uid, gid

_libc: Final = ctypes.CDLL(None, use_errno=True)


class LauncherError(Exception):
    """What the agent is told. `is_final`: it fails again until somebody changes something."""

    def __init__(self, code: str, text: str, *, is_final: bool = True) -> None:
        super().__init__(text)
        self.answer = {"error": {"code": code, "text": text, "final": is_final}}


@dataclass(frozen=True)
class Definition:
    """A file of rotators.d: what a name runs, within which limits, and the errors it may report."""

    command: tuple[str, ...]
    seconds: int = 60
    memory: int = 256
    tasks: int = 16
    network: bool = False
    errors: dict[str, str] = field(default_factory=dict)
    final_errors: frozenset[str] = frozenset()


# --- the local configuration -------------------------------------------------------------------


def read_definition(folder: str, name: str, trusted: Sequence[int] = (0,)) -> Definition:
    """The script of this name. Raises `LauncherError`.

    `trusted`: the uids that may own the file, its folders and the command: root.
    """
    if NAME.fullmatch(name) is None:
        raise LauncherError("script_name", "a script's name has 1 to 64 of a-z, 0-9 and hyphens")
    path = f"{folder}/{name}.toml"
    try:
        with _open_trusted(path, trusted) as fd:
            text = _read_all(fd, MAX_DEFINITION)
    except FileNotFoundError:
        raise LauncherError("script_unknown", f"there is no {path}: root creates it") from None
    try:
        return _parse(tomllib.loads(text.decode()))
    except (ValueError, TypeError) as error:
        raise LauncherError("script_definition", f"{path}: {error}") from None


def _parse(found: dict[str, Any]) -> Definition:
    unknown = found.keys() - Definition.__dataclass_fields__.keys()
    if unknown:
        raise ValueError(f"unknown keys: {', '.join(sorted(unknown))}")
    command = found.get("command")
    if not isinstance(command, list) or not command or not all(
        isinstance(each, str) and "\0" not in each for each in command
    ):  # fmt: skip
        raise ValueError("command must be a list: an absolute path and its arguments")
    if not command[0].startswith("/") or ".." in command[0].split("/"):
        raise ValueError("the command must be an absolute path without '..'")
    errors, final = found.get("errors", {}), found.get("final_errors", [])
    if not isinstance(errors, dict) or not all(
        CODE.fullmatch(code) and isinstance(text, str) for code, text in errors.items()
    ):
        raise ValueError("errors must be a table of codes (a-z, 0-9, _) and texts")
    if not isinstance(final, list) or not set(final) <= errors.keys():
        raise ValueError("final_errors must be a list of codes in errors")
    network = found.get("network", False)
    if not isinstance(network, bool):
        raise TypeError("network must be true or false")
    return Definition(
        command=tuple(command),
        seconds=_whole(found, "seconds", Definition.seconds, MAX_SECONDS),
        memory=_whole(found, "memory", Definition.memory, 64 * 1024),
        tasks=_whole(found, "tasks", Definition.tasks, 4096),
        network=network,
        errors=errors,
        final_errors=frozenset(final),
    )


def _whole(found: dict[str, Any], key: str, default: int, most: int) -> int:
    number = found.get(key, default)
    if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= most:
        raise ValueError(f"{key} must be a whole number from 1 to {most}")
    return number


@contextmanager
def _open_trusted(
    path: str, trusted: Sequence[int], is_kind: Callable[[int], bool] = stat.S_ISREG
) -> Iterator[int]:
    """Open a file that only the trusted can change, by folders that only they can change.

    Each part is opened below the one before it and never through a symbolic link, and what was
    opened is what is checked: nothing can be put in its place in between.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    *folders, last = path.strip("/").split("/")
    at = os.open("/", flags | os.O_DIRECTORY)
    try:
        _check_owner(at, "/", trusted)
        for index, part in enumerate([*folders, last]):
            is_last = index == len(folders)
            try:
                below = os.open(part, flags if is_last else flags | os.O_DIRECTORY, dir_fd=at)
            except FileNotFoundError:
                raise
            except OSError as error:
                raise LauncherError(
                    "script_untrusted",
                    f"{path}: {part} cannot be opened ({error.strerror}): it must be readable and "
                    "no symbolic link, nor may any folder above it be one",
                ) from None
            os.close(at)
            at = below
            _check_owner(at, path, trusted)
        if not is_kind(os.fstat(at).st_mode):
            raise LauncherError("script_untrusted", f"{path} is no regular file or folder")
        yield at
    finally:
        os.close(at)


def _check_owner(fd: int, path: str, trusted: Sequence[int]) -> None:
    found = os.fstat(fd)
    if found.st_uid not in trusted or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise LauncherError(
            "script_untrusted",
            f"{path} and its folders must belong to root and be writable for nobody else",
        )


def _read_all(fd: int, most: int) -> bytes:
    read = b""
    while piece := os.read(fd, _PIECE):
        read += piece
        if len(read) > most:
            raise LauncherError("script_definition", f"a definition has at most {most} bytes")
    return read


# --- one request -------------------------------------------------------------------------------


def handle(
    connection: socket.socket,
    agent: int,
    folder: str,
    uid: int | None,
    trusted: Sequence[int] = (0,),
) -> None:
    """Answer the one request of a connection. An agent that has gone gets no answer."""
    with suppress(OSError), connection:
        try:
            answer = _answer(connection, agent, folder, uid, trusted)
        except LauncherError as error:
            answer = error.answer
        connection.settimeout(REQUEST_SECONDS)
        connection.sendall(json.dumps(answer, ensure_ascii=False).encode())
        connection.shutdown(socket.SHUT_WR)
        left = _MAX_UNREAD  # closed with bytes unread, the peer would get an error for the answer
        end = time.monotonic() + REQUEST_SECONDS
        while left > 0 and time.monotonic() < end and (piece := connection.recv(_PIECE)):
            left -= len(piece)


def _answer(
    connection: socket.socket,
    agent: int,
    folder: str,
    uid: int | None,
    trusted: Sequence[int],
) -> dict[str, Any]:
    check_peer(connection, agent)
    request = _read_request(connection)
    definition = read_definition(folder, request["script"], trusted)
    with _open_trusted_command(definition.command[0], trusted):
        pass
    seconds = min(float(definition.seconds), request["timeout"])
    document = json.dumps({key: request[key] for key in _FORWARDED if key in request}).encode()
    status, output = run(definition, document, seconds, uid)
    return _check_output(definition, request["step"], status, output)


_FORWARDED: Final = (
    "version", "step", "rotation", "key", "fence", "settings", "connection", "value", "previous",
)  # fmt: skip


@contextmanager
def _open_trusted_command(path: str, trusted: Sequence[int]) -> Iterator[int]:
    try:
        with _open_trusted(path, trusted) as fd:
            yield fd
    except FileNotFoundError:
        raise LauncherError("script_missing", f"there is no {path}: install it") from None


def check_peer(connection: socket.socket, agent: int) -> None:
    """Raise `LauncherError` unless the agent's user has connected."""
    option = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    if _PEER.unpack(option)[1] != agent:
        raise LauncherError("launcher_peer", "only the agent's user may run scripts")


def _read_request(connection: socket.socket) -> dict[str, Any]:
    end = time.monotonic() + REQUEST_SECONDS
    read = b""
    while True:
        connection.settimeout(max(end - time.monotonic(), 0.001))
        try:
            piece = connection.recv(_PIECE)
        except TimeoutError:
            raise LauncherError(
                "launcher_request", "the request did not end", is_final=False
            ) from None
        if not piece:
            break
        read += piece
        if len(read) > MAX_DOCUMENT:
            raise LauncherError("launcher_request", f"a request has at most {MAX_DOCUMENT} bytes")
    try:
        request = json.loads(read)
        well_formed = (
            request["version"] == 1
            and isinstance(request["script"], str)
            and request["step"] in STEPS
            and float(request["timeout"]) > 0
        )
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        well_formed, request = False, {}
    if not well_formed:
        raise LauncherError(
            "launcher_request", "the request is not one of this version: update the launcher"
        )
    request["timeout"] = float(request["timeout"])
    found: dict[str, Any] = request
    return found


def _check_output(definition: Definition, step: str, status: int, output: bytes) -> dict[str, Any]:
    """The answer in its shape, and nothing else of what the script wrote."""
    try:
        answer = json.loads(output or b"{}")
        code = answer.get("error") if isinstance(answer, dict) else None
        json.dumps(answer, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except (ValueError, RecursionError):
        answer, code = None, None
    if isinstance(code, str) and code in definition.errors:
        raise LauncherError(code, definition.errors[code], is_final=code in definition.final_errors)
    if status != 0 or code is not None:
        shown = f"signal {-status}" if status < 0 else f"status {status}"
        raise LauncherError(
            "script_failed",
            f"the script ended with {shown} and an error that its definition does not list: "
            "run it by hand with the same input",
            is_final=False,
        )
    if step != "create":
        if answer != {}:
            raise _bad_answer("an empty output or {}")
        return {}
    value = answer.get("value") if isinstance(answer, dict) and len(answer) == 1 else None
    if (
        not isinstance(value, dict)
        or not value
        or not all(isinstance(text, str) for text in value.values())
    ):
        raise _bad_answer('{"value": {"field": "text"}}')
    return {"value": value}


def _bad_answer(shape: str) -> LauncherError:
    return LauncherError("script_answer", f"the script must print {shape} for this step")


# --- one run -----------------------------------------------------------------------------------


def run(
    definition: Definition, document: bytes, seconds: float, uid: int | None
) -> tuple[int, bytes]:
    """Status and output of the script. Everything that it started has ended afterwards.

    Raises `LauncherError`: `script_timeout`, `script_output` (too much), `launcher_sandbox`.
    `uid`: to run as, in new namespaces; None: as it is. Then a process that left the script's
    session lives on until this launcher ends, at which the service manager kills it.
    """
    if uid is not None:
        _unshare(network=definition.network)
    stdin, to_script = os.pipe2(os.O_CLOEXEC)
    from_script, stdout = os.pipe2(os.O_CLOEXEC)
    setup_errors, setup = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        _become_script(definition, (stdin, stdout, setup), uid)
    for fd in (stdin, stdout, setup):
        os.close(fd)
    end = time.monotonic() + seconds
    try:
        output = _exchange(to_script, from_script, document, end)
        status = _wait(child, end)
    finally:
        _kill(child)
        os.close(from_script)
    with os.fdopen(setup_errors, "rb") as errors:
        failed = errors.read(256).decode(errors="replace")
    if failed:
        raise LauncherError("launcher_sandbox", f"the script was not run: {failed} failed")
    return status, output


def _exchange(to_script: int, from_script: int, document: bytes, end: float) -> bytes:
    """Write the document, read the output to its end. Closes `to_script`."""
    output = bytearray()
    left = memoryview(document)
    os.set_blocking(to_script, False)
    with selectors.DefaultSelector() as selector, os.fdopen(to_script, "wb", buffering=0) as pipe:
        selector.register(from_script, selectors.EVENT_READ)
        selector.register(pipe, selectors.EVENT_WRITE)
        while True:
            ready = selector.select(max(end - time.monotonic(), 0))
            if not ready and time.monotonic() >= end:
                raise _timed_out()
            for key, _events in ready:
                if key.fileobj is pipe:
                    try:
                        left = left[os.write(pipe.fileno(), left) :]
                    except BrokenPipeError:  # a script need not read what it does not use
                        left = left[:0]
                    if not left:
                        selector.unregister(pipe)
                        pipe.close()
                    continue
                piece = os.read(from_script, _PIECE)
                output += piece
                if len(output) > MAX_DOCUMENT:
                    raise LauncherError(
                        "script_output", f"the script printed more than {MAX_DOCUMENT} bytes"
                    )
                if not piece:
                    return bytes(output)


def _wait(child: int, end: float) -> int:
    """The script's status; negative: the signal. It may outlive its output, not its deadline."""
    descriptor = os.pidfd_open(child)
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(descriptor, selectors.EVENT_READ)
            if not selector.select(max(end - time.monotonic(), 0)):
                raise _timed_out()
        # Not reaped yet, so that its process group is still its own when it is killed.
        found = os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    finally:
        os.close(descriptor)
    if found is None:
        raise LauncherError("launcher_sandbox", "the script's end was missed", is_final=False)
    return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status


def _timed_out() -> LauncherError:
    return LauncherError(
        "script_timeout",
        "the script did not end in time: see `seconds` in its definition",
        is_final=False,
    )


def _kill(child: int) -> None:
    """End the script. It is the first process of its PID namespace, so the kernel ends the rest."""
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    with suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def _become_script(
    definition: Definition, pipes: tuple[int, int, int], uid: int | None
) -> NoReturn:
    """In the new process: confine it and execute the command. Never returns."""
    stdin, stdout, setup = pipes
    stage = "start"
    try:
        os.setsid()
        stage = "standard streams"
        null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        for source, number in ((stdin, 0), (stdout, 1), (null, 2)):
            os.dup2(source, number, inheritable=True)
        os.dup2(setup, 3, inheritable=False)
        setup = 3
        os.closerange(4, 1 << 20 if _open_limit() < 0 else _open_limit())
        if uid is not None:
            stage = "private file systems"
            _make_mounts(network=definition.network)
            stage = "change of user"
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            stage = "own keyrings"
            _join_keyring()
        stage = "limits"
        _limit(definition, counts_tasks=uid is not None)
        _prctl(_PR_SET_NO_NEW_PRIVS, 1)
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        os.umask(0o077)
        os.chdir("/")
        stage = "execution"
        os.execve(definition.command[0], list(definition.command), {})  # noqa: S606
    except BaseException as error:  # noqa: BLE001  # it must not run on as a second launcher
        reason = getattr(error, "strerror", None) or type(error).__name__
        with suppress(OSError):
            os.write(setup, f"{stage} ({reason})".encode()[:256])
    os._exit(_SETUP_FAILED)


def _open_limit() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def _limit(definition: Definition, *, counts_tasks: bool) -> None:
    limits = [
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_AS, definition.memory * _MEBIBYTE),
        (resource.RLIMIT_CPU, definition.seconds),
        (resource.RLIMIT_FSIZE, _FILE_SIZE),
        (resource.RLIMIT_NOFILE, _FILES),
    ]
    if counts_tasks:  # they are counted by uid: systemd counts them by unit
        limits.append((resource.RLIMIT_NPROC, definition.tasks))
    for kind, most in limits:
        hard = resource.getrlimit(kind)[1]
        bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (bound, bound))


# --- Linux -------------------------------------------------------------------------------------


def _unshare(*, network: bool) -> None:
    """New namespaces for what this process forks next. Raises `LauncherError`: never without."""
    kinds = _CLONE_NEWNS | _CLONE_NEWPID | _CLONE_NEWIPC | _CLONE_NEWUTS
    if not network:
        kinds |= _CLONE_NEWNET
    if _libc.unshare(ctypes.c_int(kinds)) != 0:
        raise LauncherError(
            "launcher_sandbox",
            f"no namespaces ({os.strerror(ctypes.get_errno())}): the launcher needs root with "
            "CAP_SYS_ADMIN, or systemd",
        )


def _make_mounts(*, network: bool) -> None:
    """Everything read-only and without set-user-ID, own /tmp, /proc, /dev; the hidden is empty."""
    _mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None)
    attributes = struct.pack("4Q", _MOUNT_ATTR_RDONLY | _MOUNT_ATTR_NOSUID, 0, 0, 0)
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    done = _libc.syscall(
        ctypes.c_long(_SYS_MOUNT_SETATTR), ctypes.c_int(-1), b"/", ctypes.c_uint(_AT_RECURSIVE),
        buffer, ctypes.c_size_t(len(attributes)),
    )  # fmt: skip
    if done != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    _mount(b"proc", b"/proc", b"proc", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC, None)
    _make_devices()
    for path in _SCRATCH:
        if Path(path).is_dir():
            _mount(b"tmpfs", path.encode(), b"tmpfs", _MS_NOSUID | _MS_NODEV, _SCRATCH_OPTIONS)
    for path in HIDDEN:
        if Path(path).is_dir() and not (network and path == "/run"):  # has the resolver's socket
            flags = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC | _MS_RDONLY
            _mount(b"tmpfs", path.encode(), b"tmpfs", flags, b"size=4k,mode=0555")


def _make_devices() -> None:
    """A /dev of what every program may use: no disk, no terminal, no hypervisor."""
    _mount(b"tmpfs", b"/dev", b"tmpfs", _MS_NOSUID | _MS_NOEXEC, b"size=64k,mode=0755")
    for name, major, minor in _DEVICES:
        path = f"/dev/{name}"
        os.mknod(path, stat.S_IFCHR, os.makedev(major, minor))
        Path(path).chmod(0o666)
    Path("/dev/shm").mkdir()  # noqa: S108  # private to the run
    Path("/dev/fd").symlink_to("/proc/self/fd")
    flags = _MS_REMOUNT | _MS_RDONLY | _MS_NOSUID | _MS_NOEXEC
    _mount(b"tmpfs", b"/dev", b"tmpfs", flags, b"size=64k,mode=0755")


def _join_keyring() -> None:
    """A new session keyring (keyrings(7)): that of the launcher's session could be read.

    Those that the kernel keeps for the uid are emptied of what an earlier run has left.
    """
    number = _KEYCTL.get(os.uname().machine)
    if number is None:
        raise OSError(errno.ENOSYS, "its number is not known on this machine")
    _keyctl(number, _JOIN_SESSION_KEYRING, None)
    for keyring in _KEYRINGS_OF_UID:
        _keyctl(number, _CLEAR_KEYRING, ctypes.c_int(keyring))


def _keyctl(number: int, operation: int, argument: ctypes.c_int | None) -> None:
    done = _libc.syscall(ctypes.c_long(number), ctypes.c_int(operation), argument)
    if done < 0 and ctypes.get_errno() != errno.ENOSYS:  # a kernel without keyrings has no keys
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _mount(
    source: bytes, target: bytes, kind: bytes | None, flags: int, data: bytes | None
) -> None:
    if _libc.mount(source, target, kind, ctypes.c_ulong(flags), data) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _close_memory() -> None:
    """No core file has what passes through here, and a script of this user cannot look into it."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _prctl(_PR_SET_DUMPABLE, 0)


def _prctl(option: int, argument: int) -> None:
    zero = ctypes.c_ulong(0)
    if _libc.prctl(ctypes.c_int(option), ctypes.c_ulong(argument), zero, zero, zero) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


# --- the program -------------------------------------------------------------------------------


def listen(path: str, agent: int) -> socket.socket:
    """A socket at this path, for the agent alone. Raises `OSError`, `LauncherError`.

    Nobody else may write to its folder: what they put there would be given to the agent.
    """
    with _open_trusted(str(Path(path).parent), (0,), stat.S_ISDIR):
        pass
    with suppress(FileNotFoundError):
        if stat.S_ISSOCK(os.lstat(path).st_mode):
            Path(path).unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    os.umask(0o177)
    listener.bind(path)
    os.chown(path, agent, -1, follow_symlinks=False)
    listener.listen(_BACKLOG)
    return listener


def serve(listener: socket.socket, agent: int, uids: Sequence[int], folder: str) -> NoReturn:
    """Handle each connection in a process of its own: as many at once as uids."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # runs die with this process
    free, running = list(uids), dict[int, tuple[int, int]]()
    with selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        while True:
            for key, _events in selector.select():
                if key.fileobj is listener:
                    connection, _address = listener.accept()
                    uid = free.pop()
                    try:
                        child = _fork_handler(listener, connection, agent, uid, folder)
                    except OSError:  # no process to be had: the agent tries again
                        connection.close()
                        free.append(uid)
                        continue
                    descriptor = os.pidfd_open(child)
                    running[descriptor] = (child, uid)
                    selector.register(descriptor, selectors.EVENT_READ)
                    if not free:  # the next ones wait in the backlog
                        selector.unregister(listener)
                    continue
                child, uid = running.pop(key.fd)
                selector.unregister(key.fd)
                os.close(key.fd)
                os.waitpid(child, 0)
                if not free:
                    selector.register(listener, selectors.EVENT_READ)
                free.append(uid)


def _fork_handler(
    listener: socket.socket, connection: socket.socket, agent: int, uid: int, folder: str
) -> int:
    child = os.fork()
    if child != 0:
        connection.close()
        return child
    status = 1
    with suppress(BaseException):
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        listener.close()
        handle(connection, agent, folder, uid)
        status = 0
    os._exit(status)


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and run. Leaves with a sentence for what cannot start."""
    parser = argparse.ArgumentParser(prog="python -I -m vault.rotation.launcher")
    parser.add_argument("mode", choices=("connection", "serve"))
    parser.add_argument("--agent", required=True, help="the agent's user: nobody else may connect")
    parser.add_argument("--folder", default=FOLDER, help=f"the definitions; {FOLDER} by default")
    parser.add_argument("--socket", help="serve: the path to listen at")
    parser.add_argument("--uids", help="serve: FIRST-LAST, which belong to no account")
    chosen = parser.parse_args(arguments)
    try:
        agent = pwd.getpwnam(chosen.agent).pw_uid
    except KeyError:
        parser.error(f"there is no user {chosen.agent}: create it, or name the agent's user")
    _close_memory()
    if chosen.mode == "connection":
        if os.geteuid() == 0:
            parser.error("it must not be root: use DynamicUser, or serve")
        handle(socket.socket(fileno=os.dup(0)), agent, chosen.folder, None)
        return
    if os.geteuid() != 0:
        parser.error("to serve it must be root: it gives each script a uid of its own")
    if not chosen.socket or not chosen.uids:
        parser.error("to serve it needs --socket and --uids")
    try:
        uids = _parse_uids(chosen.uids)
    except ValueError as error:
        parser.error(str(error))
    try:
        listener = listen(chosen.socket, agent)
    except OSError as error:
        parser.error(f"cannot listen at {chosen.socket}: {error.strerror}: create its folder")
    except LauncherError as error:
        parser.error(f"cannot listen at {chosen.socket}: {error}")
    serve(listener, agent, uids, chosen.folder)


def _parse_uids(text: str) -> range:
    found = re.fullmatch(r"(\d{1,10})-(\d{1,10})", text, re.ASCII)
    uids = range(int(found[1]), int(found[2]) + 1) if found else range(0)
    if not 0 < len(uids) <= _MAX_RUNS or uids[0] == 0 or uids[-1] >= 2**32 - 2:
        raise ValueError(f"--uids is FIRST-LAST, at most {_MAX_RUNS} of them and not 0")
    for uid in uids:
        with suppress(KeyError):
            raise ValueError(f"uid {uid} belongs to {pwd.getpwuid(uid).pw_name}: choose others")
    return uids


if __name__ == "__main__":
    main()
