"""A folder on a server that speaks SFTP (draft-ietf-secsh-filexfer-02), by `asyncssh`.

`asyncssh` runs on asyncio, here in the thread that calls: each call is one run of a loop. Nothing
is open between two calls but the connection, so one that was lost is made anew and the call is
repeated: a part of a file is written again where it belongs.
"""

import asyncio
import socket
import stat
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, NoReturn, TypeVar

import asyncssh
from asyncssh import SFTPClient

from actors import World
from vault.backup.destinations import parts
from vault.backup.destinations.credentials import read_secret
from vault.backup.destinations.interface import (
    ABANDONED,
    StoredObject,
    exists,
    missing,
    require_bound,
    unavailable,
)
from vault.backup.destinations.retries import Retries, TransientError, check_cancelled
from vault.errors import NotFoundError, ValidationError, VaultError

T = TypeVar("T")

CALL_TIMEOUT: Final = 120.0
"""Seconds for one call: a part of 8 MiB takes them at 70 kB/s."""
_CONNECT_TIMEOUT: Final = 20.0
_PART: Final = ".part"
_SECOND: Final = 10**9
_FILE_MODE: Final = 0o600
_FOLDER_MODE: Final = 0o700


class Server(NamedTuple):
    """Which server, whose account, and what proves either."""

    host: str
    port: int
    user: str
    key_file: Path
    known_hosts_file: Path


class SftpDestination:
    """A folder of a server. It is made if it is missing."""

    def __init__(
        self,
        server: Server,
        folder: str,
        world: World,
        *,
        timeout: float = CALL_TIMEOUT,
        part_size: int = parts.PART_SIZE,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        self._folder = folder.rstrip("/") or "/"
        self._world = world
        self._part_size = part_size
        self._location = f"sftp://{server.user}@{server.host}:{server.port}{self._folder}"
        self._connection = _Connection(server, self._location, timeout)
        self._retries = Retries(world, self._location, sleep=sleep)

    @property
    def location(self) -> str:
        """Server and folder."""
        return self._location

    @contextmanager
    def create(self, name: str) -> Iterator[Callable[[bytes], object]]:
        """See `Destination`. Until it is whole the file has another name."""
        target = self._path(name)
        part = self._path(f".{name}.{self._world.new_id()}{_PART}")
        with self._connection.held():
            self._make_folder()
            if self._run(partial(_is_there, path=target)):
                raise exists(self._location, name)
            with suppress(ValidationError):  # too many files of somebody else
                self._remove_abandoned()
            upload = _Upload(part, self._part_size, self._run)
            try:
                yield upload.write
                upload.finish()
                self._give_name(part, target, name)
            except BaseException:
                # Once, whoever is cancelled: what is left is removed as abandoned later.
                with suppress(VaultError, TransientError):
                    self._retries.run_once(
                        partial(self._connection.call, partial(_remove, path=part))
                    )
                raise

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """See `Destination`. A read that fails is repeated from where it was."""
        with self._connection.held():
            found = self._run(partial(_stat, path=self._path(name)))
            if found is None:
                raise missing(self._location, name)
            index = None
            if found.size <= parts.MAX_INDEX:
                try:
                    index = parts.decode_index(self._read(name, 0, parts.MAX_INDEX))
                except ValueError as error:
                    raise unavailable(self._location, f"{name} is damaged: {error}") from None
            size = found.size if index is None else index.size
            yield parts.reader(name, size, index, self._read)

    def names(self) -> list[str]:
        """See `Destination`."""
        return [found.name for found in self.objects()]

    def objects(self) -> list[StoredObject]:
        """See `Destination`."""
        with self._connection.held():
            return [found for found in self._entries() if not found.name.startswith(".")]

    def remove(self, name: str) -> None:
        """See `Destination`."""
        with self._connection.held():
            self._run(partial(_remove, path=self._path(name)))

    def _path(self, name: str) -> str:
        return f"{self._folder}/{name}"

    def _run(self, work: Callable[[SFTPClient], Awaitable[T]]) -> T:
        return self._retries.run(partial(self._connection.call, work))

    def _read(self, name: str, first: int, count: int) -> bytes:
        return self._run(partial(_read, path=self._path(name), first=first, count=count))

    def _make_folder(self) -> None:
        attributes = asyncssh.SFTPAttrs(permissions=_FOLDER_MODE)

        async def make(sftp: SFTPClient) -> None:
            await sftp.makedirs(self._folder, attributes, exist_ok=True)

        try:
            self._run(make)
        except NotFoundError:
            raise unavailable(self._location, "the folder cannot be made: see path") from None

    def _entries(self) -> list[StoredObject]:
        try:
            return sorted(self._run(self._list))
        except NotFoundError:
            raise NotFoundError("backup_missing", f"there is no folder {self._location}") from None

    async def _list(self, sftp: SFTPClient) -> list[StoredObject]:
        found = []
        async for entry in sftp.scandir(self._folder):
            attributes = entry.attrs
            if stat.S_ISREG(attributes.permissions or stat.S_IFREG):
                name = str(entry.filename)
                modified = int(attributes.mtime or 0) * _SECOND
                found.append(StoredObject(name, attributes.size or 0, modified))
                require_bound(self._location, len(found))
        return found

    def _give_name(self, part: str, target: str, name: str) -> None:
        """Rename it: in version 3 of the protocol that is refused where the name is taken.

        OpenSSH does it by a link, so two at once cannot both succeed.
        """
        tries = 0

        async def rename(sftp: SFTPClient) -> None:
            nonlocal tries
            tries += 1
            # The answer to an earlier try may have been lost: nobody else removes the part.
            if tries > 1 and not await _is_there(sftp, part) and await _is_there(sftp, target):
                return
            try:
                await sftp.rename(part, target)
            except asyncssh.SFTPError:
                if await _is_there(sftp, target):
                    raise exists(self._location, name) from None
                raise

        self._run(rename)

    def _remove_abandoned(self) -> None:
        """Remove parts of files to which nothing was added lately."""
        newest = self._world.wall() - ABANDONED
        for each in self._entries():
            is_part = each.name.startswith(".") and each.name.endswith(_PART)
            if is_part and each.modified < newest:
                self._run(partial(_remove, path=self._path(each.name)))


class _Upload:
    """The bytes of one file: at most two parts of them are in memory."""

    def __init__(
        self,
        path: str,
        part_size: int,
        run: Callable[[Callable[[SFTPClient], Awaitable[None]]], None],
    ) -> None:
        self._path, self._part_size, self._run = path, part_size, run
        self._buffer = bytearray()
        self._at = 0

    def write(self, data: bytes) -> None:
        """The next bytes."""
        check_cancelled()
        self._buffer += data
        while len(self._buffer) >= self._part_size:
            self._send(self._part_size)

    def finish(self) -> None:
        """The rest, and all of it durable where the server can say so."""
        self._send(len(self._buffer))
        self._run(partial(_sync, path=self._path, size=self._at))

    def _send(self, count: int) -> None:
        part = bytes(memoryview(self._buffer)[:count])
        del self._buffer[:count]
        self._run(partial(_write, path=self._path, first=self._at, data=part))
        self._at += count


class _Connection:
    """One connection, made when it is needed, for as long as anybody holds it."""

    def __init__(self, server: Server, location: str, timeout: float) -> None:
        self._server = server
        self._location = location
        self._timeout = timeout
        self._lock = threading.RLock()
        self._holders = 0
        self._runner: asyncio.Runner | None = None
        self._ssh: asyncssh.SSHClientConnection | None = None
        self._sftp: SFTPClient | None = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep the connection until the last of these blocks ends."""
        with self._lock:
            self._holders += 1
        try:
            yield
        finally:
            with self._lock:
                self._holders -= 1
                if not self._holders:
                    self._close()

    def call(self, work: Callable[[SFTPClient], Awaitable[T]]) -> T:
        """Do it, within the time of one call. Raises as `Destination`, and `TransientError`."""
        with self._lock:
            if self._runner is None:
                self._runner = asyncio.Runner()
            try:
                return self._runner.run(self._work(work))
            except asyncssh.SFTPError as error:
                lost = isinstance(error, asyncssh.SFTPConnectionLost | asyncssh.SFTPNoConnection)
                if lost:
                    self._close()
                _raise_fault(self._location, error, lost=lost)
            except (asyncssh.Error, OSError) as error:  # a time-out is an `OSError`
                self._close()
                _raise_fault(self._location, error)
            except BaseException:
                self._close()
                raise

    async def _work(self, work: Callable[[SFTPClient], Awaitable[T]]) -> T:
        """A cancelled call would still wait for the server to close its file: see `abort`."""
        task = asyncio.ensure_future(self._connected(work))
        try:
            done, _ = await asyncio.wait({task}, timeout=self._timeout)
            if not done:
                raise TimeoutError
            return task.result()
        finally:
            if not task.done():
                if self._ssh is not None:
                    self._ssh.abort()
                task.cancel()
                await asyncio.wait({task}, timeout=1)

    async def _connected(self, work: Callable[[SFTPClient], Awaitable[T]]) -> T:
        if self._sftp is None:
            self._ssh, self._sftp = await _connect(self._server, self._location)
        return await work(self._sftp)

    def _close(self) -> None:
        """Without a word to a server that may not answer."""
        runner, ssh = self._runner, self._ssh
        self._runner = self._ssh = self._sftp = None
        if runner is None:
            return
        with runner:
            if ssh is not None:
                ssh.abort()
                with suppress(asyncssh.Error, OSError):
                    runner.run(_wait_closed(ssh))


async def _connect(
    server: Server, location: str
) -> tuple[asyncssh.SSHClientConnection, SFTPClient]:
    try:
        key = asyncssh.import_private_key(read_secret("key_file", server.key_file, location))
        hosts = asyncssh.read_known_hosts(str(server.known_hosts_file))
    except asyncssh.KeyImportError:
        raise unavailable(
            location, "key_file is not a private key of SSH without a passphrase"
        ) from None
    except (OSError, ValueError):
        raise unavailable(
            location, f"known_hosts_file {server.known_hosts_file} cannot be read"
        ) from None
    ssh = await asyncssh.connect(
        server.host,
        server.port,
        username=server.user,
        client_keys=[key],
        known_hosts=hosts,
        preferred_auth="publickey",
        agent_path=None,
        config=None,
        connect_timeout=_CONNECT_TIMEOUT,
        login_timeout=_CONNECT_TIMEOUT,
    )
    try:
        return ssh, await ssh.start_sftp_client()
    except BaseException:
        ssh.abort()
        raise


async def _wait_closed(ssh: asyncssh.SSHClientConnection) -> None:
    async with asyncio.timeout(1):
        await ssh.wait_closed()


async def _stat(sftp: SFTPClient, path: str) -> StoredObject | None:
    try:
        found = await sftp.stat(path)
    except asyncssh.SFTPNoSuchFile:
        return None
    return StoredObject(path, found.size or 0, int(found.mtime or 0) * _SECOND)


async def _is_there(sftp: SFTPClient, path: str) -> bool:
    try:
        await sftp.lstat(path)
    except asyncssh.SFTPNoSuchFile:
        return False
    return True


async def _remove(sftp: SFTPClient, path: str) -> None:
    with suppress(asyncssh.SFTPNoSuchFile):
        await sftp.remove(path)


async def _read(sftp: SFTPClient, path: str, first: int, count: int) -> bytes:
    async with sftp.open(path, "rb") as file:
        data: bytes = await file.read(count, first)
        return data


async def _write(sftp: SFTPClient, path: str, first: int, data: bytes) -> None:
    """In a file that is there or not: what an earlier try has written is written again."""
    flags = asyncssh.FXF_WRITE | asyncssh.FXF_CREAT
    attributes = asyncssh.SFTPAttrs(permissions=_FILE_MODE)
    async with sftp.open(path, flags, attributes, encoding=None) as file:
        await file.write(data, first)


async def _sync(sftp: SFTPClient, path: str, size: int) -> None:
    async with sftp.open(path, asyncssh.FXF_WRITE, encoding=None) as file:
        if (await file.stat()).size != size:
            raise asyncssh.SFTPFailure("another size")
        with suppress(asyncssh.SFTPOpUnsupported):  # an extension of OpenSSH
            await file.fsync()


def _raise_fault(location: str, error: Exception, *, lost: bool = False) -> NoReturn:
    """Say what it is, in our words: a server chooses its own."""
    if isinstance(error, asyncssh.HostKeyNotVerifiable):
        raise unavailable(
            location,
            "the server's host key is not that of known_hosts_file. Ask its administrator for the "
            "key, and compare",
        ) from None
    if isinstance(error, asyncssh.PermissionDenied):
        raise unavailable(
            location, "the server does not accept the user or the key: see user and key_file"
        ) from None
    if isinstance(error, asyncssh.SFTPNoSuchFile):
        raise NotFoundError("backup_missing", f"there is no such file in {location}") from None
    if isinstance(error, asyncssh.SFTPPermissionDenied):
        raise unavailable(location, "the user has no permission there: see path") from None
    if isinstance(error, asyncssh.SFTPError) and not lost:
        raise unavailable(location, "the server failed: its disk may be full") from None
    if isinstance(error, socket.gaierror):
        raise TransientError("the name of the server is not known") from None
    if isinstance(error, TimeoutError):
        raise TransientError("it did not answer in time") from None
    if isinstance(error, ConnectionRefusedError):
        raise TransientError("nothing listens there") from None
    raise TransientError("the connection failed") from None
