"""An RSA key in Azure Key Vault, or an AES key in Azure Managed HSM (REST API of Key Vault keys).

- RSA-OAEP-256: RSA and RSA-HSM keys. Anybody may wrap with a public key; what is unwrapped is a
  vault's root key only if it opens the keyring.
- A256KW: oct-HSM keys of 256 bits (RFC 3394)

Neither has associated data. The newest version of the key wraps. Credentials and proxies are those
that azure-identity finds.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import msgspec
from msgspec import Struct

from vault.seal.root_keys.provider import KeyDescription, KeyProviderError, WrappedKey

try:
    from azure.core import exceptions
    from azure.identity import CredentialUnavailableError, DefaultAzureCredential
    from azure.keyvault.keys import KeyClient, KeyVaultKey
    from azure.keyvault.keys.crypto import CryptographyClient, KeyWrapAlgorithm
except ModuleNotFoundError as error:
    raise KeyProviderError(
        "key_provider_unsupported",
        "the libraries of Azure Key Vault are not installed: pip install 'freehold[azure]'",
    ) from error

_ALGORITHMS: Final = {
    "RSA": KeyWrapAlgorithm.rsa_oaep_256,
    "RSA-HSM": KeyWrapAlgorithm.rsa_oaep_256,
    "oct-HSM": KeyWrapAlgorithm.aes_256,
}
_SHARE: Final = 8
"""An operation makes two calls, each tried twice, each time connecting and reading."""
_WRONG_INPUT: Final = 400
_FORBIDDEN: Final = 403
_TOO_MANY: Final = 429
_SERVER_ERROR: Final = 500


class AzureKeyVaultSettings(Struct, frozen=True):
    """`vault`: `https://NAME.vault.azure.net`, or that of a Managed HSM."""

    vault: str
    key: str
    timeout: float


def open_backend(settings: dict[str, Any]) -> "AzureKeyVaultBackend":
    """See `vault.seal.root_keys.helper.BACKENDS`."""
    # Environment, workload identity, managed identity; no command-line tools of developers.
    os.environ.setdefault("AZURE_TOKEN_CREDENTIALS", "prod")
    return AzureKeyVaultBackend(msgspec.convert(settings, AzureKeyVaultSettings))


class AzureKeyVaultBackend:
    """See `KeyBackend`."""

    def __init__(self, settings: AzureKeyVaultSettings) -> None:
        self._settings = settings
        self._credential: DefaultAzureCredential | None = None
        self._opened: KeyClient | None = None
        seconds = settings.timeout / _SHARE
        self._limits: Any = {
            "connection_timeout": seconds,
            "read_timeout": seconds,
            "retry_total": 1,
            "retry_backoff_factor": 0.1,
            "retry_backoff_max": seconds,
            "logging_enable": False,
        }

    def describe(self) -> KeyDescription:
        """See `KeyBackend`."""
        with _errors(self._settings.key):
            key = self._get(self._settings.key)
        return self._describe(key)

    def wrap(self, root_key: bytes, context: bytes) -> WrappedKey:  # noqa: ARG002  # no AAD
        """See `KeyBackend`."""
        with _errors(self._settings.key):
            key = self._get(self._settings.key)
            described = self._describe(key)
            with self._cryptography(key) as client:
                made = client.wrap_key(_ALGORITHMS[_type(key)], root_key)
        return WrappedKey(
            key=described.key,
            version=described.version,
            algorithm=described.algorithm,
            ciphertext=made.encrypted_key,
        )

    def unwrap(self, wrapped: WrappedKey, context: bytes) -> bytes:  # noqa: ARG002  # no AAD
        """See `KeyBackend`. The vault is the configured one, whatever the database says."""
        name = wrapped.key.rpartition("/")[2]
        with _errors(name):
            key = self._get(name, wrapped.version)
            if _ALGORITHMS.get(_type(key)) != wrapped.algorithm:
                raise _wrong_key_error(name)
            with self._cryptography(key) as client:
                found = client.unwrap_key(_ALGORITHMS[_type(key)], wrapped.ciphertext)
        return found.key

    def create_version(self) -> KeyDescription:
        """See `KeyBackend`."""
        raise KeyProviderError(
            "key_provider_unsupported",
            "the agent makes no keys in Azure: give the key a rotation policy, or use "
            "`az keyvault key rotate`",
        )

    def close(self) -> None:
        """See `KeyBackend`."""
        for each in (self._opened, self._credential):
            if each is not None:
                each.close()
        self._opened = self._credential = None

    def _get(self, name: str, version: str | None = None) -> KeyVaultKey:
        """One that is enabled."""
        if self._opened is None or self._credential is None:
            self._credential = DefaultAzureCredential(**self._limits)
            self._opened = KeyClient(self._settings.vault, self._credential, **self._limits)
        key = self._opened.get_key(name, version)
        if not key.properties.enabled:
            raise _disabled_error(name)
        return key

    def _describe(self, key: KeyVaultKey) -> KeyDescription:
        if key.properties.exportable:
            raise KeyProviderError(
                "key_provider_key_exportable",
                f"Azure key {key.name} can be released from its vault (exportable): make one that "
                "cannot",
            )
        if _type(key) not in _ALGORITHMS:
            raise KeyProviderError(
                "key_provider_unsupported",
                f"Azure key {key.name} is of type {_type(key)}: make one of type RSA or RSA-HSM",
            )
        return KeyDescription(
            key=f"{self._settings.vault}/keys/{key.name}",
            version=key.properties.version or "",
            algorithm=_ALGORITHMS[_type(key)].value,
            device=f"Azure Key Vault, {_type(key)}",
        )

    def _cryptography(self, key: KeyVaultKey) -> CryptographyClient:
        if self._credential is None:
            raise RuntimeError("the key was read by it")
        return CryptographyClient(key, self._credential, **self._limits)


def _type(key: KeyVaultKey) -> str:
    """Such as `RSA`, `RSA-HSM`, `oct-HSM`, `EC`."""
    return str(getattr(key.key_type, "value", key.key_type))


def _disabled_error(name: str) -> KeyProviderError:
    return KeyProviderError(
        "key_provider_key_disabled",
        f"Azure key {name}, or the version that wrapped the root key, is disabled or outside of "
        "its dates: enable it",
    )


def _wrong_key_error(name: str) -> KeyProviderError:
    return KeyProviderError(
        "key_provider_wrong_key",
        f"Azure key {name} does not open the stored root key: it is another key, or the database "
        "was altered",
    )


@contextmanager
def _errors(name: str) -> Iterator[None]:
    """What the libraries raise, as `KeyProviderError`. Their texts are not repeated."""
    try:
        yield
    except CredentialUnavailableError:
        raise KeyProviderError(
            "key_provider_denied",
            "there are no credentials for Azure: give the machine a managed identity, or set the "
            "AZURE_ variables",
        ) from None
    except (exceptions.ServiceRequestTimeoutError, exceptions.ServiceResponseTimeoutError):
        raise KeyProviderError(
            "key_provider_timeout",
            "Azure Key Vault does not answer in time: see the network to its endpoint",
        ) from None
    except (exceptions.ServiceRequestError, exceptions.ServiceResponseError) as error:
        raise KeyProviderError(
            "key_provider_unreachable",
            f"no connection to Azure Key Vault ({type(error).__name__}): see the network to its "
            "endpoint, and the proxy's variables",
        ) from None
    except exceptions.HttpResponseError as error:
        raise _refusal(error, name) from None
    except exceptions.AzureError as error:
        raise KeyProviderError(
            "key_provider_failed",
            f"the Azure library fails with {type(error).__name__}: see `vault`, and the proxy's "
            "variables",
        ) from None


def _refusal(error: exceptions.HttpResponseError, name: str) -> KeyProviderError:
    status, code = error.status_code or 0, _inner_code(error)
    if status == _FORBIDDEN and code in {"KeyDisabled", "KeyExpired", "KeyNotYetValid"}:
        return _disabled_error(name)
    if isinstance(error, exceptions.ClientAuthenticationError) and not status:
        return KeyProviderError(
            "key_provider_denied",
            "Azure gives no token: see the machine's managed identity or the AZURE_ variables, and "
            "the network to login.microsoftonline.com",
        )
    if isinstance(error, exceptions.ClientAuthenticationError) or status == _FORBIDDEN:
        return KeyProviderError(
            "key_provider_denied",
            f"Azure refuses the use of key {name} ({code or status}): see the identity's role on "
            "the key, and the firewall of the key vault",
        )
    if isinstance(error, exceptions.ResourceNotFoundError):
        return KeyProviderError(
            "key_provider_key_missing",
            f"there is no Azure key {name}, or not the version of it that wrapped the root key: "
            "recover it, or correct `vault` and `key`",
        )
    if status == _WRONG_INPUT:
        return _wrong_key_error(name)
    if status == _TOO_MANY or status >= _SERVER_ERROR:
        return KeyProviderError(
            "key_provider_unreachable",
            f"Azure Key Vault answers {status}: see Azure's health page and the vault's limits",
        )
    return KeyProviderError(
        "key_provider_failed", f"Azure Key Vault answers {status} ({code}): see its audit log"
    )


def _inner_code(error: exceptions.HttpResponseError) -> str:
    """`error.innererror.code` of the answer, such as `KeyDisabled`."""
    inner = getattr(error.error, "innererror", None)
    return str(inner.get("code", "")) if isinstance(inner, dict) else ""
