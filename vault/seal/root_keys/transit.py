"""A key in the transit engine of an OpenBao or Vault server (OpenBao API, "Transit").

Types of keys that authenticate associated data: `aes256-gcm96`, `chacha20-poly1305` and
`xchacha20-poly1305`. The server tracks the versions, and names the one in each ciphertext:
`vault:v2:…`. Each look at the key and each use of it renews the token where it is time.
"""

import re
import ssl
from base64 import b64decode, b64encode
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, TypeVar

import httpx2
import msgspec
from msgspec import Struct

from protocols import json_text
from vault.seal.root_keys.credentials import read_credential
from vault.seal.root_keys.provider import KeyDescription, KeyProviderError, WrappedKey

T = TypeVar("T")

ALGORITHMS: Final = frozenset({"aes256-gcm96", "chacha20-poly1305", "xchacha20-poly1305"})
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}")
_SHARE: Final = 4
"""An operation makes so many calls at most; each has its share of the provider's time."""


class TransitSettings(Struct, frozen=True):
    """Where the key is. The token is in a file, in the environment, or a systemd credential."""

    address: str
    key: str
    timeout: float
    mount: str = "transit"
    namespace: str = ""
    ca_file: str = ""
    token_file: str = ""
    token_variable: str = ""
    token_credential: str = ""


class _Key(Struct):
    """What is used of the answer to a read of the key."""

    name: str
    type: str
    latest_version: int
    min_available_version: int = 0
    derived: bool = False
    exportable: bool = False
    allow_plaintext_backup: bool = False
    soft_deleted: bool = False


class _Token(Struct):
    """What is used of a look at the token itself: seconds."""

    ttl: int
    creation_ttl: int
    renewable: bool = False


class _Encrypted(Struct):
    ciphertext: str


class _Decrypted(Struct):
    plaintext: str


def open_backend(settings: dict[str, Any]) -> "TransitBackend":
    """See `vault.seal.root_keys.helper.BACKENDS`."""
    return TransitBackend(msgspec.convert(settings, TransitSettings))


class TransitBackend:
    """See `KeyBackend`."""

    def __init__(self, settings: TransitSettings) -> None:
        self._settings = settings
        self._client: httpx2.Client | None = None

    def describe(self) -> KeyDescription:
        """See `KeyBackend`. Renews the token where it is time."""
        self._renew_token()
        key = self._read_key(self._settings.key)
        return KeyDescription(
            key=key.name,
            version=str(key.latest_version),
            algorithm=key.type,
            device=f"transit at {self._settings.address}",
        )

    def wrap(self, root_key: bytes, context: bytes) -> WrappedKey:
        """See `KeyBackend`. The key is read first: a token of wide rights would make a new one."""
        key = self._read_key(self._settings.key)
        made = self._call(
            f"encrypt/{key.name}",
            _Encrypted,
            {
                "plaintext": b64encode(root_key).decode(),
                "associated_data": b64encode(context).decode(),
            },
        )
        return WrappedKey(
            key=key.name,
            version=_version(made.ciphertext),
            algorithm=key.type,
            ciphertext=made.ciphertext.encode(),
        )

    def unwrap(self, wrapped: WrappedKey, context: bytes) -> bytes:
        """See `KeyBackend`. Renews the token where it is time."""
        name = _checked(wrapped.key)
        self._renew_token()
        try:
            ciphertext = wrapped.ciphertext.decode("ascii")
        except UnicodeDecodeError:
            raise _wrong_key_error(name) from None
        try:
            found = self._call(
                f"decrypt/{name}",
                _Decrypted,
                {"ciphertext": ciphertext, "associated_data": b64encode(context).decode()},
            )
        except KeyProviderError as error:
            if error.code == "key_provider_key_disabled":
                self._require_version(name, wrapped.version)
            raise
        return b64decode(found.plaintext)

    def create_version(self) -> KeyDescription:
        """See `KeyBackend`."""
        raise KeyProviderError(
            "key_provider_unsupported",
            f"the agent makes no keys in transit: bao write -f {self._settings.mount}/keys/"
            f"{self._settings.key}/rotate",
        )

    def close(self) -> None:
        """See `KeyBackend`."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _read_key(self, name: str) -> _Key:
        """One that does. Raises `KeyProviderError`."""
        key = self._call(f"keys/{_checked(name)}", _Key)
        if key.soft_deleted:
            raise _disabled_error(name)
        if key.exportable or key.allow_plaintext_backup:
            raise KeyProviderError(
                "key_provider_key_exportable",
                f"transit key {name} can be read from its server (exportable, or "
                "allow_plaintext_backup): make one that cannot",
            )
        if key.type not in ALGORITHMS or key.derived:
            kind = f"derived {key.type}" if key.derived else key.type
            raise KeyProviderError(
                "key_provider_unsupported",
                f"transit key {name} is of type {kind}: make one of type aes256-gcm96, not derived",
            )
        return key

    def _require_version(self, name: str, version: str) -> None:
        """Raises `KeyProviderError` where a version was trimmed: nothing brings it back."""
        key = self._read_key(name)
        if version.isdecimal() and int(version) < key.min_available_version:
            raise KeyProviderError(
                "key_provider_version_missing",
                f"version {version} of transit key {name} was trimmed: restore a backup of the key",
            )

    def _renew_token(self) -> None:
        """Renew it in the second half of its life, where it may be. What fails shows later."""
        answer = self._send("GET", "auth/token/lookup-self")
        if answer.status_code != httpx2.codes.OK:
            return
        with suppress(KeyError, TypeError, msgspec.MsgspecError):
            token = msgspec.convert(_decoded(answer)["data"], _Token)
            if token.renewable and token.ttl < token.creation_ttl / 2:
                self._send("POST", "auth/token/renew-self", {"increment": token.creation_ttl})

    def _call(self, path: str, answered: type[T], body: Mapping[str, str] | None = None) -> T:
        """`data` of the answer of the transit engine. Raises `KeyProviderError`."""
        answer = self._send("POST" if body else "GET", f"{self._settings.mount}/{path}", body)
        if answer.status_code == httpx2.codes.OK:
            try:
                return msgspec.convert(_decoded(answer)["data"], answered)
            except (KeyError, TypeError, msgspec.MsgspecError):
                raise KeyProviderError(
                    "key_provider_failed",
                    f"{self._settings.address} does not answer as a transit engine does: see "
                    "whether the address is right",
                ) from None
        raise self._refusal(answer, path.rpartition("/")[2])

    def _send(
        self, method: str, path: str, body: Mapping[str, str | int] | None = None
    ) -> httpx2.Response:
        settings = self._settings
        token = read_credential(
            "token",
            file=settings.token_file,
            variable=settings.token_variable,
            credential=settings.token_credential,
        )
        headers = {"X-Vault-Token": token, "X-Vault-Request": "true"}
        if settings.namespace:
            headers["X-Vault-Namespace"] = settings.namespace
        try:
            return self._open().request(method, f"/v1/{path}", headers=headers, json=body)
        except httpx2.TimeoutException:
            raise KeyProviderError(
                "key_provider_timeout",
                f"{settings.address} does not answer in time: see whether the server is up",
            ) from None
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
            raise KeyProviderError(
                "key_provider_unreachable",
                f"no connection to {settings.address} ({type(error).__name__}): see whether the "
                "server is up, and whether its certificate is of `ca_file`",
            ) from None

    def _open(self) -> httpx2.Client:
        if self._client is None:
            settings = self._settings
            try:
                context = ssl.create_default_context(cafile=settings.ca_file or None)
            except OSError as error:
                raise KeyProviderError(
                    "key_provider_unreachable",
                    f"cannot read the certificates in {settings.ca_file}: {error.strerror}",
                ) from None
            self._client = httpx2.Client(
                base_url=settings.address, verify=context, timeout=settings.timeout / _SHARE
            )
        return self._client

    def _refusal(self, answer: httpx2.Response, name: str) -> KeyProviderError:
        """What an answer that is not 200 means."""
        status, text = answer.status_code, _errors(answer)
        where = f"{self._settings.address}, mount {self._settings.mount}"
        match status:
            case 403:
                return KeyProviderError(
                    "key_provider_denied",
                    f"the token is not valid, or may not use transit key {name} at {where}: see "
                    "its policy, and whether it has expired",
                )
            case 404:
                return _missing_error(name, where)
            case 400 if "encryption key not found" in text:
                return _missing_error(name, where)
            case 400 if "soft-deleted" in text:
                return _disabled_error(name)
            case 400 if "too old" in text:
                return KeyProviderError(
                    "key_provider_key_disabled",
                    f"transit key {name} does not decrypt with the version that wrapped the root "
                    "key: lower its min_decryption_version",
                )
            case 400 if "too new" in text:
                return KeyProviderError(
                    "key_provider_version_missing",
                    f"transit key {name} has not got the version that wrapped the root key: "
                    "restore a newer backup of the server",
                )
            case 400 if "authentication failed" in text or "invalid ciphertext" in text:
                return _wrong_key_error(name)
            case 503 if "sealed" in text:
                return KeyProviderError(
                    "key_provider_unreachable",
                    f"the server at {self._settings.address} is sealed: unseal it",
                )
            case 429 | 500 | 502 | 503 | 504 | 472 | 473 | 307 | 308:
                return KeyProviderError(
                    "key_provider_unreachable",
                    f"the server at {self._settings.address} answers {status}: see its log; of a "
                    "cluster, give the address of the active node",
                )
            case _:
                return KeyProviderError(
                    "key_provider_failed",
                    f"the server at {self._settings.address} answers {status}: see its log",
                )


def _decoded(answer: httpx2.Response) -> Any:
    """Raises `msgspec.MsgspecError`."""
    return json_text.decode(answer.content)


def _errors(answer: httpx2.Response) -> str:
    """The texts of a refusal, or nothing; for a look only."""
    try:
        return " ".join(map(str, _decoded(answer)["errors"]))
    except (KeyError, TypeError, msgspec.MsgspecError):
        return ""


def _checked(name: str) -> str:
    """A name that is no path. The database of a sealed vault may say anything."""
    if not _NAME.fullmatch(name):
        raise KeyProviderError(
            "key_provider_key_missing",
            "the stored name of the key is not one of transit: the database was altered",
        )
    return name


def _version(ciphertext: str) -> str:
    """Of `vault:v2:…`."""
    return ciphertext.split(":")[1].removeprefix("v")


def _missing_error(name: str, where: str) -> KeyProviderError:
    return KeyProviderError(
        "key_provider_key_missing",
        f"there is no transit key {name} at {where}: make it, or correct `key` and `mount`",
    )


def _disabled_error(name: str) -> KeyProviderError:
    return KeyProviderError(
        "key_provider_key_disabled",
        f"transit key {name} is deleted softly: undo it with keys/{name}/soft-delete-restore",
    )


def _wrong_key_error(name: str) -> KeyProviderError:
    return KeyProviderError(
        "key_provider_wrong_key",
        f"transit key {name} does not open the stored root key: it is another key under the same "
        "name, or the database was altered",
    )
