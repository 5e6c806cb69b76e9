"""A bucket of S3, Google Cloud Storage or Azure Blob Storage, by `obstore`.

Every object is written by one request that the store refuses where the name is taken
(`If-None-Match: *`; Google: generation 0), in parts where it is long (`parts`). Multi-part uploads
of the stores are not used: `obstore` cannot complete them create-only, nor find abandoned ones.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, Final, NoReturn, TypeAlias, TypeVar

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.exceptions import PermissionDeniedError as _Denied
from obstore.exceptions import UnauthenticatedError as _Unauthenticated

from actors import World
from protocols.instant import rfc3339
from vault.backup.destinations import parts
from vault.backup.destinations.interface import (
    ABANDONED,
    StoredObject,
    exists,
    locked,
    missing,
    require_bound,
    unavailable,
)
from vault.backup.destinations.retries import Retries, TransientError, check_cancelled
from vault.errors import VaultError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

T = TypeVar("T")
MakeStore: TypeAlias = Callable[[Mapping[str, str]], "ObjectStore"]
"""Opens the bucket; each request of it has these headers, which are signed."""

_MOST_UPLOADS: Final = 100
"""Unfinished uploads that one backup looks at: somebody else may have put more there."""
_PAGE: Final = 1000
_BEHIND_PARTS: Final = f"{parts.FOLDER}0"  # the first name behind all that are in the folder
_RETAIN_UNTIL: Final = "retain-until"
_SECOND: Final = 10**9

_STATUS: Final = re.compile(r"status code: (\d{3})")
_CODE: Final = re.compile(r"<Code>(\w+)</Code>")
_AGAIN: Final = frozenset({408, 425, 429})
_CREDENTIALS: Final = (
    "the credentials are wrong: see credentials_file, or the environment of the process"
)
_BUCKET: Final = "there is no such bucket or container: create it, or correct its name"
_CODES: Final = {
    "NoSuchBucket": _BUCKET,
    "ContainerNotFound": _BUCKET,
    "InvalidAccessKeyId": _CREDENTIALS,
    "SignatureDoesNotMatch": _CREDENTIALS,
    "InvalidToken": _CREDENTIALS,
    "ExpiredToken": "the credentials have expired",
    "AuthenticationFailed": _CREDENTIALS,
    "AuthorizationFailure": _CREDENTIALS,
    "InvalidAuthenticationInfo": _CREDENTIALS,
    "RequestTimeTooSkewed": "this machine's clock is wrong",
    "PermanentRedirect": "the bucket is in another region: set region",
    "AuthorizationHeaderMalformed": "the bucket is in another region: set region",
}
_LOCKED: Final = frozenset(
    {"BlobImmutableDueToPolicy", "RetentionPolicyNotMet", "ObjectUnderActiveHold"}
)
_NETWORK: Final = {  # in the text of an error without a status
    "InvalidCertificate": "the server's certificate is not trusted: set ca_file",
    "BadScheme": "http:// is for loopback only: use https://",
    "dns error": "the name of the server is not known",
    "ConnectionRefused": "nothing listens there",
    "kind: Timeout": "it did not answer in time",
    "ConnectionReset": "it closed the connection",
}
_FATAL: Final = frozenset({"InvalidCertificate", "BadScheme"})
_METADATA: Final = (  # what is asked for an identity when there are no credentials
    "token request",
    "/latest/api/token",
    "/latest/meta-data",
    "169.254.170.",
)


class ObjectStoreDestination:
    """A folder of a bucket."""

    def __init__(
        self,
        location: str,
        open_store: MakeStore,
        world: World,
        *,
        object_lock: int | None = None,
        part_size: int = parts.PART_SIZE,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        """`object_lock`: nanoseconds for which S3 keeps each object, whoever wants it removed."""
        self._location = location
        self._open_store = open_store
        self._world = world
        self._object_lock = object_lock
        self._part_size = part_size
        self._retries = Retries(world, location, sleep=sleep)

    @property
    def location(self) -> str:
        """The bucket and the folder."""
        return self._location

    @contextmanager
    def create(self, name: str) -> Iterator[Callable[[bytes], object]]:
        """See `Destination`. Beside its name there is nothing but parts until it is whole."""
        store = self._store()
        if self._head(store, name) is not None:
            raise exists(self._location, name)
        with suppress(VaultError):  # credentials that cannot remove anything are enough to write
            self._remove_abandoned(store)
        upload = _Upload(self, name, self._world.new_id())
        try:
            yield upload.write
            upload.finish()
        except BaseException:
            # Once, whoever is cancelled: what is left is removed as abandoned later.
            with suppress(VaultError, TransientError):
                self._retries.run_once(
                    lambda: self._translated("remove", lambda: upload.remove(store), name)
                )
            raise

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """See `Destination`. A read that fails is repeated from where it was."""
        store = self._store()
        found = self._head(store, name)
        if found is None:
            raise missing(self._location, name)
        index = self._index(store, name, found.size)
        size = found.size if index is None else index.size

        def fetch(path: str, first: int, count: int) -> bytes:
            return self.run(
                "read", lambda: bytes(obstore.get_range(store, path, start=first, length=count))
            )

        yield parts.reader(name, size, index, fetch)

    def names(self) -> list[str]:
        """See `Destination`."""
        return [found.name for found in self._top(self._store())]

    def objects(self) -> list[StoredObject]:
        """See `Destination`. The size of one that is in parts is that of all of them."""
        store = self._store()
        found = []
        for each in self._top(store):
            index = self._index(store, each.name, each.size)
            found.append(each if index is None else each._replace(size=index.size))
        return found

    def remove(self, name: str) -> None:
        """See `Destination`. In a bucket with versions the store hides it, and keeps its data."""
        store = self._store()
        until = self._retained_until(store, name)
        if until > rfc3339(self._world.wall()):
            raise locked(self._location, name, f" until {until}")
        self.delete(store, [name])
        for page in self._pages(store, f"{parts.FOLDER}/{name}"):
            self.delete(store, [each.name for each in page])

    def writing_store(self) -> tuple["ObjectStore", dict[str, str]]:
        """The bucket for one upload, and the attributes of its objects."""
        if self._object_lock is None:
            return self._store(), {}
        now = self._world.wall()
        seconds = -(-(now + self._object_lock) // _SECOND)  # the store has whole ones
        until = rfc3339(seconds * _SECOND)
        headers = {
            "x-amz-object-lock-mode": "COMPLIANCE",
            "x-amz-object-lock-retain-until-date": until,
            "x-amz-sdk-checksum-algorithm": "SHA256",
        }
        return self._store(headers), {_RETAIN_UNTIL: until}

    def run(self, action: str, call: Callable[[], T], name: str = "") -> T:
        """The call, repeated while its faults may pass. Raises as `Destination`."""
        return self._retries.run(lambda: self._translated(action, call, name))

    def put(
        self, store: "ObjectStore", path: str, data: bytes, attributes: dict[str, str], name: str
    ) -> None:
        """Write one object, which is not there. Raises `ConflictError` (`backup_exists`)."""
        tries = 0

        def call() -> None:
            nonlocal tries
            tries += 1
            try:
                obstore.put(
                    store,
                    path,
                    data,
                    mode="create",
                    use_multipart=False,
                    attributes=dict(attributes),
                )
            except AlreadyExistsError as error:
                if "ConditionalRequestConflict" in f"{error}":  # S3: two at once, neither is done
                    raise TransientError("two writers are at one object") from None
                # The answer to an earlier try may have been lost.
                if tries == 1 or bytes(obstore.get(self._store(), path).bytes()) != data:
                    raise exists(self._location, name) from None

        self.run("write", call)

    def delete(self, store: "ObjectStore", paths: Sequence[str]) -> None:
        """Remove the objects that are there."""
        for path in paths:
            self.run("remove", partial(_delete, store, path), path)

    def _remove_abandoned(self, store: "ObjectStore") -> None:
        """Remove parts of objects that never became whole, and to which none was added lately."""
        found = self.run("list", lambda: obstore.list_with_delimiter(store, parts.FOLDER))
        folders = found["common_prefixes"]
        if not folders:
            return
        whole = set(self.names())
        for folder in folders[:_MOST_UPLOADS]:
            if folder.rpartition("/")[2] in whole:
                continue
            # Listed twice: who can write there could fill the memory with names.
            newest = max(
                (each.modified for page in self._pages(store, folder) for each in page), default=0
            )
            if newest + ABANDONED < self._world.wall():
                for page in self._pages(store, folder):
                    self.delete(store, [each.name for each in page])

    def _store(self, headers: Mapping[str, str] | None = None) -> "ObjectStore":
        """Opened anew each time, so that credentials may be replaced."""
        try:
            return self._open_store(headers or {})
        except (BaseError, ValueError):
            raise unavailable(
                self._location,
                "its configuration cannot be used: see endpoint, ca_file and credentials_file",
            ) from None

    def _head(self, store: "ObjectStore", name: str) -> StoredObject | None:
        def call() -> StoredObject | None:
            try:
                return _object(obstore.head(store, name))
            except FileNotFoundError as error:
                if _code(f"{error}") in _CODES:
                    raise
                return None
            except (_Denied, _Unauthenticated):
                _page(store, name, None)  # the answer to a HEAD does not say why
                raise

        return self.run("read", call)

    def _index(self, store: "ObjectStore", name: str, size: int) -> parts.PartIndex | None:
        if not 0 < size <= parts.MAX_INDEX:
            return None
        data = self.run("read", lambda: bytes(obstore.get(store, name).bytes()), name)
        try:
            return parts.decode_index(data)
        except ValueError as error:
            raise unavailable(self._location, f"{name} is damaged: {error}") from None

    def _retained_until(self, store: "ObjectStore", name: str) -> str:
        def call() -> str:
            try:
                found = obstore.get(store, name, options={"head": True})
            except FileNotFoundError:
                return ""
            return str(found.attributes.get(_RETAIN_UNTIL, ""))

        return self.run("read", call)

    def _top(self, store: "ObjectStore") -> list[StoredObject]:
        found: list[StoredObject] = []
        for page in self._pages(store, None, after=_BEHIND_PARTS):
            found += [each for each in page if "/" not in each.name]
            require_bound(self._location, len(found))
        return sorted(found)

    def _pages(
        self, store: "ObjectStore", folder: str | None, after: str | None = None
    ) -> Iterator[list[StoredObject]]:
        """Listed page by page, each by a request that can be repeated."""
        while True:
            page = self.run("list", partial(_page, store, folder, after))
            if page:
                yield page
            if len(page) < _PAGE:
                return
            last = max(each.name for each in page)
            if after is not None and last <= after:
                raise unavailable(
                    self._location, "its server lists the same names again and again: see endpoint"
                )
            after = last

    def _translated(self, action: str, call: Callable[[], T], name: str) -> T:
        try:
            return call()
        except (BaseError, OSError, ValueError) as error:
            _raise_fault(self._location, action, error, name)


class _Upload:
    """The bytes of one object: at most two parts of them are in memory."""

    def __init__(self, to: ObjectStoreDestination, name: str, upload: str) -> None:
        self._to, self._name, self._upload = to, name, upload
        self._store, self._attributes = to.writing_store()
        self._buffer = bytearray()
        self._parts: list[str] = []
        self._named: bytes | None = None
        self._size = 0
        self._part_size = to._part_size  # noqa: SLF001  # of this module

    def write(self, data: bytes) -> None:
        """The next bytes. One is kept back for the last part."""
        check_cancelled()
        self._buffer += data
        while len(self._buffer) > self._part_size:
            part = bytes(memoryview(self._buffer)[: self._part_size])
            del self._buffer[: self._part_size]
            self._put_part(part)

    def finish(self) -> None:
        """The object under its name."""
        last = bytes(self._buffer)
        self._buffer.clear()
        if self._parts or last.startswith(parts.MAGIC):
            self._put_part(last)
            last = parts.PartIndex(
                upload=self._upload,
                parts=len(self._parts),
                part_size=self._part_size,
                size=self._size,
            ).encode()
        self._named = last
        self._to.put(self._store, self._name, last, self._attributes, self._name)

    def remove(self, store: "ObjectStore") -> None:
        """Remove what was written. The first fault ends it."""
        if self._named is not None:
            with suppress(FileNotFoundError):
                if bytes(obstore.get(store, self._name).bytes()) == self._named:  # it is not theirs
                    _delete(store, self._name)
        for path in self._parts:
            _delete(store, path)

    def _put_part(self, part: bytes) -> None:
        path = parts.part_name(self._name, self._upload, len(self._parts))
        self._parts.append(path)
        self._to.put(self._store, path, part, self._attributes, self._name)
        self._size += len(part)


def _page(store: "ObjectStore", folder: str | None, after: str | None) -> list[StoredObject]:
    stream = obstore.list(store, folder, offset=after, chunk_size=_PAGE)
    return [_object(each) for each in next(iter(stream), [])]


def _delete(store: "ObjectStore", path: str) -> None:
    with suppress(FileNotFoundError):
        obstore.delete(store, path)


def _object(found: "obstore.ObjectMeta") -> StoredObject:
    modified: datetime = found["last_modified"]
    return StoredObject(found["path"], found["size"], int(modified.timestamp()) * _SECOND)


def _code(text: str) -> str:
    found = _CODE.search(text)
    return found[1] if found else ""


def _raise_fault(location: str, action: str, error: Exception, name: str) -> NoReturn:
    """Say what it is. The text of the library may hold URLs and answers: none of it is repeated."""
    text = f"{error}"
    code = _code(text)
    status = int(found[1]) if (found := _STATUS.search(text)) else 0
    if code in _LOCKED:
        raise locked(location, name, " by a policy of the bucket") from None
    what = _explain(action, error, text, code, status)
    fatal = (
        isinstance(error, _Denied | _Unauthenticated | OSError | ValueError)
        or code in _CODES
        or (300 <= status < 500 and status not in _AGAIN)  # noqa: PLR2004  # of HTTP
        or any(each in text for each in _FATAL)
    )
    if fatal:
        raise unavailable(location, what) from None
    raise TransientError(what) from None


def _explain(action: str, error: Exception, text: str, code: str, status: int) -> str:
    if any(each in text for each in _METADATA):
        return "there are no credentials: set credentials_file, or give the machine an identity"
    if code in _CODES:
        return _CODES[code]
    if "ObjectLock" in text or "Object Lock" in text:
        return "the bucket has no object lock: create one that has, or remove object_lock"
    if isinstance(error, _Unauthenticated) or status == 401:  # noqa: PLR2004  # of HTTP
        return _CREDENTIALS
    if isinstance(error, _Denied) or status == 403:  # noqa: PLR2004  # of HTTP
        return f"the credentials have no permission to {action} there"
    if isinstance(error, FileNotFoundError):
        return _BUCKET
    if isinstance(error, ValueError):
        return "its configuration cannot be used: see endpoint, ca_file and credentials_file"
    if status:
        return f"it answered {status}{f' ({code})' if code else ''}"
    for each, why in _NETWORK.items():
        if each in text:
            return why
    return "the connection failed"
