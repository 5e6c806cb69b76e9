"""A control plane's bundle: read, kept and recalled."""

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from protocols.link.bundle import ZERO_HASH, AcceptedVersion, Bundle, VerifiedBundle
from vault.authz.policy_bundle import NO_POLICY_BUNDLE, bundle_document, load_bundle, parse_bundle
from vault.errors import UnavailableError, ValidationError
from vault.model.link_ports import PolicyTrust

TRUST = PolicyTrust("acme", "prod", b"k" * 32, "sha256:authority")
RULE = {"effect": "allow", "paths": ["secret/*"], "capabilities": ["read"]}


def accepted(*documents: Any, version: int = 3) -> VerifiedBundle:
    """A bundle whose signature was checked."""
    rules = tuple(d if isinstance(d, bytes) else msgspec.json.encode(d) for d in documents)
    bundle = Bundle(
        org="acme",
        vault="*",
        version=version,
        prev_hash=ZERO_HASH,
        not_before=1,
        expires=9,
        rules=rules,
    )
    return VerifiedBundle(bundle, b"h" * 32)


def test_what_is_kept_is_recalled() -> None:
    """A bundle survives its row unchanged, and stands for its agent alone."""
    fleet = parse_bundle(TRUST, accepted({"name": "app", "rules": [RULE]}))
    assert load_bundle(bundle_document(fleet)) == fleet
    assert fleet.stored_for(TRUST) == AcceptedVersion(3, b"h" * 32)
    assert NO_POLICY_BUNDLE.stored_for(TRUST) == AcceptedVersion()


@pytest.mark.parametrize(
    "change", [{"org": "x"}, {"vault": "x"}, {"key": b"t" * 32}, {"authority": "sha256:other"}]
)
def test_a_bundle_of_another_enrolment_holds_no_version(change: dict[str, Any]) -> None:
    """Enrolled elsewhere, also under the same names, the first bundle counts again."""
    fleet = parse_bundle(TRUST, accepted({"name": "app", "rules": [RULE]}))
    elsewhere = replace(TRUST, **change)
    assert not fleet.is_from(elsewhere)
    assert fleet.stored_for(elsewhere) == AcceptedVersion()


def test_a_row_of_before_is_of_whoever_has_its_names() -> None:
    """Where it came from was not noted: it holds its version as it did then."""
    row = bundle_document(parse_bundle(TRUST, accepted({"name": "app"})))
    del row["key"], row["authority"]
    fleet = load_bundle(row)
    assert (fleet.key, fleet.authority) == (b"", "")
    assert fleet.stored_for(TRUST) == AcceptedVersion(3, b"h" * 32)
    assert fleet.stored_for(replace(TRUST, key=b"t" * 32)) == AcceptedVersion(3, b"h" * 32)
    assert fleet.stored_for(replace(TRUST, org="other")) == AcceptedVersion()


def test_an_enrolment_of_before_knows_no_authority() -> None:
    """Names and key decide until it enrols again."""
    fleet = parse_bundle(replace(TRUST, authority=""), accepted({"name": "app"}))
    assert fleet.stored_for(TRUST) == AcceptedVersion(3, b"h" * 32)
    assert fleet.stored_for(replace(TRUST, key=b"t" * 32)) == AcceptedVersion()


@pytest.mark.parametrize(
    "documents",
    [
        (b"no json",),
        (b"\xff\xfe",),
        (b'{"name":"app","description":"\xff"}',),
        (b'{"name":"app","rules":' + b"[" * 900 + b"]" * 900 + b"}",),
        (b"[" * 100_000,),
        ({"name": "root", "rules": []},),
        ({"name": "app", "rules": [{**RULE, "paths": ["a/../b"]}]},),
        ({"name": "app"}, {"name": "APP"}),
    ],
)
def test_a_rule_that_is_not_understood_refuses_the_bundle(documents: tuple[Any, ...]) -> None:
    """Skipping one could drop a denial."""
    with pytest.raises(ValidationError):
        parse_bundle(TRUST, accepted(*documents))


@pytest.mark.parametrize("change", [{"rules": ["no json"]}, {"hash": "!"}, {"more": 1}])
def test_a_row_that_is_not_understood_keeps_the_vault_shut(change: dict[str, Any]) -> None:
    """Better no data path than a wider one."""
    row = bundle_document(parse_bundle(TRUST, accepted({"name": "app"})))
    with pytest.raises(UnavailableError):
        load_bundle({**row, **change})
