"""Tests of the KV settings in force."""

from typing import Any

import pytest

from vault.errors import ValidationError
from vault.handlers.secret_settings import (
    MAX_METADATA,
    MAX_TAGS,
    cas_required,
    resolve_settings,
    validate_max_versions,
    validate_metadata,
    validate_tags,
)
from vault.model.payloads import MAX_VERSIONS
from vault.model.records import MountRow, SecretRow


def secret(**settings: Any) -> SecretRow:
    """A head with these settings."""
    return SecretRow(name="a/b", id="i", created_at=1, updated_at=1, created_by="x", **settings)


def mount(**settings: Any) -> MountRow:
    """A mount with these settings."""
    return MountRow(path="a/", id="i", accessor="a", created_at=1, **settings)


@pytest.mark.parametrize(
    ("own", "its", "kept"), [(0, 0, 10), (3, 0, 3), (0, 4, 4), (3, 4, 4), (5, 4, 5)]
)
def test_versions(own: int, its: int, kept: int) -> None:
    """The larger of the two that are set, else ten, as in KV v2."""
    found = resolve_settings(secret(max_versions=own), mount(max_versions=its))
    assert found.max_versions == kept


def test_kv1_keeps_one_version() -> None:
    """Whatever is set."""
    assert resolve_settings(secret(max_versions=5), mount(version=1)).max_versions == 1


@pytest.mark.parametrize(
    ("own", "its", "after"),
    [(0, 0, 0), (7, 0, 7), (0, 5, 5), (7, 5, 5), (3, 5, 3), (-1, 5, 0), (7, -1, 0)],
)
def test_delete_after(own: int, its: int, after: int) -> None:
    """The smaller of the two that are set; a negative one switches it off."""
    found = resolve_settings(secret(delete_version_after=own), mount(delete_version_after=its))
    assert found.delete_after == after


@pytest.mark.parametrize(("own", "its"), [(True, False), (False, True), (True, True)])
def test_cas_is_required_by_either(*, own: bool, its: bool) -> None:
    """A secret cannot lift what its mount demands."""
    assert cas_required(secret(cas_required=own), mount(cas_required=its))
    assert not cas_required(None, None)


@pytest.mark.parametrize(
    "metadata",
    [
        {str(n): "" for n in range(MAX_METADATA + 1)},
        {"": "x"},
        {"k" * 129: "x"},
        {"é" * 65: "x"},
        {"k": "v" * 513},
        {"k\n": "v"},
        {"k": "\x01"},
    ],
)
def test_metadata_bounds(metadata: dict[str, str]) -> None:
    """Number of keys, bytes of a key (not characters) and of a value; all of it can be shown."""
    with pytest.raises(ValidationError) as caught:
        validate_metadata(metadata)
    assert caught.value.details["field"] == "metadata"


@pytest.mark.parametrize(
    "tags", [[str(n) for n in range(MAX_TAGS + 1)], [""], [" a"], ["a "], ["é" * 65], ["a\tb"]]
)
def test_tag_bounds(tags: list[str]) -> None:
    """Number, bytes, and no outer space in which two tags could differ unseen."""
    with pytest.raises(ValidationError):
        validate_tags(tags)


def test_what_is_within_bounds_passes() -> None:
    """The largest of everything; tags come back sorted and without repeats."""
    full = {str(n).rjust(128, "k"): "v" * 512 for n in range(MAX_METADATA)}
    assert validate_metadata(full) == full
    assert validate_tags(["b", "a", "b"]) == ["a", "b"]
    assert validate_max_versions(MAX_VERSIONS) == MAX_VERSIONS


@pytest.mark.parametrize("count", [-1, MAX_VERSIONS + 1])
def test_version_bounds(count: int) -> None:
    """One write prunes a bounded number."""
    with pytest.raises(ValidationError):
        validate_max_versions(count)
