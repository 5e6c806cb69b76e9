"""The key provider that an agent's configuration names."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from pydantic import BaseModel

from actors import World
from protocols.instant import SECOND
from vault.config.key_providers import MODULE_VARIABLES, CloudKmsSettings, HsmSettings
from vault.config.settings import EncryptionSettings
from vault.seal.root_keys.process import ProcessKeyProvider

_ALWAYS: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "CREDENTIALS_DIRECTORY")
"""Variables that a helper process gets of an agent's environment, besides those of its settings."""
_NETWORK: Final = (
    "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "https_proxy", "http_proxy", "no_proxy",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE",
)  # fmt: skip
"""Those of every provider that is reached over a network."""
_CLOUDS: Final = {
    "aws": ("awskms", ("AWS_",)),
    "gcp": ("gcpckms", ("GOOGLE_", "GCE_METADATA_", "CLOUDSDK_CONFIG")),
    "azure": ("azurekeyvault", ("AZURE_", "IDENTITY_", "IMDS_", "MSI_")),
    "transit": ("transit", ()),
}
"""By section: the type, and how the names of the library's variables begin."""


class _Parts(NamedTuple):
    """What a `ProcessKeyProvider` is made of. `variables`, `prefixes`: of the environment."""

    name: str
    type: str
    settings: Mapping[str, Any]
    variables: tuple[str, ...]
    timeout: float
    prefixes: tuple[str, ...] = ()
    creates_keys: bool = False


def make_key_provider(
    settings: EncryptionSettings, world: World, environment: Mapping[str, str] = os.environ
) -> ProcessKeyProvider | None:
    """None where the root key is in a file or in people's shares. Nothing is started yet."""
    if settings.hsm is not None:
        parts = _hsm_parts(settings.hsm)
    elif settings.cloud_kms is not None:
        parts = _cloud_kms_parts(settings.cloud_kms)
    else:
        return None
    passed = (*_ALWAYS, *parts.variables)
    return ProcessKeyProvider(
        parts.name,
        parts.type,
        parts.settings,
        environment={
            name: value
            for name, value in environment.items()
            if name in passed or name.startswith(parts.prefixes)
        },
        timeout=parts.timeout,
        creates_keys=parts.creates_keys,
        world=world,
    )


def _hsm_parts(hsm: HsmSettings) -> _Parts:
    return _Parts(
        "hsm",
        "pkcs11",
        pkcs11_settings(hsm),
        (*MODULE_VARIABLES, *hsm.environment, *filter(None, [hsm.pin_variable])),
        hsm.timeout / SECOND,
        creates_keys=hsm.create_key,
    )


def pkcs11_settings(hsm: HsmSettings) -> Mapping[str, Any]:
    """What `vault.seal.root_keys.pkcs11.open_backend` takes."""
    return {
        "module": str(hsm.module),
        "key_label": hsm.key_label,
        "key_id": bytes.fromhex(hsm.key_id or ""),
        "token": hsm.token or "",
        "serial": hsm.serial or "",
        "slot": hsm.slot,
        "pin_file": str(hsm.pin_file or ""),
        "pin_variable": hsm.pin_variable or "",
        "pin_credential": hsm.pin_credential or "",
        "algorithm": hsm.algorithm or "",
        "create_key": hsm.create_key,
    }


def _cloud_kms_parts(cloud_kms: CloudKmsSettings) -> _Parts:
    name = next(each for each in _CLOUDS if getattr(cloud_kms, each) is not None)
    type_, prefixes = _CLOUDS[name]
    section: BaseModel = getattr(cloud_kms, name)
    settings = {
        key: str(value) if isinstance(value, Path) else value
        for key, value in section.model_dump(exclude_none=True).items()
    }
    timeout = cloud_kms.timeout / SECOND
    token = settings.get("token_variable")
    return _Parts(
        name,
        type_,
        {**settings, "timeout": timeout},
        (*_NETWORK, *filter(None, [token])),
        timeout,
        prefixes=prefixes,
    )
