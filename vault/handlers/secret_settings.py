"""The KV settings in force for one secret: its own, then its mount's, then the default."""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from vault.errors import ValidationError
from vault.model.payloads import MAX_VERSIONS
from vault.model.records import MountRow, SecretRow

DEFAULT_VERSIONS: Final = 10  # OpenBao's KV v2 default
MAX_VALUE_BYTES: Final = 1 << 20  # bytes of one JSON value; OpenBao's storage entry bound
MAX_METADATA: Final = 64  # keys; with the two below, OpenBao's custom_metadata bounds
MAX_METADATA_KEY: Final = 128
MAX_METADATA_VALUE: Final = 512
MAX_TAGS: Final = 64


class SecretSettings(Struct, frozen=True):
    """Resolved for one write or read."""

    max_versions: int
    delete_after: int  # ns; 0: never


def resolve_settings(secret: SecretRow | None, mount: MountRow | None) -> SecretSettings:
    """Combine the settings of a secret and its mount.

    `max_versions` is the larger of the two that are set; a KV v1 mount keeps one version.
    `delete_after` is the smaller of the two that are set; a negative one switches it off.
    """
    own, its = (secret.max_versions if secret else 0), (mount.max_versions if mount else 0)
    versions = max(own, its) or DEFAULT_VERSIONS
    if mount is not None and mount.version == 1:
        versions = 1
    return SecretSettings(versions, _delete_after(secret, mount))


def cas_required(secret: SecretRow | None, mount: MountRow | None) -> bool:
    """Whether the one or the other asks for it."""
    return bool((secret and secret.cas_required) or (mount and mount.cas_required))


def _delete_after(secret: SecretRow | None, mount: MountRow | None) -> int:
    own = secret.delete_version_after if secret else 0
    its = mount.delete_version_after if mount else 0
    if own < 0 or its < 0:
        return 0
    return min(own, its) or own or its


def validate_metadata(
    metadata: dict[str, str], given: Mapping[str, str | None] | None = None
) -> dict[str, str]:
    """Return it, or raise `ValidationError` when it is over a bound.

    `given`: what of it is new, if not all: only that has to be printable, as not all that is stored
    is.
    """
    if len(metadata) > MAX_METADATA:
        raise _invalid("metadata", f"at most {MAX_METADATA} keys are allowed")
    for key, value in metadata.items():
        if not key or len(key.encode()) > MAX_METADATA_KEY:
            raise _invalid("metadata", f"a key must have 1 to {MAX_METADATA_KEY} bytes")
        if len(value.encode()) > MAX_METADATA_VALUE:
            raise _invalid("metadata", f"a value may have at most {MAX_METADATA_VALUE} bytes")
    for key, text in (metadata if given is None else given).items():
        if not (key.isprintable() and (text or "").isprintable()):  # as OpenBao has it
            raise _invalid("metadata", "a key or a value holds a character that cannot be shown")
    return metadata


def validate_tags(tags: list[str]) -> list[str]:
    """Return them sorted and without repeats, or raise `ValidationError`."""
    if len(tags) > MAX_TAGS:
        raise _invalid("tags", f"at most {MAX_TAGS} tags are allowed")
    for tag in tags:
        if not tag or len(tag.encode()) > MAX_METADATA_KEY or tag != tag.strip():
            raise _invalid("tags", f"a tag must have 1 to {MAX_METADATA_KEY} bytes, no outer space")
        if not tag.isprintable():
            raise _invalid("tags", "a tag holds a character that cannot be shown")
    return sorted(set(tags))


def validate_max_versions(count: int) -> int:
    """Return a maximum number of versions, or raise `ValidationError`."""
    if not 0 <= count <= MAX_VERSIONS:
        raise _invalid("max_versions", f"max_versions must be 0 to {MAX_VERSIONS}")
    return count


def _invalid(field: str, message: str) -> ValidationError:
    return ValidationError(f"{field}_invalid", message, field=field)
