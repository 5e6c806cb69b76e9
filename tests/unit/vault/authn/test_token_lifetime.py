"""How long a token lives: OpenBao's arithmetic and words, to the nanosecond."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.authn.token_lifetime import MAX_TTL, grant_lifetime, renew_lifetime
from vault.errors import ValidationError
from vault.model.records import TokenRow

SECOND = 10**9
HOUR = 3600 * SECOND
MINUTE = 60 * SECOND
START = 1_000_000 * HOUR


def _grant(**asked: Any) -> tuple[int, int, tuple[str, ...]]:
    life = grant_lifetime(**{"ttl": 0, "explicit_max_ttl": 0, "period": 0, "root": False} | asked)
    return life.ttl, life.period, life.warnings


def _row(**fields: Any) -> TokenRow:
    return TokenRow(
        **{
            "id": "t", "accessor": "a", "secret_hash": b"", "created_at": START,
            "issued_at": START, "ttl": HOUR, "expires_at": START + HOUR,
        }
        | fields
    )  # fmt: skip


def _warning(what: str, wanted: str, most: str) -> str:
    return (
        f'{what} of "{wanted}" exceeded the effective max_ttl of "{most}"; '
        f"{what} value is capped accordingly"
    )


@pytest.mark.parametrize(
    ("asked", "ttl", "warning"),
    [
        ({}, MAX_TTL, None),
        ({"ttl": 1}, 1, None),
        ({"ttl": HOUR}, HOUR, None),
        ({"ttl": MAX_TTL}, MAX_TTL, None),
        (
            {"ttl": 10000 * HOUR},
            MAX_TTL,
            ("TTL", "10000h", "768h"),
        ),
        (
            {"explicit_max_ttl": 10 * MINUTE},
            10 * MINUTE,
            ("TTL", "768h", "10m"),
        ),
        ({"explicit_max_ttl": 9000 * HOUR}, MAX_TTL, None),
        (
            {"explicit_max_ttl": 9000 * HOUR, "ttl": 9000 * HOUR},
            MAX_TTL,
            ("TTL", "9000h", "768h"),
        ),
        (
            {"period": 9000 * HOUR},
            MAX_TTL,
            ("period", "9000h", "768h"),
        ),
        (
            {"period": HOUR, "explicit_max_ttl": 30 * MINUTE},
            30 * MINUTE,
            ("period", "1h", "30m"),
        ),
        ({"period": HOUR, "ttl": 2 * HOUR}, HOUR, None),
        ({"root": True}, 0, None),
        ({"root": True, "ttl": HOUR}, HOUR, None),
        ({"root": True, "explicit_max_ttl": HOUR, "ttl": HOUR}, HOUR, None),
    ],
)
def test_grant(asked: dict[str, Any], ttl: int, warning: tuple[str, str, str] | None) -> None:
    """What is granted, and the warning when it is less than was asked for."""
    found = _grant(**asked)
    assert found[0] == ttl
    assert found[2] == (() if warning is None else (_warning(*warning),))


@pytest.mark.parametrize("name", ["ttl", "explicit_max_ttl", "period"])
def test_negative(name: str) -> None:
    """A negative part is refused by name."""
    with pytest.raises(ValidationError, match=f"{name} must be positive"):
        _grant(**{name: -1})


def test_only_root_never_ends() -> None:
    """Whatever is asked for, a token that is not root gets an end; root with a maximum does too."""
    assert _grant(root=True, explicit_max_ttl=HOUR)[0] == HOUR
    assert _grant()[0] > 0


@given(
    st.integers(0, 2 * MAX_TTL),
    st.integers(0, 2 * MAX_TTL),
    st.integers(0, 2 * MAX_TTL),
    st.lists(st.tuples(st.integers(0, MAX_TTL), st.integers(0, 2 * MAX_TTL)), max_size=8),
)
def test_no_renewal_beats_the_maximum(
    ttl: int, most: int, period: int, renewals: list[tuple[int, int]]
) -> None:
    """However a token is renewed, it ends by its maximum; a periodic one within its period."""
    life = grant_lifetime(ttl=ttl, explicit_max_ttl=most, period=period, root=False)
    row = _row(
        ttl=life.ttl,
        period=life.period,
        explicit_max_ttl=most,
        expires_at=START + life.ttl,
    )
    now = START
    for pause, increment in renewals:
        now += pause
        if now >= row.expires_at:
            break
        row, _ = renew_lifetime(row, increment, now)
        assert row.expires_at >= now
        assert row.expires_at - now <= MAX_TTL
    assert most == 0 or row.expires_at <= START + most
    assert life.period or row.expires_at <= START + MAX_TTL


def test_renewal() -> None:
    """A renewal counts from now, for the ttl, the increment, or what is left of the maximum."""
    now = START + HOUR // 2
    assert renew_lifetime(_row(), 0, now)[0].expires_at == now + HOUR
    assert renew_lifetime(_row(), SECOND, now)[0].expires_at == now + SECOND
    capped, warnings = renew_lifetime(_row(explicit_max_ttl=HOUR), 2 * HOUR, now)
    assert capped.expires_at == START + HOUR
    assert warnings == (_warning("TTL", "2h", "30m"),)
    periodic = _row(period=2 * HOUR)
    assert (
        renew_lifetime(periodic, 9 * HOUR, START + 5000 * HOUR)[0].expires_at == START + 5002 * HOUR
    )


@pytest.mark.parametrize(
    "fields", [{"renewable": False}, {"expires_at": 0, "ttl": 0}], ids=["renewable", "root"]
)
def test_not_renewable(fields: dict[str, Any]) -> None:
    """A token that was made so, or that never ends, cannot be renewed."""
    with pytest.raises(ValidationError, match="lease is not renewable"):
        renew_lifetime(_row(**fields), 0, START)


def test_negative_increment() -> None:
    """An increment is not negative."""
    with pytest.raises(ValidationError, match="negative"):
        renew_lifetime(_row(), -1, START)
