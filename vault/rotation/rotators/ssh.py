"""`ssh`: a key pair whose public half is a line in a host's `authorized_keys`.

Old and new line stand side by side until the old one is retired, so nobody is locked out. The file
is replaced as a whole, by a rename, and every other line keeps its bytes. `asyncssh` runs on
asyncio, here in the step's own thread: each step is one run of a loop.
"""

import asyncio
import posixpath
import re
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Annotated, Final, Literal, cast

from msgspec import Meta, Struct

from protocols.pki.ssh_keys import new_ed25519_pair, new_rsa_pair
from vault.rotation.rotator import RotationContext, RotationError, RotatorKind, Value
from vault.rotation.rotators.fields import connection_field, value_field

if TYPE_CHECKING:
    import asyncssh

MARK: Final = "freehold:"
"""Begins the comment of a line of ours; the rotation follows."""
MAX_FILE: Final = 1024 * 1024
_TRIES: Final = 5
_LINE: Final = re.compile(rb"[^\n]*\n|[^\n]+")
_MODE: Final = 0o600
_FOLDER_MODE: Final = 0o700
_PORT: Final = 22

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}\Z")]


class SshConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of `ssh`. `path` without a leading slash is in the administrator's home folder."""

    username: Name
    path: Annotated[str, Meta(min_length=1, max_length=1024)] = ".ssh/authorized_keys"
    algorithm: Literal["ed25519", "rsa"] = "ed25519"
    bits: Annotated[int, Meta(ge=3072, le=8192)] = 3072
    options: Annotated[str, Meta(max_length=1024)] = ""
    """What stands before the key, as `from="192.0.2.0/24",no-pty` (sshd(8))."""

    def __post_init__(self) -> None:
        if not all(" " <= c <= "~" for c in self.options + self.path):
            raise ValueError("options and path must be printable ASCII")
        if self.options.count('"') % 2 or self.options.startswith("#"):
            raise ValueError("options must have their quotes closed and be no comment")
        if " " in "".join(self.options.split('"')[::2]):
            raise ValueError("options have spaces in quotes alone: they end at the first other one")


class SshRotator:
    """See `Rotator`.

    The value has `username`, `private_key` and `public_key`. The connection has `host`, `host_key`
    (a line of known_hosts without its first word), `username`, and `private_key` or `password`;
    `port` is 22 by default.
    """

    def __init__(self, config: SshConfig) -> None:
        self._config = config

    def create(self, context: RotationContext, previous: Value) -> Value:
        """A new pair."""
        if self._config.algorithm == "rsa":
            pair = new_rsa_pair(self._config.bits)
        else:
            pair = new_ed25519_pair(context.random)
        return {
            "username": self._config.username,
            "private_key": pair.private,
            "public_key": pair.public,
        }

    def apply(self, context: RotationContext, value: Value) -> None:
        """Add the line, once."""
        blob = _blob(value)
        public = " ".join(value_field(value, "public_key").split()[:2])
        options = f"{self._config.options} " if self._config.options else ""
        line = f"{options}{public} {MARK}{context.rotation}\n".encode()

        def add(text: bytes) -> bytes:
            if any(_has(each, blob) for each in _lines(text)):
                return text
            gap = b"\n" if text and not text.endswith(b"\n") else b""
            return text + gap + line

        self._edit(context, add)

    def verify(self, context: RotationContext, value: Value) -> None:
        """Log in with the key."""
        username = value_field(value, "username")
        private = value_field(value, "private_key")

        async def log_in() -> None:
            async with _connected(context.connection, username, private=private):
                pass

        _run(log_in, context.timeout)

    def retire(self, context: RotationContext, value: Value) -> None:
        """Remove every line with this key."""
        blob = _blob(value)

        def remove(text: bytes) -> bytes:
            return b"".join(each for each in _lines(text) if not _has(each, blob))

        self._edit(context, remove)

    def _edit(self, context: RotationContext, change: Callable[[bytes], bytes]) -> None:
        connection = context.connection
        username = connection_field(connection, "username")
        private, password = connection.get("private_key", ""), connection.get("password", "")
        if not private and not password:
            connection_field(connection, "private_key")

        async def edit() -> None:
            async with (
                _connected(connection, username, private=private, password=password) as ssh,
                ssh.start_sftp_client() as sftp,
            ):
                await _rewrite(sftp, self._config.path, context.rotation, change)

        _run(edit, context.timeout)


def _blob(value: Value) -> bytes:
    """The key in base64: the word by which its lines are found."""
    words = value_field(value, "public_key").split()
    if len(words) < 2:  # noqa: PLR2004  # algorithm and key
        raise RotationError("ssh_public_key", "public_key is no OpenSSH public key", is_final=True)
    return words[1].encode()


def _lines(text: bytes) -> list[bytes]:
    """With their ends; joined they are the text."""
    return _LINE.findall(text)


def _has(line: bytes, blob: bytes) -> bool:
    return line.lstrip()[:1] != b"#" and blob in line.split()


async def _rewrite(
    sftp: "asyncssh.SFTPClient", path: str, rotation: str, change: Callable[[bytes], bytes]
) -> None:
    """Replace the file by its changed text. Starts again if somebody else has changed it."""
    import asyncssh

    # A symbolic link stays one: what it leads to is replaced.
    path = await _resolve(sftp, path)
    for _try in range(_TRIES):
        text, mode, owner = await _read(sftp, path)
        changed = change(text or b"")
        if changed == (text or b""):
            return
        if len(changed) > MAX_FILE:
            raise RotationError(
                "ssh_file", f"{path} has more than {MAX_FILE} bytes: remove old keys", is_final=True
            )
        folder, name = posixpath.split(path)
        part = posixpath.join(folder, f".{name}.{rotation}.part")
        if text is None:
            attributes = asyncssh.SFTPAttrs(permissions=_FOLDER_MODE)
            await sftp.makedirs(folder, attributes, exist_ok=True)
        with suppress(asyncssh.SFTPNoSuchFile):  # of a step that did not end
            await sftp.remove(part)
        attributes = asyncssh.SFTPAttrs(permissions=mode)
        async with sftp.open(part, "xb", attributes) as file:
            await file.write(changed)
            # By the open file: whoever owns the folder could have put a link in its place.
            made = await file.stat()
            if owner is not None and owner != (made.uid, made.gid):
                await file.chown(*owner)
            await file.chmod(mode)
            with suppress(asyncssh.SFTPOpUnsupported):  # fsync@openssh.com
                await file.fsync()
        if (await _read(sftp, path))[0] != text or await _resolve(sftp, path) != path:
            await sftp.remove(part)
            continue
        await sftp.posix_rename(part, path)
        return
    raise RotationError("ssh_busy", f"{path} is changed by others all the time: try again later")


async def _resolve(sftp: "asyncssh.SFTPClient", path: str) -> str:
    """Where the path leads. Raises `RotationError` (`ssh_link`).

    The account whose file this is may own its folder. It must not lead an administrator to a file
    of somebody else: so what a link leads to is of whoever made the link, unless that was root.
    """
    path = posixpath.normpath(posixpath.join(str(await sftp.realpath(".")), path))
    target = str(await sftp.realpath(path))
    for end in range(1, len(path) + 1):
        if end < len(path) and path[end] != "/":
            continue
        link = await _owner(sftp, path[:end], follow=False)
        if link is None:
            break
        maker, is_link = link
        if not is_link or maker == 0:
            continue
        found = await _owner(sftp, target) or await _owner(sftp, posixpath.dirname(target))
        if found is None or found[0] != maker:
            raise RotationError(
                "ssh_link",
                f"{path[:end]} is a link to what is not its owner's: log in as the account itself, "
                "or put a file there",
                is_final=True,
            )
    return target


async def _owner(
    sftp: "asyncssh.SFTPClient", path: str, *, follow: bool = True
) -> tuple[int, bool] | None:
    """The uid of what is there, and whether it is a link; None: nothing is."""
    import asyncssh

    try:
        found = await (sftp.stat(path) if follow else sftp.lstat(path))
    except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
        return None
    return int(found.uid or 0), stat.S_ISLNK(found.permissions or 0)


async def _read(
    sftp: "asyncssh.SFTPClient", path: str
) -> tuple[bytes | None, int, tuple[int, int] | None]:
    """Text (None: no file), mode and owner."""
    import asyncssh

    try:
        found = await sftp.stat(path)
        async with sftp.open(path, "rb") as file:
            text = cast("bytes", await file.read(MAX_FILE + 1))
    except asyncssh.SFTPNoSuchFile:
        return None, _MODE, None
    if len(text) > MAX_FILE:
        raise RotationError(
            "ssh_file", f"{path} has more than {MAX_FILE} bytes: remove old keys", is_final=True
        )
    mode = (found.permissions or _MODE) & 0o777
    owner = None if found.uid is None or found.gid is None else (found.uid, found.gid)
    return text, mode, owner


def _connected(
    connection: Value, username: str, *, private: str = "", password: str = ""
) -> "AbstractAsyncContextManager[asyncssh.SSHClientConnection]":
    """A connection by what is given and nothing of the machine's: no agent, no files."""
    import asyncssh

    host = connection_field(connection, "host")
    port = connection.get("port", str(_PORT))
    if not port.isdecimal() or not 0 < int(port) < 2**16:
        raise RotationError("ssh_port", "port in the connection is no port", is_final=True)
    lines = [each for each in connection_field(connection, "host_key").splitlines() if each.strip()]
    try:
        keys = [asyncssh.import_public_key(each) for each in lines]
    except asyncssh.KeyImportError:
        raise RotationError(
            "ssh_host_key",
            "host_key in the connection is no public key: give what `ssh-keyscan` prints for the "
            "host, checked, without the host's name",
            is_final=True,
        ) from None
    try:
        client_keys = [asyncssh.import_private_key(private)] if private else []
    except (asyncssh.KeyImportError, ValueError):
        raise RotationError(
            "ssh_private_key", "a private key is not in OpenSSH's or PEM format", is_final=True
        ) from None

    @asynccontextmanager
    async def connected() -> AsyncIterator["asyncssh.SSHClientConnection"]:
        async with asyncssh.connect(
            host, int(port), username=username, password=password or None,
            client_keys=client_keys, known_hosts=(keys, [], []), agent_path=None, config=None,
            preferred_auth="publickey" if private else "password,keyboard-interactive",
        ) as ssh:  # fmt: skip
            yield ssh

    return connected()


def _run(work: Callable[[], Awaitable[None]], seconds: float) -> None:
    """One run of a loop, with what can go wrong as `RotationError`."""
    try:
        import asyncssh
    except ImportError:
        raise RotationError(
            "ssh_missing", "install the extra: pip install 'freehold[ssh]'", is_final=True
        ) from None

    async def bounded() -> None:
        async with asyncio.timeout(seconds):
            await work()

    try:
        asyncio.run(bounded())
    except asyncssh.HostKeyNotVerifiable:
        raise RotationError(
            "ssh_host_key",
            "the host shows another key than host_key in the connection: find out why, then "
            "correct the connection",
            is_final=True,
        ) from None
    except asyncssh.PermissionDenied:
        raise RotationError(
            "ssh_login", "the host refuses the login: see username and key, and the host's log"
        ) from None
    except asyncssh.SFTPError as error:
        raise RotationError(
            "ssh_file",
            f"the host's file was not changed (SFTP status {error.code}): the administrator must "
            "be able to write it and its folder",
        ) from None
    except TimeoutError:
        raise RotationError("ssh_timeout", "the host did not answer in time") from None
    except (asyncssh.Error, OSError):
        raise RotationError(
            "ssh_unreachable", "the host cannot be reached or the connection was lost"
        ) from None


KIND: Final = RotatorKind("ssh", SshConfig, SshRotator, lambda _config: True)
