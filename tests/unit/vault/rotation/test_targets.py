"""What targets have in common: passwords, pairs of users, time, TLS, and when a library loads."""

import subprocess
import sys
from pathlib import Path

import pytest

from vault.crypto.mysql_verifier import native_password_verifier
from vault.rotation.rotator import RotationContext, RotationError, TargetAccess
from vault.rotation.rotators.dual_user import UserRotator, credentials, pair_of
from vault.rotation.rotators.postgresql import PostgresqlConfig
from vault.rotation.targets.access import deadline_of, tls_files
from vault.rotation.targets.password import PasswordRules


def chance(count: int) -> bytes:
    """Bytes that are the same each time."""
    return bytes(index * 37 % 256 for index in range(count))


def context() -> RotationContext:
    """Of a rotation at no target."""
    return RotationContext("r", 1, 1.0, {}, chance)


def test_a_password_has_the_length_and_the_alphabet() -> None:
    """As the operator's rules have them."""
    rules = PasswordRules(length=20, alphabet="abcdefghijkl")
    password = rules.generate(chance)
    assert len(password) == 20
    assert set(password) <= set("abcdefghijkl")


def test_no_character_is_favored() -> None:
    """64 is no multiple of 62: the bytes above 247, whose first six bits are 62 or 63, go."""
    drawn = iter([*range(248, 256), *range(256)])
    rules = PasswordRules(length=128)
    password = rules.generate(lambda _: bytes([next(drawn)]))
    assert password == "".join(4 * sign for sign in rules.alphabet[:32])


@pytest.mark.parametrize(
    "rules",
    [
        {"length": 15},
        {"length": 129},
        {"alphabet": "abc"},
        {"alphabet": "aabcdefghijk"},
        {"alphabet": "abcdefghijk "},
        {"alphabet": "abcdefghijkü"},
    ],
)
def test_weak_rules_are_refused(rules: dict[str, object]) -> None:
    """And characters that not every client can send."""
    with pytest.raises(ValueError):  # noqa: PT011
        PasswordRules(**rules)  # type: ignore[arg-type]


def test_users_take_turns() -> None:
    """The next one is the one that no application uses."""
    pair = UserRotator(PostgresqlConfig(user="app"))
    first = pair.create(context(), {})
    second = pair.create(context(), first)
    third = pair.create(context(), second)
    turns = [value["username"] for value in (first, second, third)]
    assert turns == ["app_a", "app_b", "app_a"]
    assert pair.create(context(), {"username": "somebody"})["username"] == "app_a"
    single = UserRotator(PostgresqlConfig(user="app", mode="single"))
    assert single.create(context(), first)["username"] == "app"


@pytest.mark.parametrize(
    ("users", "user", "mode"),
    [
        ((), "", "dual"),
        (("a",), "", "dual"),
        (("a", "a"), "", "dual"),
        (("a", "b", "c"), "", "dual"),
        (("a", "b"), "a", "dual"),
        (("a", "b"), "", "single"),
    ],
)
def test_users_that_mean_nothing_are_refused(users: tuple[str, ...], user: str, mode: str) -> None:
    """A policy is refused as it is written."""
    with pytest.raises(ValueError):  # noqa: PT011
        pair_of(users, user, mode)


@pytest.mark.parametrize("value", [{}, {"username": "a"}, {"username": "c", "password": "x"}])
def test_a_value_of_somebody_else_is_refused(value: dict[str, str]) -> None:
    """A rotator changes its own users only."""
    with pytest.raises(RotationError) as caught:
        credentials(value, ("a", "b"))
    assert (caught.value.code, caught.value.is_final) == ("value_invalid", True)


def test_a_deadline_ends() -> None:
    """The time is over for all that comes after."""
    now = 100.0
    deadline = deadline_of(TargetAccess({}, 5.0, lambda: now))
    now = 103.0
    assert deadline.left() == 2.0
    now = 105.0
    with pytest.raises(RotationError) as caught:
        deadline.left()
    assert (caught.value.code, caught.value.is_final) == ("target_unreachable", False)


def test_tls_is_left_out_on_this_machine_only() -> None:
    """To another machine there is no way without it."""
    with tls_files({}, is_local=True) as tls:
        assert tls is None
    with tls_files({}, is_local=False) as tls:
        assert tls is not None
        assert tls.ca_file is None  # the system's


@pytest.mark.parametrize("has_memory_files", [True, False])
def test_keys_are_files_of_the_agent_alone_and_go_with_the_block(
    has_memory_files: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In memory where the system has such files."""
    if not has_memory_files:
        monkeypatch.delattr("os.memfd_create")
    fields = {"ca_certificate": "ca", "client_certificate": "crt", "client_key": "key"}
    with tls_files(fields, is_local=True) as tls:
        assert tls is not None
        files = [tls.ca_file, tls.cert_file, tls.key_file]
        assert [file.read_text() for file in files if file] == ["ca", "crt", "key"]
        assert all(file and file.stat().st_mode & 0o777 == 0o600 for file in files)
    assert not any(file and file.exists() for file in files)


def test_the_verifier_of_mysql() -> None:
    """What `SELECT PASSWORD('password')` gives."""
    assert native_password_verifier("password") == "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19"


def test_a_library_is_imported_when_its_kind_is_used() -> None:
    """An agent without rotations pays nothing for them."""
    libraries = ("psycopg", "pymysql", "ldap", "pyasn1")
    modules = ", ".join(
        f"vault.rotation.rotators.{path.stem}"
        for path in Path("vault/rotation/rotators").glob("[a-z]*.py")
    )
    loaded = f"[name for name in {libraries} if name in sys.modules]"
    code = f"import sys, vault.rotation.lease_kinds, {modules}; print({loaded})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
