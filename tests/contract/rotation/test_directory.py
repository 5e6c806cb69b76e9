"""What the rotator of directories promises beyond the contract of all."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.contract.rotation.targets import CANARY, LDAP_ACCESS, LdapTarget, unique
from tests.support.certificates import Authority
from tests.support.slapd import SUFFIX, slapd
from vault.connections.ldap import parse_ldap_address
from vault.errors import ValidationError
from vault.rotation.rotator import RotationError
from vault.rotation.rotators import ldap as ldap_rotator
from vault.rotation.targets.ldap import log_in


@pytest.fixture
def directory(servers: dict[str, Callable[[], LdapTarget]]) -> LdapTarget:
    """A target on slapd."""
    return servers["ldap"]()


def code_of(call: Callable[..., object], *args: object) -> str:
    """The code of the error that the call raises, which shows no password."""
    with pytest.raises(RotationError) as caught:
        call(*args)
    assert CANARY not in str(caught.value)
    return caught.value.code


def entry(directory: LdapTarget, dn: str, field: str) -> list[bytes]:
    """The values of a field of an entry."""
    connection = directory.server.connect()
    [(_, fields)] = connection.search_s(dn, 0, "(objectClass=*)", [field])
    connection.unbind()
    values: list[bytes] = fields.get(field, [])
    return values


def test_the_directory_hashes_the_password(directory: LdapTarget) -> None:
    """The operation of RFC 3062 leaves the storage to the directory."""
    rotator, context = directory.rotator(), directory.context()
    value = rotator.create(context, {})
    rotator.apply(context, value)
    [stored] = entry(directory, value["username"], "userPassword")
    assert stored.startswith(b"{SSHA}")


def test_the_fence_leaves_other_values_of_its_attribute(directory: LdapTarget) -> None:
    """An administrator's own description of an entry stays."""
    dn = directory.names[0]
    connection = directory.server.connect()
    connection.modify_s(dn, [(0, "description", [b"billing, ask Ana"])])
    connection.unbind()
    rotator = directory.rotator()
    value = rotator.create(directory.context(), {})
    for fence in (5, 9):
        rotator.apply(directory.context(fence), value)
    assert set(entry(directory, dn, "description")) == {b"billing, ask Ana", b"freehold fence=9"}


def test_without_a_fence_any_holder_changes_it(directory: LdapTarget) -> None:
    """That is what the setting says."""
    rotator = directory.rotator(fence_attribute="")
    value = rotator.create(directory.context(), {})
    for fence in (5, 4):
        rotator.apply(directory.context(fence), value)
    assert entry(directory, value["username"], "description") == []


def test_active_directory_gets_the_quoted_password(directory: LdapTarget) -> None:
    """In UTF-16 and quotes, in one modification with the fence."""
    rotator = directory.rotator(active_directory=True)
    value = rotator.create(directory.context(3), {})
    rotator.apply(directory.context(3), value)
    quoted = f'"{value["password"]}"'.encode("utf-16-le")
    assert entry(directory, value["username"], "unicodePwd") == [quoted]
    assert code_of(rotator.apply, directory.context(2), value) == "fence_stale"


def test_the_mode_single(directory: LdapTarget) -> None:
    """The password changes in place, and retiring the old one changes nothing."""
    rotator = directory.rotator(users=[], user=directory.names[0], mode="single")
    first = rotator.create(directory.context(), {})
    rotator.apply(directory.context(), first)
    second = rotator.create(directory.context(2), first)
    rotator.apply(directory.context(2), second)
    rotator.verify(directory.context(2), second)
    rotator.retire(directory.context(2), first)
    assert first["username"] == second["username"]
    assert not directory.accepts(first)
    assert directory.accepts(second)


@pytest.mark.parametrize("fence", ["", "description"])
def test_an_entry_that_is_missing_is_named(directory: LdapTarget, fence: str) -> None:
    """The operator learns which entry to create, with and without a fence."""
    names = [f"uid={unique('missing')},{SUFFIX}", f"uid={unique('missing')},{SUFFIX}"]
    rotator = directory.rotator(users=names, fence_attribute=fence)
    value = rotator.create(directory.context(), {})
    assert code_of(rotator.apply, directory.context(), value) == "user_missing"


@pytest.mark.parametrize("name", ["no name=", "uid=a,,=", "uid==,"])
def test_a_name_that_is_none_is_named(directory: LdapTarget, name: str) -> None:
    """The directory parses names: its refusal is told as one."""
    rotator = directory.rotator(users=[name, "uid=other"])
    value = rotator.create(directory.context(), {})
    assert code_of(rotator.apply, directory.context(), value) == "name_invalid"


@pytest.mark.parametrize(
    "text", ["a,b", "a+b", "a=b", 'a"b', "a\\b", "a;b", "<a>", "#a", "ü", "a*)(b"]
)
def test_hostile_names_are_names(directory: LdapTarget, text: str) -> None:
    """A name that is escaped as RFC 4514 has it is that entry."""
    from ldap.dn import escape_dn_chars

    names = [f"uid={escape_dn_chars(unique(text))},{SUFFIX}" for _ in "ab"]
    for name in names:
        directory.add(name)
    rotator, context = directory.rotator(users=names), directory.context()
    value = rotator.create(context, {})
    rotator.apply(context, value)
    rotator.verify(context, value)


def test_a_missing_permission_is_named(directory: LdapTarget) -> None:
    """The operator learns that the administrator may not do it."""
    dn = f"cn={unique('plain')},{SUFFIX}"
    directory.server.add(dn, objectClass="person", sn="x", userPassword=CANARY)
    context = directory.context(bind_dn=dn)
    rotator = directory.rotator()
    value = rotator.create(context, {})
    assert code_of(rotator.apply, context, value) in {"permission_missing", "user_missing"}


def test_an_empty_password_never_reaches_the_directory(directory: LdapTarget) -> None:
    """With one, a directory lets anybody in, as nobody."""
    context = directory.context(password="")
    rotator = directory.rotator()
    value = rotator.create(context, {})
    assert code_of(rotator.apply, context, value) == "connection_invalid"
    assert code_of(log_in, directory.access(), directory.names[0], "") == "login_refused"


@pytest.mark.parametrize(
    "config",
    [
        {"users": ["uid=a"]},
        {"users": ["uid=a", "uid=a"]},
        {"user": "uid=a"},
        {"users": ["uid=a", "b"]},
        {"users": ["uid=a", "uid=\0"]},
        {"users": ["uid=a", "uid=b"], "fence_attribute": "x y"},
        {"users": ["uid=a", "uid=b"], "unknown": 1},
    ],
)
def test_settings_that_mean_nothing_are_refused(config: dict[str, Any]) -> None:
    """A policy is refused as it is written, not at its first rotation."""
    with pytest.raises(ValidationError):
        ldap_rotator.KIND.parse(config)


@pytest.mark.parametrize(
    "url",
    ["ldap://", "ldapi://x", "http://a", "ldap://u@h", "ldap://h/dc=x", "ldap://h:x", "ldap://h?a"],
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    """What the library would take for something else."""
    with pytest.raises(ValueError, match="is none of"):
        parse_ldap_address(url)


@pytest.mark.parametrize("scheme", ["ldap", "ldaps"])
def test_tls_verifies_the_directory(scheme: str, tmp_path: Path) -> None:
    """By StartTLS, and on a port of its own."""
    authority, stranger = Authority(tmp_path, "authority"), Authority(tmp_path, "stranger")
    authority.issue("server", "127.0.0.1")
    with slapd(LDAP_ACCESS, tmp_path, tls=True) as server:
        directory = LdapTarget(server)
        rotator = directory.rotator()
        url = {"url": f"{scheme}://127.0.0.1:{server.ports[scheme]}"}
        trusted = directory.context(1, ca_certificate=authority.file.read_text(), **url)
        value = rotator.create(trusted, {})
        rotator.apply(trusted, value)
        rotator.verify(trusted, value)
        untrusted = directory.context(2, ca_certificate=stranger.file.read_text(), **url)
        assert code_of(rotator.apply, untrusted, value) == "target_tls"
        other = {"url": url["url"].replace("127.0.0.1", "127.0.0.2")}
        wrong = directory.context(2, ca_certificate=authority.file.read_text(), **other)
        assert code_of(rotator.apply, wrong, value) == "target_tls"
