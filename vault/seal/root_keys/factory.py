"""The key providers that an agent's configuration names."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from pydantic import BaseModel

from actors import World
from protocols.instant import SECOND
from vault.config.key_providers import (
    MODULE_VARIABLES,
    CloudKmsSettings,
    HsmSettings,
    KeyProviderSettings,
)
from vault.config.settings import EncryptionSettings
from vault.seal.root_keys.process import ProcessKeyProvider

_ALWAYS: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "CREDENTIALS_DIRECTORY")
"""Variables that a helper process gets of an agent's environment, besides those of its settings."""
FILE_SECONDS: Final = 10.0  # for a call on a file, which may be on a network
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


def make_key_providers(
    settings: EncryptionSettings, world: World, environment: Mapping[str, str] = os.environ
) -> tuple[ProcessKeyProvider, ...]:
    """In the order in which they are asked. Nothing is started yet.

    None where the root key is in a file or in people's shares.
    """
    if settings.hsm is not None:
        parts = [_hsm_parts("hsm", settings.hsm)]
    elif settings.cloud_kms is not None:
        parts = [_cloud_kms_parts(settings.cloud_kms.kind, settings.cloud_kms)]
    else:
        parts = [_parts(each) for each in settings.providers]
    return tuple(_make(each, world, environment) for each in parts)


def make_former_providers(
    settings: EncryptionSettings, world: World, environment: Mapping[str, str] = os.environ
) -> tuple[ProcessKeyProvider, ...]:
    """As `make_key_providers`, of the seal that is migrated from."""
    former = settings.migrate_from
    given = () if former is None else former.providers
    return tuple(_make(_parts(each), world, environment) for each in given)


def _make(parts: _Parts, world: World, environment: Mapping[str, str]) -> ProcessKeyProvider:
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


def _parts(provider: KeyProviderSettings) -> _Parts:
    if provider.hsm is not None:
        return _hsm_parts(provider.name, provider.hsm)
    if provider.cloud_kms is not None:
        return _cloud_kms_parts(provider.name, provider.cloud_kms)
    settings = {"path": str(provider.key_file)}
    return _Parts(provider.name, "static", settings, (), FILE_SECONDS, creates_keys=True)


def _hsm_parts(name: str, hsm: HsmSettings) -> _Parts:
    return _Parts(
        name,
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


def _cloud_kms_parts(name: str, cloud_kms: CloudKmsSettings) -> _Parts:
    type_, prefixes = _CLOUDS[cloud_kms.kind]
    section: BaseModel = getattr(cloud_kms, cloud_kms.kind)
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
