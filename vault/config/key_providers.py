"""Key providers: where the key is that wraps the vault's root key, and how it is reached."""

from typing import Annotated, Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from protocols.instant import SECOND
from protocols.settings.field_types import Duration, FilePath, Section

MAX_TIMEOUT: Final = 120 * SECOND
MAX_VARIABLES: Final = 32
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
    pin_credential: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")] | None = None
    algorithm: Algorithm | None = None
    create_key: bool = False
    environment: Annotated[tuple[Variable, ...], Field(max_length=MAX_VARIABLES)] = ()
    timeout: Duration = 10 * SECOND

    @field_validator("timeout")
    @classmethod
    def _check_timeout(cls, value: int) -> int:
        if not SECOND <= value <= MAX_TIMEOUT:
            raise ValueError("is 1s to 120s")
        return value

    @model_validator(mode="after")
    def _check_places(self) -> Self:
        if self.token is None and self.serial is None and self.slot is None:
            raise ValueError("needs token (its label), serial or slot")
        if sum(map(bool, (self.pin_file, self.pin_variable, self.pin_credential))) != 1:
            raise ValueError("needs one of pin_file, pin_variable and pin_credential")
        if self.create_key and self.key_id is not None:
            raise ValueError("create_key makes keys with new ids: leave key_id out")
        return self
