"""Groups of a login by JWT: what the role's claim says, or nothing."""

import pytest

from vault.authn.jwt.compact import InvalidTokenError
from vault.authn.methods.jwt_mounts import JwtRole, result_of

CLAIMS = {"sub": "ann", "groups": ["barred"]}


def test_a_role_without_groups_says_nothing_of_them() -> None:
    """Else whoever is denied something by a group chose such a role, and left the group."""
    with_groups = JwtRole(user_claim="sub", groups_claim="groups")
    assert result_of("a", with_groups, CLAIMS).groups == ("barred",)
    assert result_of("a", with_groups, {**CLAIMS, "groups": []}).groups == ()
    assert result_of("a", JwtRole(user_claim="sub"), CLAIMS).groups is None
    with pytest.raises(InvalidTokenError):  # leaving the claim out is no way around either
        result_of("a", with_groups, {"sub": "ann"})
