"""Each condition: when it holds, when it does not, and when it cannot be decided."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from protocols.instant import SECOND
from vault.authz.access import AccessRequest
from vault.authz.conditions import UndecidableError, compile_check, condition_needs_facts
from vault.authz.policy import policy_document, validate_policy
from vault.errors import ValidationError
from vault.model.operation import SecretFacts

CONTROLLED = """path "a" {
  capabilities = ["read"]
  control_group = {
    factor "two" {
      controlled_capabilities = ["read"]
      identity { group_names = ["g"] approvals = 1 }
    }
  }
}"""
Make = Callable[..., AccessRequest]


def _condition(**written: Any) -> Any:
    return validate_policy({"name": "p", "conditions": [written]}).conditions[0]


def _holds(access: AccessRequest, **written: Any) -> bool:
    return compile_check(_condition(**written))(access)


def _at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 10**9


@pytest.mark.parametrize(
    ("when", "inside"),
    [
        ("2026-11-23T08:00:00", True),  # a Monday
        ("2026-11-23T07:59:59", False),
        ("2026-11-23T17:59:59", True),
        ("2026-11-23T18:00:00", False),
        ("2026-11-22T12:00:00", False),
    ],
)
def test_time_window(make_access: Make, when: str, inside: bool) -> None:
    """`from` is inside, `to` is not, other days are not."""
    window = {"type": "time_window", "days": ["mon", "tue"], "from": "08:00", "to": "18:00"}
    assert _holds(make_access(now=_at(when)), **window) is inside
    assert _holds(make_access(now=_at(when)), **window, **{"not": True}) is not inside


def test_time_window_to_the_nanosecond(make_access: Make) -> None:
    """The last nanosecond before the window is outside, the next is inside."""
    window = {"type": "time_window", "from": "08:00", "to": "18:00"}
    edge = _at("2026-11-23T08:00:00")
    assert [_holds(make_access(now=edge + d), **window) for d in (-1, 0)] == [False, True]


@pytest.mark.parametrize(
    ("when", "inside"),
    [
        ("2026-11-27T22:00:00", True),  # Friday evening
        ("2026-11-28T05:59:00", True),  # and the night after it
        ("2026-11-28T06:00:00", False),
        ("2026-11-28T22:00:00", False),  # Saturday evening
        ("2026-11-27T05:00:00", False),  # the night that Thursday began
    ],
)
def test_over_midnight(make_access: Make, when: str, inside: bool) -> None:
    """A window over midnight belongs to the day on which it began."""
    window = {"type": "time_window", "days": ["fri"], "from": "22:00", "to": "06:00"}
    assert _holds(make_access(now=_at(when)), **window) is inside


def test_time_zone_and_summer_time(make_access: Make) -> None:
    """The wall clock of the zone counts, summer time included."""
    window = {"type": "time_window", "from": "08:00", "to": "09:00", "tz": "Europe/Berlin"}
    assert _holds(make_access(now=_at("2026-07-01T06:30:00")), **window)
    assert _holds(make_access(now=_at("2026-12-01T07:30:00")), **window)
    assert not _holds(make_access(now=_at("2026-12-01T06:30:00")), **window)


def test_whole_day(make_access: Make) -> None:
    """24:00 ends the day, so that its last minute is inside."""
    assert _holds(make_access(now=_at("2026-12-01T23:59:59")), type="time_window")


@pytest.mark.parametrize(
    ("ip", "inside"),
    [
        ("10.255.0.1", True),
        ("11.0.0.1", False),
        ("::ffff:10.0.0.1", True),
        ("::ffff:11.0.0.1", False),
        ("::ffff:192.168.1.1", True),
        ("2001:db8::1", True),
        ("2001:db9::1", False),
        ("::1", False),
    ],
)
def test_source_network(make_access: Make, ip: str, inside: bool) -> None:
    """IPv4 and IPv6 networks; mapped addresses and networks count as the IPv4 they map."""
    networks = ["10.0.0.0/8", "::ffff:192.168.0.0/112", "2001:db8::/32"]
    assert _holds(make_access(ip=ip), type="source_network", networks=networks) is inside


@pytest.mark.parametrize("ip", ["", "unix:", "10.0.0", "localhost", "010.0.0.1"])
@pytest.mark.parametrize("negate", [False, True])
def test_unknown_address(make_access: Make, ip: str, negate: bool) -> None:
    """What is no address can neither be inside nor, turned round, outside."""
    with pytest.raises(UndecidableError):
        _holds(make_access(ip=ip), type="source_network", networks=["::/0"], **{"not": negate})


def test_time_out_of_range(make_access: Make) -> None:
    """An instant that no calendar has is undecidable, not an error."""
    with pytest.raises(UndecidableError):
        _holds(make_access(now=10**30), type="time_window", tz="Europe/Berlin")


def test_auth_method_and_mfa(make_access: Make) -> None:
    """The method is one of those named; MFA is as the identity says."""
    assert _holds(make_access(method="api_key"), type="auth_method", methods=["api_key", "jwt"])
    assert not _holds(make_access(method="token"), type="auth_method", methods=["api_key"])
    assert _holds(make_access(mfa_at=1), type="mfa_present")
    assert not _holds(make_access(), type="mfa_present")
    assert _holds(make_access(), type="mfa_present", **{"not": True})


@pytest.mark.parametrize(
    ("tags", "written", "result"),
    [
        ("a", {"any": ["a", "b"]}, True),
        ("c", {"any": ["a", "b"]}, False),
        ("", {"any": ["a"]}, False),
        ("ab", {"all": ["a", "b"]}, True),
        ("a", {"all": ["a", "b"]}, False),
        ("", {"none": ["a"]}, True),
        ("ab", {"any": ["b"], "none": ["a"]}, False),
        ("ab", {"any": ["b"], "all": ["a"], "none": ["c"]}, True),
    ],
)
def test_tags(make_access: Make, tags: str, written: dict[str, Any], result: bool) -> None:
    """All the parts that are given must hold; a secret without tags has none of them."""
    access = make_access(facts=SecretFacts(exists=True, tags=frozenset(tags)))
    assert _holds(access, type="tags", **written) is result


def test_metadata(make_access: Make) -> None:
    """Equality with one value or membership among several; an absent key equals nothing."""
    access = make_access(facts=SecretFacts(exists=True, metadata={"team": "a", "empty": ""}))
    assert _holds(access, type="metadata", key="team", equals="a")
    assert _holds(access, type="metadata", key="empty", equals="")
    assert _holds(access, type="metadata", key="team", **{"in": ["b", "a"]})
    assert not _holds(access, type="metadata", key="team", equals="A")
    assert not _holds(access, type="metadata", key="absent", equals="")
    assert not _holds(access, type="metadata", key="absent", **{"in": ["a"]})


@pytest.mark.parametrize(
    ("age", "written", "holds"),
    [
        (None, {}, False),
        (0, {}, True),
        (10**6 * SECOND, {}, True),
        (0, {"max_age": "15m"}, True),
        (900 * SECOND, {"max_age": "15m"}, True),
        (900 * SECOND + 1, {"max_age": "15m"}, False),
        (900 * SECOND + 1, {"max_age": 901}, True),
        (-300 * SECOND, {"max_age": "15m"}, True),  # by the clock of another agent
        (-300 * SECOND - 1, {"max_age": "15m"}, False),
        (None, {"max_age": "15m"}, False),
    ],
)
def test_the_age_of_a_second_factor(
    make_access: Make, age: int | None, written: dict[str, Any], holds: bool
) -> None:
    """To the nanosecond; never shown is no age."""
    now = 1_800_000_000 * SECOND
    access = make_access(now=now, mfa_at=0 if age is None else now - age)
    assert _holds(access, type="mfa_present", **written) is holds
    assert _holds(access, type="mfa_present", **written, **{"not": True}) is not holds


@pytest.mark.parametrize("age", ["0s", 0, -1, "-15m", "soon", "367d", ""])
def test_an_age_that_is_none_is_refused(age: Any) -> None:
    """It would hold for nobody, or for everybody."""
    with pytest.raises(ValidationError, match="max_age"):
        validate_policy({"name": "p", "conditions": [{"type": "mfa_present", "max_age": age}]})


def test_needs_facts() -> None:
    """Only tags and metadata ask about the secret itself."""
    asks = [
        condition_needs_facts(_condition(**written))
        for written in (
            {"type": "tags", "any": ["a"]},
            {"type": "metadata", "key": "k", "equals": "v"},
            {"type": "mfa_present"},
            {"type": "source_network", "networks": ["::/0"]},
        )
    ]
    assert asks == [True, True, False, False]


@pytest.mark.parametrize(
    ("document", "is_new"),
    [
        ({"conditions": [{"type": "mfa_present"}]}, False),
        ({"conditions": [{"type": "mfa_present", "max_age": 60}]}, True),
        ({"cas_required": False}, True),
        ({"acl": 'path "a" { capabilities = ["read"] }'}, False),
        ({"acl": CONTROLLED}, True),
    ],
)
def test_what_older_nodes_cannot_read(document: dict[str, Any], is_new: bool) -> None:
    """What did not exist before is in the document of no other policy."""
    policy = validate_policy({"name": "p", **document})
    assert (policy.level > 0) == is_new
    if not is_new:
        written = policy_document(policy)
        assert "cas_required" not in written
        assert all("max_age" not in one for one in written["conditions"])
