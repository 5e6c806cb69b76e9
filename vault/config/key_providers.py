"""Key providers: where the key is that wraps the vault's root key, and how it is reached."""

from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from protocols.instant import SECOND
from protocols.settings.field_types import Duration, FilePath, Section
from vault.config.backup_destinations import Endpoint

MAX_TIMEOUT: Final = 120 * SECOND
MAX_VARIABLES: Final = 32
MAX_PROVIDERS: Final = 8
"""Each is asked in turn at a start, and wraps at each change of the root key."""
MODULE_VARIABLES: Final = (
    "SOFTHSM2_CONF",
    "TPM2_PKCS11_STORE",
    "YUBIHSM_PKCS11_CONF",
    "ChrystokiConfigurationPath",
    "CKNFAST_LOADSHARING",
    "CS_PKCS11_R3_CFG",
)
"""Names of the variables by which usual modules find their own configuration."""

Algorithm = Literal["AES-GCM", "AES-KWP", "AES-KW", "RSA-OAEP-SHA256", "RSA-OAEP-SHA1"]
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128)]
Text = Annotated[str, Field(min_length=1, max_length=256)]
Credential = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]
"""Name of a systemd credential."""
_GOOGLE_KEY: Final = (
    r"^projects/[a-z0-9.:-]{1,100}/locations/[a-z0-9-]{1,64}"
    r"/keyRings/[A-Za-z0-9_-]{1,63}/cryptoKeys/[A-Za-z0-9_-]{1,63}$"
)
_AWS_KEY: Final = r"^[A-Za-z0-9:/_-]{1,512}$"
_AZURE_VAULT: Final = (
    r"^https://[A-Za-z0-9-]{1,127}\."
    r"(vault|managedhsm)\.(azure\.net|azure\.cn|usgovcloudapi\.net|microsoftazure\.de)$"
)
_TRANSIT_KEY: Final = r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}$"
_TRANSIT_PATH: Final = r"^[A-Za-z0-9_][A-Za-z0-9_-]*(/[A-Za-z0-9_-]+)*$"


def _check_timeout(value: int) -> int:
    if not SECOND <= value <= MAX_TIMEOUT:
        raise ValueError("is 1s to 120s")
    return value


Timeout = Annotated[Duration, AfterValidator(_check_timeout)]
"""Of one call to a provider."""


class HsmSettings(Section):
    """A PKCS#11 token. Of `token` (its label), `serial` and `slot` (its id) those given must fit.

    The PIN is in one of three places, and never here. `environment`: more names of variables that
    the module needs, which are handed to the helper process that loads it.
    """

    module: FilePath
    token: Text | None = None
    serial: Text | None = None
    slot: Annotated[int, Field(ge=0)] | None = None
    key_label: Text
    key_id: Annotated[str, Field(pattern=r"^([0-9a-fA-F]{2}){1,64}$")] | None = None
    pin_file: FilePath | None = None
    pin_variable: Variable | None = None
    pin_credential: Credential | None = None
    algorithm: Algorithm | None = None
    create_key: bool = False
    environment: Annotated[tuple[Variable, ...], Field(max_length=MAX_VARIABLES)] = ()
    timeout: Timeout = 10 * SECOND

    @model_validator(mode="after")
    def _check_places(self) -> Self:
        if self.token is None and self.serial is None and self.slot is None:
            raise ValueError("needs token (its label), serial or slot")
        if sum(map(bool, (self.pin_file, self.pin_variable, self.pin_credential))) != 1:
            raise ValueError("needs one of pin_file, pin_variable and pin_credential")
        if self.create_key and self.key_id is not None:
            raise ValueError("create_key makes keys with new ids: leave key_id out")
        return self


class AwsKmsSettings(Section):
    """A key in AWS KMS. Credentials and region are AWS's usual ones, unless they are given."""

    key: Annotated[str, Field(pattern=_AWS_KEY)]
    region: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,64}$")] | None = None
    endpoint: Endpoint = ""
    credentials_file: FilePath | None = None


class GoogleKmsSettings(Section):
    """A key in Google Cloud KMS.

    `credentials_file`: the JSON of a service account, or of a workload identity federation.
    """

    key: Annotated[str, Field(pattern=_GOOGLE_KEY)]
    endpoint: Endpoint = ""
    credentials_file: FilePath | None = None


class AzureKeyVaultSettings(Section):
    """A key in Azure Key Vault or Managed HSM. Credentials are Azure's usual ones."""

    vault: Annotated[str, Field(pattern=_AZURE_VAULT)]
    key: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,127}$")]


class TransitSettings(Section):
    """A key in the transit engine of OpenBao or Vault. The token is in one of three places."""

    address: Annotated[Endpoint, Field(min_length=1)]
    mount: Annotated[str, Field(pattern=_TRANSIT_PATH, max_length=256)] = "transit"
    key: Annotated[str, Field(pattern=_TRANSIT_KEY)]
    namespace: Annotated[str, Field(pattern=_TRANSIT_PATH, max_length=256)] | None = None
    ca_file: FilePath | None = None
    token_file: FilePath | None = None
    token_variable: Variable | None = None
    token_credential: Credential | None = None

    @model_validator(mode="after")
    def _check_places(self) -> Self:
        if sum(map(bool, (self.token_file, self.token_variable, self.token_credential))) != 1:
            raise ValueError("needs one of token_file, token_variable and token_credential")
        return self


class CloudKmsSettings(Section):
    """A key in a cloud's key management service, or in another vault: one of the four."""

    aws: AwsKmsSettings | None = None
    gcp: GoogleKmsSettings | None = None
    azure: AzureKeyVaultSettings | None = None
    transit: TransitSettings | None = None
    timeout: Timeout = 10 * SECOND

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if sum(each is not None for each in (self.aws, self.gcp, self.azure, self.transit)) != 1:
            raise ValueError("needs one of aws, gcp, azure and transit")
        return self

    @property
    def kind(self) -> Literal["aws", "gcp", "azure", "transit"]:
        """Which of the four; the provider's name where it is the only one."""
        if self.aws is not None:
            return "aws"
        if self.gcp is not None:
            return "gcp"
        return "azure" if self.azure is not None else "transit"


class KeyProviderSettings(Section):
    """One of several key providers: a token, a cloud, or a file with wrapping keys.

    `name` is stored with what the provider has wrapped, so it must not be another one's later.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
    hsm: HsmSettings | None = None
    cloud_kms: CloudKmsSettings | None = None
    key_file: FilePath | None = None

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if sum(each is not None for each in (self.hsm, self.cloud_kms, self.key_file)) != 1:
            raise ValueError("needs one of hsm, cloud_kms and key_file")
        return self


def _check_names(providers: tuple[KeyProviderSettings, ...]) -> tuple[KeyProviderSettings, ...]:
    if len({each.name for each in providers}) < len(providers):
        raise ValueError("has two providers of one name")
    return providers


Providers = Annotated[
    tuple[KeyProviderSettings, ...], Field(max_length=MAX_PROVIDERS), AfterValidator(_check_names)
]
"""In the order in which they are asked."""


class FormerSealSettings(Section):
    """How the root key was kept before: what a seal migration begins with. Shares need nothing."""

    key_file: FilePath | None = None
    providers: Providers = ()

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if (self.key_file is None) != bool(self.providers):
            raise ValueError("needs one of key_file and providers")
        return self
