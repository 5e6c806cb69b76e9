"""A symmetric key in AWS Key Management Service (AWS KMS API, 2014-11-01).

AWS tracks the versions of a key (its "key material") in each ciphertext. The context is the
encryption context's one entry. Credentials, region and proxies are those that botocore finds.
"""

from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import msgspec
from msgspec import Struct

from vault.seal.root_keys.provider import KeyDescription, KeyProviderError, WrappedKey

try:
    from botocore import exceptions
    from botocore.config import Config
    from botocore.session import Session
except ModuleNotFoundError as error:
    raise KeyProviderError(
        "key_provider_unsupported",
        "the library botocore is not installed: pip install 'freehold[aws]'",
    ) from error

ALGORITHM: Final = "SYMMETRIC_DEFAULT"
CONTEXT_KEY: Final = "freehold"
"""Of the encryption context; a key policy may demand it (`kms:EncryptionContextKeys`)."""
_SHARE: Final = 8
"""An operation makes two calls, each tried twice, each time connecting and reading."""
_CREDENTIALS: Final = (
    exceptions.NoCredentialsError,
    exceptions.PartialCredentialsError,
    exceptions.CredentialRetrievalError,
    exceptions.ProfileNotFound,
    exceptions.ConfigNotFound,
    exceptions.MetadataRetrievalError,
    exceptions.SSOError,
)
_NO_KEY: Final = frozenset({"NotFoundException", "InvalidArnException"})
_DISABLED: Final = frozenset({"DisabledException", "KMSInvalidStateException"})
_WRONG_KEY: Final = frozenset({"InvalidCiphertextException", "IncorrectKeyException"})
_DENIED: Final = frozenset({
    "AccessDenied", "AccessDeniedException", "ExpiredToken", "ExpiredTokenException",
    "IncompleteSignature", "InvalidClientTokenId", "InvalidIdentityToken",
    "InvalidSignatureException", "MissingAuthenticationToken",
    "NotAuthorized", "OptInRequired", "SignatureDoesNotMatch", "UnrecognizedClientException",
})  # fmt: skip
_UNUSABLE: Final = frozenset({"Disabled", "PendingDeletion", "PendingReplicaDeletion"})
_DENIED_STATUS: Final = frozenset({401, 403})
_SERVER_ERROR: Final = 500


class AwsKmsSettings(Struct, frozen=True):
    """Which key: an id, an ARN, `alias/NAME`, or an alias's ARN."""

    key: str
    timeout: float
    region: str = ""
    endpoint: str = ""
    credentials_file: str = ""


def open_backend(settings: dict[str, Any]) -> "AwsKmsBackend":
    """See `vault.seal.root_keys.helper.BACKENDS`."""
    return AwsKmsBackend(msgspec.convert(settings, AwsKmsSettings))


class AwsKmsBackend:
    """See `KeyBackend`."""

    def __init__(self, settings: AwsKmsSettings) -> None:
        self._settings = settings
        self._opened: Any = None

    def describe(self) -> KeyDescription:
        """See `KeyBackend`. Such keys cannot be exported."""
        with _errors(self._settings.key):
            key = self._client().describe_key(KeyId=self._settings.key)["KeyMetadata"]
        arn, state = str(key["Arn"]), str(key["KeyState"])
        if state in _UNUSABLE:
            raise _disabled_error(arn, state)
        if state != "Enabled":
            raise KeyProviderError(
                "key_provider_unreachable",
                f"AWS KMS key {arn} is {state}: see its key store, or import its key material",
            )
        if key["KeyUsage"] != "ENCRYPT_DECRYPT" or key["KeySpec"] != ALGORITHM:
            raise KeyProviderError(
                "key_provider_unsupported",
                f"AWS KMS key {arn} is {key['KeySpec']} for {key['KeyUsage']}: make a symmetric "
                "one that encrypts and decrypts",
            )
        return KeyDescription(
            key=arn,
            version=str(key.get("CurrentKeyMaterialId", "")),
            algorithm=ALGORITHM,
            device=f"AWS KMS {self._client().meta.region_name}",
        )

    def wrap(self, root_key: bytes, context: bytes) -> WrappedKey:
        """See `KeyBackend`."""
        key = self.describe()
        with _errors(key.key):
            made = self._client().encrypt(
                KeyId=key.key, Plaintext=root_key, EncryptionContext=_encryption_context(context)
            )
        return WrappedKey(
            key=str(made["KeyId"]),
            version=key.version,
            algorithm=ALGORITHM,
            ciphertext=made["CiphertextBlob"],
        )

    def unwrap(self, wrapped: WrappedKey, context: bytes) -> bytes:
        """See `KeyBackend`."""
        with _errors(wrapped.key):
            found = self._client().decrypt(
                KeyId=wrapped.key,
                CiphertextBlob=wrapped.ciphertext,
                EncryptionContext=_encryption_context(context),
            )
        root_key: bytes = found["Plaintext"]
        return root_key

    def create_version(self) -> KeyDescription:
        """See `KeyBackend`."""
        raise KeyProviderError(
            "key_provider_unsupported",
            "the agent makes no keys in AWS: switch on the key's automatic rotation, or use "
            "`aws kms rotate-key-on-demand`",
        )

    def close(self) -> None:
        """See `KeyBackend`."""
        client, self._opened = self._opened, None
        if client is not None:
            client.close()

    def _client(self) -> Any:  # botocore's clients have no type
        if self._opened is None:
            settings, session = self._settings, Session()
            if settings.credentials_file:
                session.set_config_variable("credentials_file", settings.credentials_file)
                if session.get_config_variable("profile") is None:  # or else variables go first
                    session.set_config_variable("profile", "default")
            seconds = settings.timeout / _SHARE
            self._opened = session.create_client(
                "kms",
                region_name=settings.region or _region_of(settings.key),
                endpoint_url=settings.endpoint or None,
                config=Config(
                    connect_timeout=seconds,
                    read_timeout=seconds,
                    retries={"mode": "standard", "total_max_attempts": 2},
                ),
            )
        return self._opened


def _region_of(key: str) -> str | None:
    """Of `arn:aws:kms:eu-central-1:…`; else botocore looks for it."""
    parts = key.split(":")
    return parts[3] if parts[0] == "arn" and len(parts) > 3 else None  # noqa: PLR2004  # as above


def _encryption_context(context: bytes) -> dict[str, str]:
    return {CONTEXT_KEY: b64encode(context).decode()}


def _disabled_error(key: str, state: str) -> KeyProviderError:
    return KeyProviderError(
        "key_provider_key_disabled",
        f"AWS KMS key {key} is {state}: enable it, or cancel its deletion",
    )


@contextmanager
def _errors(key: str) -> Iterator[None]:
    """What botocore raises, as `KeyProviderError`. Its texts are not repeated."""
    try:
        yield
    except exceptions.ClientError as error:
        raise _refusal(error, key) from None
    except _CREDENTIALS as error:
        raise KeyProviderError(
            "key_provider_denied",
            f"there are no credentials for AWS KMS ({type(error).__name__}): give the machine a "
            "role, or set `credentials_file`",
        ) from None
    except (exceptions.ConnectTimeoutError, exceptions.ReadTimeoutError):
        raise KeyProviderError(
            "key_provider_timeout",
            "AWS KMS does not answer in time: see the network to its endpoint",
        ) from None
    except exceptions.NoRegionError:
        raise KeyProviderError(
            "key_provider_unreachable", "no AWS region is known: set `region`"
        ) from None
    except (exceptions.ConnectionError, exceptions.HTTPClientError) as error:
        raise KeyProviderError(
            "key_provider_unreachable",
            f"no connection to AWS KMS ({type(error).__name__}): see the network to its endpoint, "
            "and the proxy's variables",
        ) from None
    except exceptions.BotoCoreError as error:
        raise KeyProviderError(
            "key_provider_failed",
            f"the AWS library fails with {type(error).__name__}: see AWS's configuration files and "
            "variables",
        ) from None


def _refusal(error: Any, key: str) -> KeyProviderError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in _NO_KEY:
        return KeyProviderError(
            "key_provider_key_missing",
            f"there is no key {key} in this account and region of AWS KMS: correct `key` and "
            "`region`",
        )
    if code in _DISABLED:
        return _disabled_error(key, "disabled or about to be deleted")
    if code in _WRONG_KEY:
        return KeyProviderError(
            "key_provider_wrong_key",
            f"AWS KMS key {key} does not open the stored root key: it is another key, or the "
            "database was altered",
        )
    if code in _DENIED or status in _DENIED_STATUS:
        return KeyProviderError(
            "key_provider_denied",
            f"AWS refuses {error.operation_name} of key {key} ({code}): see the credentials, the "
            "role's policy and the key's policy",
        )
    if code == "InvalidKeyUsageException":
        return KeyProviderError(
            "key_provider_unsupported", f"AWS KMS key {key} does not encrypt: make a symmetric one"
        )
    if status >= _SERVER_ERROR or "Throttl" in code or code == "RequestLimitExceeded":
        return KeyProviderError(
            "key_provider_unreachable",
            f"AWS KMS is not available now ({code}): see AWS's health page and the quotas",
        )
    return KeyProviderError(
        "key_provider_failed",
        f"AWS refuses {error.operation_name} of key {key} ({code}): see CloudTrail",
    )
