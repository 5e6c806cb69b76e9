"""Seccomp user notification (Linux ≥ 5.19): a process whose chosen system calls ask us first.

Numbers and layouts are those of linux/seccomp.h and linux/filter.h; no privilege is needed. Every
thread of the process asks the same listener, in the order in which the kernel met the calls, which
is what a position is counted by.
"""

import ctypes
import errno
import fcntl
import os
import platform
import struct
from dataclasses import dataclass
from typing import Final

_SECCOMP: Final = {"x86_64": 317, "aarch64": 277}
_SET_MODE_FILTER: Final = 1
_NEW_LISTENER: Final = 1 << 3
_WAIT_KILLABLE: Final = 1 << 5  # only a deadly signal takes a call out of our hands
_NO_NEW_PRIVS: Final = 38  # prctl; what lets an unprivileged process filter itself
_RECEIVE: Final = 0xC0502100  # SECCOMP_IOCTL_NOTIF_RECV
_SEND: Final = 0xC0182101  # SECCOMP_IOCTL_NOTIF_SEND
_IS_VALID: Final = 0x40082102  # SECCOMP_IOCTL_NOTIF_ID_VALID
_CONTINUE: Final = 1  # SECCOMP_USER_NOTIF_FLAG_CONTINUE
_NOTIFICATION: Final = struct.Struct("QIIiIQ6Q")
_ANSWER: Final = struct.Struct("QqiI")

_LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_JUMP_EQUAL: Final = 0x15
_JUMP_SET: Final = 0x45  # any of these bits
_RETURN: Final = 0x06
_ALLOW: Final = 0x7FFF0000
_NOTIFY: Final = 0x7FC00000
_FLAGS_OF_OPENAT: Final = (
    16 + 8 * 2
)  # offset in struct seccomp_data: low word of the third argument
_CHANGES: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT

# System calls that change files, by the numbers of each architecture (asm/unistd.h).
_NUMBERS: Final = {
    "x86_64": {
        "write": 1, "pwrite": 18, "pwritev": 296, "writev": 20, "fsync": 74, "fdatasync": 75,
        "ftruncate": 77, "fallocate": 285, "rename": 82, "renameat": 264, "renameat2": 316,
        "unlink": 87, "unlinkat": 263, "openat": 257,
    },
    "aarch64": {
        "write": 64, "pwrite": 68, "pwritev": 70, "writev": 66, "fsync": 82, "fdatasync": 83,
        "ftruncate": 46, "fallocate": 47, "renameat": 38, "renameat2": 276, "unlinkat": 35,
        "openat": 56,
    },
}  # fmt: skip


@dataclass(frozen=True)
class Notification:
    """A call that waits for an answer: which, by whom (thread id), with which arguments."""

    id: int
    thread: int
    name: str
    arguments: tuple[int, ...]


def supported() -> bool:
    """Whether this architecture's numbers are known."""
    return platform.machine() in _NUMBERS


def install() -> int:
    """Filter this process and what it executes from now on; returns the listener's descriptor.

    Raises `OSError`, or `KeyError` on an architecture that is not known.
    """
    program = _program(_NUMBERS[platform.machine()])
    buffer = ctypes.create_string_buffer(program)
    header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    flags = _NEW_LISTENER | _WAIT_KILLABLE
    number = _SECCOMP[platform.machine()]
    listener = libc.syscall(number, _SET_MODE_FILTER, flags, ctypes.c_char_p(header))
    if listener < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"seccomp: {os.strerror(code)}")
    return int(listener)


def receive(listener: int) -> Notification | None:
    """The next call; None when its caller is gone. Blocks unless the listener is readable."""
    buffer = bytearray(_NOTIFICATION.size)
    try:
        fcntl.ioctl(listener, _RECEIVE, buffer)
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.EINTR}:
            return None
        raise
    id_, thread, _flags, number, _architecture, _ip, *arguments = _NOTIFICATION.unpack(buffer)
    names = {value: name for name, value in _NUMBERS[platform.machine()].items()}
    return Notification(id_, thread, names[number], tuple(arguments))


def waits(listener: int, call: Notification) -> bool:
    """Whether its caller is still there, and waits for an answer."""
    try:
        fcntl.ioctl(listener, _IS_VALID, struct.pack("Q", call.id))
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise
        return False
    return True


def continue_call(listener: int, call: Notification) -> None:
    """Have the kernel do it."""
    _answer(listener, _ANSWER.pack(call.id, 0, 0, _CONTINUE))


def fail_call(listener: int, call: Notification, code: int) -> None:
    """It did not happen, and its caller gets this errno."""
    _answer(listener, _ANSWER.pack(call.id, 0, -code, 0))


def complete_call(listener: int, call: Notification, value: int) -> None:
    """It is done already, and this is what it returns."""
    _answer(listener, _ANSWER.pack(call.id, value, 0, 0))


def _answer(listener: int, answer: bytes) -> None:
    try:
        fcntl.ioctl(listener, _SEND, answer)
    except OSError as error:
        if error.errno != errno.ENOENT:  # its caller was killed meanwhile
            raise


def _program(numbers: dict[str, int]) -> bytes:
    """Notify of these calls; of `openat` only where it may change something."""
    steps = [_step(_LOAD, 0)]
    for name, number in numbers.items():
        if name == "openat":
            continue
        steps += [_step(_JUMP_EQUAL, number, 0, 1), _step(_RETURN, _NOTIFY)]
    steps += [
        _step(_JUMP_EQUAL, numbers["openat"], 0, 3),
        _step(_LOAD, _FLAGS_OF_OPENAT),
        _step(_JUMP_SET, _CHANGES, 0, 1),
        _step(_RETURN, _NOTIFY),
        _step(_RETURN, _ALLOW),
    ]
    return b"".join(steps)


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, value)
