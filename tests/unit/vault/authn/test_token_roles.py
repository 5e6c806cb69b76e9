"""What a token role lets a request for a token be."""

import pytest

from vault.authn.methods.token_roles import RoleRequest, TokenRole
from vault.authn.tokens import NewToken
from vault.model.identity import Identity, Method

HOUR = 3600 * 10**9


def test_whether_there_is_a_parent_is_the_roles_to_say() -> None:
    """A caller without sudo would else have a token that outlives his own."""
    applied = RoleRequest("r", TokenRole(orphan=False)).applied(NewToken(no_parent=True))
    assert not applied.no_parent


@pytest.mark.parametrize(
    ("role", "asked", "granted"),
    [(0, HOUR, HOUR), (HOUR, 0, HOUR), (HOUR, 2 * HOUR, HOUR), (2 * HOUR, HOUR, HOUR)],
)
def test_the_lesser_bound_counts(role: int, asked: int, granted: int) -> None:
    """Of the period and of the longest life."""
    request = RoleRequest("r", TokenRole(token_period=role, token_explicit_max_ttl=role))
    applied = request.applied(NewToken(period=asked, explicit_max_ttl=asked))
    assert (applied.period, applied.explicit_max_ttl) == (granted, granted)


def test_two_bounds_are_worth_a_remark() -> None:
    """In OpenBao's words; one bound is none."""
    role = RoleRequest("r", TokenRole(token_period=HOUR, token_explicit_max_ttl=3 * HOUR))
    assert role.remarks(NewToken()) == ()
    assert role.remarks(NewToken(period=2 * HOUR, explicit_max_ttl=2 * HOUR)) == (
        (
            "Explicit max TTL specified both during creation call and in role; using the lesser "
            "value of 7200 seconds"
        ),
        (
            "Period specified both during creation call and in role; using the lesser value of "
            "3600 seconds"
        ),
    )


@pytest.mark.parametrize(
    ("role", "asked", "granted"),
    [
        (TokenRole(token_no_default_policy=True, allowed_policies=("a", "default")), {},
         ("a", "default")),
        (TokenRole(token_no_default_policy=True, allowed_policies=("a",)), {}, ("a",)),
        (TokenRole(token_no_default_policy=True), {"policies": ("app",)}, ("app",)),
        (TokenRole(allowed_policies=("a", "default")), {"no_default_policy": True}, ("a",)),
        (TokenRole(allowed_policies=("a",)), {}, ("a", "default")),
    ],
)  # fmt: skip
def test_the_default_policy(
    role: TokenRole, asked: dict[str, object], granted: tuple[str, ...]
) -> None:
    """A role leaves it out of what it adds, a request out of what it gets."""
    caller = Identity(id="u", name="u", method=Method.TOKEN, policies=("app", "ops"))
    request = RoleRequest("r", role)
    new = request.applied(NewToken(**asked))  # type: ignore[arg-type]
    assert request.choose(caller, new, sudo=False) == granted
