"""A symmetric key in Google Cloud Key Management Service (Cloud KMS API v1, over REST).

The primary version wraps; a ciphertext says which version made it. The context is additional
authenticated data. Credentials and proxies are those that Google's library finds.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import msgspec
from msgspec import Struct

from vault.seal.root_keys.provider import KeyDescription, KeyProviderError, WrappedKey

try:
    import google.auth
    from google.api_core import exceptions
    from google.api_core.retry import Retry, if_transient_error
    from google.auth import environment_vars
    from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, TransportError
    from google.cloud.kms_v1 import (
        CryptoKey,
        CryptoKeyVersion,
        KeyManagementServiceClient,
        ProtectionLevel,
    )
    from requests.exceptions import RequestException, Timeout
except ModuleNotFoundError as error:
    raise KeyProviderError(
        "key_provider_unsupported",
        "the library google-cloud-kms is not installed: pip install 'freehold[gcp]'",
    ) from error

ALGORITHM: Final = "GOOGLE_SYMMETRIC_ENCRYPTION"
SCOPE: Final = "https://www.googleapis.com/auth/cloudkms"
_CALL: Final = 0.2
"""Of the provider's time, for one attempt of a call; an operation makes two calls."""
_CALLS: Final = 0.4
"""The same, for all attempts of a call."""
_STATE: Final = CryptoKeyVersion.CryptoKeyVersionState
_NOT_ENABLED: Final = " is not enabled, current state is: "
"""What Cloud KMS says of versions, with status FAILED_PRECONDITION; REST has no other sign."""
_UNAVAILABLE: Final = (
    exceptions.ServerError,
    exceptions.TooManyRequests,
    TransportError,
    RequestException,
)


class GoogleKmsSettings(Struct, frozen=True):
    """`key`: `projects/P/locations/L/keyRings/R/cryptoKeys/K`."""

    key: str
    timeout: float
    endpoint: str = ""
    credentials_file: str = ""


def open_backend(settings: dict[str, Any]) -> "GoogleKmsBackend":
    """See `vault.seal.root_keys.helper.BACKENDS`."""
    # Where there is no metadata server, the library looks for one, for longer than a call may take.
    os.environ.setdefault("GCE_METADATA_TIMEOUT", "1")
    found = msgspec.convert(settings, GoogleKmsSettings)
    if found.credentials_file:
        os.environ[environment_vars.CREDENTIALS] = found.credentials_file
    return GoogleKmsBackend(found)


class GoogleKmsBackend:
    """See `KeyBackend`."""

    def __init__(self, settings: GoogleKmsSettings) -> None:
        self._settings = settings
        self._opened: KeyManagementServiceClient | None = None
        timeout = settings.timeout
        self._limits: Any = {
            "timeout": timeout * _CALL,
            "retry": Retry(
                predicate=if_transient_error, initial=0.1, maximum=1.0, timeout=timeout * _CALLS
            ),
        }

    def describe(self) -> KeyDescription:
        """See `KeyBackend`. Such keys cannot be exported."""
        with _errors(self._settings.key):
            key = self._client().get_crypto_key(name=self._settings.key, **self._limits)
        if key.purpose != CryptoKey.CryptoKeyPurpose.ENCRYPT_DECRYPT:
            raise KeyProviderError(
                "key_provider_unsupported",
                f"Cloud KMS key {key.name} is for {key.purpose.name}: make a symmetric one that "
                "encrypts and decrypts",
            )
        if not key.primary.name or key.primary.state != _STATE.ENABLED:
            state = _STATE(key.primary.state).name if key.primary.name else "not there"
            raise KeyProviderError(
                "key_provider_key_disabled",
                f"the primary version of Cloud KMS key {key.name} is {state}: enable it, or make "
                "another version the primary one",
            )
        return KeyDescription(
            key=key.name,
            version=_last(key.primary.name),
            algorithm=ALGORITHM,
            device=f"Google Cloud KMS, {ProtectionLevel(key.primary.protection_level).name}",
        )

    def wrap(self, root_key: bytes, context: bytes) -> WrappedKey:
        """See `KeyBackend`."""
        key = self.describe().key
        request = {
            "name": key,
            "plaintext": root_key,
            "additional_authenticated_data": context,
        }
        with _errors(key):
            made = self._client().encrypt(request=request, **self._limits)
        return WrappedKey(
            key=key, version=_last(made.name), algorithm=ALGORITHM, ciphertext=made.ciphertext
        )

    def unwrap(self, wrapped: WrappedKey, context: bytes) -> bytes:
        """See `KeyBackend`."""
        request = {
            "name": wrapped.key,
            "ciphertext": wrapped.ciphertext,
            "additional_authenticated_data": context,
        }
        with _errors(wrapped.key):
            root_key: bytes = self._client().decrypt(request=request, **self._limits).plaintext
        return root_key

    def create_version(self) -> KeyDescription:
        """See `KeyBackend`."""
        raise KeyProviderError(
            "key_provider_unsupported",
            "the agent makes no keys in Google Cloud: set the key's rotation period, or use "
            "`gcloud kms keys versions create --primary`",
        )

    def close(self) -> None:
        """See `KeyBackend`."""
        client, self._opened = self._opened, None
        if client is not None:
            client.transport.close()  # type: ignore[no-untyped-call]

    def _client(self) -> KeyManagementServiceClient:
        if self._opened is None:
            settings = self._settings
            credentials, _ = google.auth.default(scopes=[SCOPE])
            self._opened = KeyManagementServiceClient(
                credentials=credentials,
                transport="rest",
                client_options={"api_endpoint": settings.endpoint} if settings.endpoint else None,
            )
        return self._opened


def _last(name: str) -> str:
    """`3` of `…/cryptoKeyVersions/3`."""
    return name.rpartition("/")[2]


@contextmanager
def _errors(key: str) -> Iterator[None]:
    """What the library raises, as `KeyProviderError`. Its texts are not repeated."""
    try:
        yield
    except exceptions.RetryError as error:  # the last of several attempts
        raise _refusal(error.cause, key) from None
    except (exceptions.GoogleAPICallError, GoogleAuthError, RequestException) as error:
        raise _refusal(error, key) from None


def _refusal(error: object, key: str) -> KeyProviderError:
    name = type(error).__name__
    match error:
        case Timeout() | exceptions.GatewayTimeout():
            return KeyProviderError(
                "key_provider_timeout",
                "Cloud KMS does not answer in time: see the network to its endpoint",
            )
        case exceptions.NotFound():
            return KeyProviderError(
                "key_provider_key_missing", f"there is no Cloud KMS key {key}: correct `key`"
            )
        case exceptions.BadRequest() if _NOT_ENABLED in error.message:
            return _version_error(error.message, key)
        case exceptions.BadRequest():
            return KeyProviderError(
                "key_provider_wrong_key",
                f"Cloud KMS key {key} does not open the stored root key: it is another key, or the "
                "database was altered",
            )
        case exceptions.Forbidden() | exceptions.Unauthorized():
            return KeyProviderError(
                "key_provider_denied",
                f"Google refuses the use of key {key} ({name}): see the roles of the service "
                "account on the key, and whether Cloud KMS is enabled in its project",
            )
        case _ if isinstance(error, _UNAVAILABLE):
            return KeyProviderError(
                "key_provider_unreachable",
                f"Cloud KMS is not available now ({name}): see the network to its endpoint, the "
                "proxy's variables and the quotas",
            )
        case DefaultCredentialsError() | GoogleAuthError():
            return KeyProviderError(
                "key_provider_denied",
                f"there are no credentials for Cloud KMS ({name}): give the machine a service "
                "account, or set `credentials_file`",
            )
        case _:
            return KeyProviderError(
                "key_provider_failed",
                f"Google refuses the use of key {key} ({name}): see the audit logs of Cloud KMS",
            )


def _version_error(text: str, key: str) -> KeyProviderError:
    """The version that wrapped the root key is not enabled; the text ends with its state."""
    if text.rpartition(_NOT_ENABLED)[2].startswith("DESTROYED"):
        return KeyProviderError(
            "key_provider_version_missing",
            f"the version of Cloud KMS key {key} that wrapped the root key is destroyed: "
            "restore a backup of the database that another version wraps",
        )
    return KeyProviderError(
        "key_provider_key_disabled",
        f"the version of Cloud KMS key {key} that wrapped the root key is disabled, or about to be "
        "destroyed: enable or restore it",
    )
