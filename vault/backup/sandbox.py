"""Confine this process: it reads a few folders, writes one, and starts or reaches nothing.

Limits work everywhere; system calls are filtered and files ruled by the kernel on Linux: seccomp
(seccomp(2)) and Landlock (landlock(7), from 5.13). None of it takes a privilege, and none of it can
be undone. Call it while the process has one thread: later ones inherit it.
"""

import ctypes
import errno
import os
import platform
import resource
import signal
import struct
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from msgspec import Struct

_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38
_NICE: Final = 10
_IOPRIO_IDLE: Final = 3 << 13  # ioprio_set(2): class idle
_MODE_FILTER: Final = 1

# System calls by the numbers of each architecture (asm/unistd.h).
_ARCHITECTURES: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # linux/audit.h
_SECCOMP: Final = {"x86_64": 317, "aarch64": 277}
_IOPRIO_SET: Final = {"x86_64": 251, "aarch64": 30}
_REFUSED: Final = {
    "x86_64": {
        "socket": 41, "connect": 42, "accept": 43, "accept4": 288, "bind": 49, "listen": 50,
        "sendmsg": 46, "sendmmsg": 307, "fork": 57, "vfork": 58, "execve": 59, "execveat": 322,
        "kill": 62, "tkill": 200, "tgkill": 234, "rt_sigqueueinfo": 129,
        "rt_tgsigqueueinfo": 297, "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311,
        "pidfd_open": 434, "pidfd_getfd": 438, "unshare": 272, "setns": 308, "mount": 165,
        "chroot": 161, "add_key": 248, "request_key": 249, "keyctl": 250, "bpf": 321,
        "perf_event_open": 298, "userfaultfd": 323, "io_uring_setup": 425, "shmget": 29,
        "msgget": 68, "mq_open": 240, "memfd_create": 319,
    },
    "aarch64": {
        "socket": 198, "connect": 203, "accept": 202, "accept4": 242, "bind": 200, "listen": 201,
        "sendmsg": 211, "sendmmsg": 269, "execve": 221, "execveat": 281, "kill": 129, "tkill": 130,
        "tgkill": 131, "rt_sigqueueinfo": 138, "rt_tgsigqueueinfo": 240,
        "ptrace": 117, "process_vm_readv": 270, "process_vm_writev": 271, "pidfd_open": 434,
        "pidfd_getfd": 438, "unshare": 97, "setns": 268, "mount": 40, "chroot": 51, "add_key": 217,
        "request_key": 218, "keyctl": 219, "bpf": 280, "perf_event_open": 241, "userfaultfd": 282,
        "io_uring_setup": 425, "shmget": 194, "msgget": 186, "mq_open": 180, "memfd_create": 279,
    },
}  # fmt: skip
_IF_ZERO: Final = {  # allowed while this argument is 0: no address to send to, no other process
    "x86_64": {"sendto": (44, 4), "prlimit64": (302, 0)},
    "aarch64": {"sendto": (206, 4), "prlimit64": (261, 0)},
}
_CLONE: Final = {"x86_64": 56, "aarch64": 220}
_CLONE3: Final = (
    435  # its flags are in memory, which a filter cannot read: the C library falls back
)
_CLONE_THREAD: Final = 0x00010000
_X32: Final = 0x40000000  # system calls of another numbering, on x86_64

_LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS (linux/filter.h)
_JUMP_EQUAL: Final = 0x15
_JUMP_AT_LEAST: Final = 0x35
_JUMP_SET: Final = 0x45
_RETURN: Final = 0x06
_ALLOW: Final = 0x7FFF0000  # linux/seccomp.h
_ERRNO: Final = 0x00050000
_KILL: Final = 0x80000000
_NUMBER, _ARCH, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data; arguments have 8 bytes

_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_LANDLOCK_VERSION: Final = 1  # flag: which version of the interface there is
_PATH_BENEATH: Final = 1
_READ: Final = 1 << 2 | 1 << 3  # files, folders
_FILE_ONLY: Final = 1 << 1 | 1 << 2
_RIGHTS: Final = {
    1: 13,
    2: 14,
    3: 15,
    4: 15,
    5: 16,
}  # of files, by version; later ones have no more
_DEVICES: Final = 1 << 6 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 15  # made: devices, sockets, pipes


class Limits(Struct, frozen=True, forbid_unknown_fields=True):
    """What a process may use: seconds of CPU, bytes of memory and of one file, open files."""

    cpu: int
    memory: int
    file: int
    files: int = 256


def confine(limits: Limits, folder: Path, readable: Iterable[Path]) -> tuple[str, ...]:
    """Confine this process to a folder, and what is `readable`; returns what is in force.

    `limits` always; `seccomp` and `landlock` where the kernel has them. Raises `OSError`.
    """
    _set_limits(limits)
    os.nice(_NICE)
    if sys.platform != "linux":
        return ("limits",)
    libc = ctypes.CDLL(None, use_errno=True)
    for option, value in (
        (_PR_SET_PDEATHSIG, signal.SIGKILL),
        (_PR_SET_DUMPABLE, 0),
        (_PR_SET_NO_NEW_PRIVS, 1),
    ):
        if libc.prctl(option, value, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")
    machine = platform.machine()
    if machine in _IOPRIO_SET:
        libc.syscall(_IOPRIO_SET[machine], 1, 0, _IOPRIO_IDLE)  # a wish: slower disks ignore it
    found = ["limits"]
    if _rule_files(libc, folder, readable):
        found.append("landlock")
    if machine in _SECCOMP and _filter_calls(libc, machine):
        found.append("seccomp")
    return tuple(found)


def _set_limits(limits: Limits) -> None:
    for kind, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, limits.cpu),
        (resource.RLIMIT_AS, limits.memory),
        (resource.RLIMIT_FSIZE, limits.file),
        (resource.RLIMIT_NOFILE, limits.files),
    ):
        hard = resource.getrlimit(kind)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)  # noqa: PLW2901
        resource.setrlimit(kind, (most, most))


def _filter_calls(libc: ctypes.CDLL, machine: str) -> bool:
    """False: the kernel has no seccomp."""
    program = _program(machine)
    buffer = ctypes.create_string_buffer(program)
    header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer))
    if libc.syscall(_SECCOMP[machine], _MODE_FILTER, 0, ctypes.c_char_p(header)) == 0:
        return True
    return _is_missing("seccomp")


def _program(machine: str) -> bytes:
    """Refuse these calls with EPERM; a new process is refused, a new thread is not."""
    refused, missing = _ERRNO | errno.EPERM, _ERRNO | errno.ENOSYS
    steps = [
        _step(_LOAD, _ARCH),
        _step(_JUMP_EQUAL, _ARCHITECTURES[machine], 1, 0),
        _step(_RETURN, _KILL),
        _step(_LOAD, _NUMBER),
        _step(_JUMP_EQUAL, _CLONE3, 0, 1),
        _step(_RETURN, missing),
    ]
    if machine == "x86_64":
        steps += [_step(_JUMP_AT_LEAST, _X32, 0, 1), _step(_RETURN, refused)]
    for number in _REFUSED[machine].values():
        steps += [_step(_JUMP_EQUAL, number, 0, 1), _step(_RETURN, refused)]
    for number, argument in _IF_ZERO[machine].values():
        low = _ARGUMENTS + 8 * argument
        steps += [
            _step(_JUMP_EQUAL, number, 0, 6),
            _step(_LOAD, low),
            _step(_JUMP_EQUAL, 0, 0, 3),
            _step(_LOAD, low + 4),
            _step(_JUMP_EQUAL, 0, 0, 1),
            _step(_RETURN, _ALLOW),
            _step(_RETURN, refused),
        ]
    steps += [
        _step(_JUMP_EQUAL, _CLONE[machine], 0, 3),
        _step(_LOAD, _ARGUMENTS),
        _step(_JUMP_SET, _CLONE_THREAD, 1, 0),
        _step(_RETURN, refused),
        _step(_RETURN, _ALLOW),
    ]
    return b"".join(steps)


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, value)


def _rule_files(libc: ctypes.CDLL, folder: Path, readable: Iterable[Path]) -> bool:
    """False: the kernel has no Landlock."""
    version = libc.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), _LANDLOCK_VERSION)
    if version < 1:
        return _is_missing("landlock")
    rights = (1 << _RIGHTS.get(version, 16)) - 1
    handled = ctypes.create_string_buffer(struct.pack("Q", rights), 8)
    ruleset = libc.syscall(_LANDLOCK_CREATE, handled, ctypes.c_size_t(8), 0)
    if ruleset < 0:
        raise OSError(ctypes.get_errno(), "landlock")
    try:
        _allow(libc, ruleset, folder, rights & ~_DEVICES & ~1)  # 1: execute
        for path in readable:
            _allow(libc, ruleset, path, _READ)
        if libc.syscall(_LANDLOCK_RESTRICT, ruleset, 0):
            raise OSError(ctypes.get_errno(), "landlock")
    finally:
        os.close(ruleset)
    return True


def _allow(libc: ctypes.CDLL, ruleset: int, path: Path, rights: int) -> None:
    """Allow this below a path; nothing for one that is not there."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not path.is_dir():
            rights &= _FILE_ONLY
        rule = ctypes.create_string_buffer(struct.pack("=Qi", rights, descriptor), 12)
        if libc.syscall(_LANDLOCK_ADD, ruleset, _PATH_BENEATH, rule, 0):
            raise OSError(ctypes.get_errno(), "landlock")
    finally:
        os.close(descriptor)


def _is_missing(what: str) -> bool:
    """False if the kernel lacks it. Raises `OSError` for any other failure."""
    if ctypes.get_errno() in {errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}:
        return False
    raise OSError(ctypes.get_errno(), what)
