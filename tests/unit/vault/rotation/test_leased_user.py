"""The names of leased users."""

import pytest

from vault.errors import ValidationError
from vault.rotation.lease_kinds import REDIS_LEASES
from vault.rotation.leased_user import LeasedUser, is_leased, user_name


def test_a_name_follows_from_the_lease_alone() -> None:
    """So a user is found again after any crash."""
    assert user_name("fh_", "lease-1") == user_name("fh_", "lease-1") == "fh_mi2h46ceb4e5oi5hnwvh"
    assert user_name("fh_", "lease-1") != user_name("fh_", "lease-2")


def test_each_server_takes_the_longest_name() -> None:
    """MySQL takes 32 characters."""
    name = user_name("abcdefghijk_", "x" * 1_000 + "'\0")
    assert len(name) == 32
    assert name.replace("_", "").isalnum()
    assert name == name.lower()


@pytest.mark.parametrize("prefix", ["", "_", "fh", "Fh_", "f-h_", "1fh_", "f'_", "abcdefghijkl_"])
def test_a_prefix_that_a_server_would_quote_is_refused(prefix: str) -> None:
    """Names need no quotes anywhere."""
    with pytest.raises(ValueError, match="a prefix has"):
        user_name(prefix, "lease")


def test_the_sweep_knows_leased_users_only() -> None:
    """A user of an operator is never dropped."""
    name = user_name("fh_x_", "lease")
    assert is_leased(name)
    assert is_leased(name, "fh_x_")
    assert not is_leased(name, "fh_")
    assert not is_leased("fh_x_somebody")
    assert not is_leased("")
    assert not is_leased("postgres")


def test_a_password_is_not_shown() -> None:
    """A leased user may be logged."""
    assert "canary" not in repr(LeasedUser("lease", "canary", 0))


def test_settings_of_a_kind_are_parsed() -> None:
    """What is wrong in them is refused with the code of leases."""
    kind = REDIS_LEASES
    assert kind.parse({"rules": ["+get"]}).rules == ("+get",)
    for config in ({}, {"rules": []}, {"rules": [">x"]}, {"rules": ["nopass"]}, {"more": 1}):
        with pytest.raises(ValidationError) as caught:
            kind.parse(config)
        assert caught.value.code == "lease_config"
