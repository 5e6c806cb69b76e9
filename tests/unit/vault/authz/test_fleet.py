"""A control plane's bundle: read, kept and recalled."""

from typing import Any

import msgspec
import pytest

from protocols.link.bundle import NO_BUNDLE, Accepted, Bundle, Stored
from vault.authz.fleet import NO_FLEET, keep, read, recall
from vault.errors import UnavailableError, ValidationError

RULE = {"effect": "allow", "paths": ["secret/*"], "capabilities": ["read"]}


def accepted(*documents: Any, version: int = 3) -> Accepted:
    """A bundle whose signature was checked."""
    rules = tuple(d if isinstance(d, bytes) else msgspec.json.encode(d) for d in documents)
    bundle = Bundle(
        org="acme",
        vault="*",
        version=version,
        prev_hash=NO_BUNDLE,
        not_before=1,
        expires=9,
        rules=rules,
    )
    return Accepted(bundle, b"h" * 32)


def test_what_is_kept_is_recalled() -> None:
    """A bundle survives its row unchanged, and stands for its agent alone."""
    fleet = read("acme", "prod", accepted({"name": "app", "rules": [RULE]}))
    assert recall(keep(fleet)) == fleet
    assert fleet.stored("acme", "prod") == Stored(3, b"h" * 32)
    assert fleet.stored("acme", "other") == Stored()
    assert NO_FLEET.stored("acme", "prod") == Stored()


@pytest.mark.parametrize(
    "documents",
    [
        (b"no json",),
        (b"\xff\xfe",),
        ({"name": "root", "rules": []},),
        ({"name": "app", "rules": [{**RULE, "paths": ["a/../b"]}]},),
        ({"name": "app"}, {"name": "APP"}),
    ],
)
def test_a_rule_that_is_not_understood_refuses_the_bundle(documents: tuple[Any, ...]) -> None:
    """Skipping one could drop a denial."""
    with pytest.raises(ValidationError):
        read("acme", "prod", accepted(*documents))


@pytest.mark.parametrize("change", [{"rules": ["no json"]}, {"hash": "!"}, {"more": 1}])
def test_a_row_that_is_not_understood_keeps_the_vault_shut(change: dict[str, Any]) -> None:
    """Better no data path than a wider one."""
    row = keep(read("acme", "prod", accepted({"name": "app"})))
    with pytest.raises(UnavailableError):
        recall({**row, **change})
