"""The key provider that an agent's configuration names."""

import os
from collections.abc import Mapping
from typing import Any, Final

from actors import World
from protocols.instant import SECOND
from vault.config.key_providers import MODULE_VARIABLES, HsmSettings
from vault.config.settings import EncryptionSettings
from vault.seal.root_keys.process import ProcessKeyProvider

HSM: Final = "hsm"
PKCS11: Final = "pkcs11"
_ALWAYS: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "CREDENTIALS_DIRECTORY")
"""Variables that a helper process gets of an agent's environment, besides those of its settings."""


def make_key_provider(settings: EncryptionSettings, world: World) -> ProcessKeyProvider | None:
    """None where the root key is in a file or in people's shares. Nothing is started yet."""
    hsm = settings.hsm
    if settings.key_management != HSM or hsm is None:
        return None
    names = (*_ALWAYS, *MODULE_VARIABLES, *hsm.environment, *filter(None, [hsm.pin_variable]))
    return ProcessKeyProvider(
        HSM,
        PKCS11,
        pkcs11_settings(hsm),
        environment={name: os.environ[name] for name in names if name in os.environ},
        timeout=hsm.timeout / SECOND,
        creates_keys=hsm.create_key,
        world=world,
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
