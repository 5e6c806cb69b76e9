"""The method `ldap` at a real slapd: who gets in, with which groups, and who does not."""

import socket
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import trio
from ldap import MOD_ADD, MOD_DELETE
from trio.testing import wait_all_tasks_blocked

from actors.world import SystemWorld
from tests.support.certificates import Authority
from tests.support.login import MOUNT, Entries
from tests.support.slapd import ROOT, ROOT_PASSWORD, SUFFIX, Slapd, slapd
from vault.authn.methods.ldap.config import LdapConfig, LdapGroup, LdapUser, prepared
from vault.authn.methods.ldap.method import LdapMethod
from vault.authn.methods.method import (
    CONFIG,
    EntryChange,
    LoginRefusedError,
    LoginRequest,
    LoginResult,
)
from vault.errors import UnavailableError, ValidationError
from vault.model.operation import Origin
from vault.model.records import AuthMountRow, TokenRow

PEOPLE, GROUPS = f"ou=people,{SUFFIX}", f"ou=groups,{SUFFIX}"
PASSWORD = "correct-horse"
ACCESS = """access to attrs=userPassword by anonymous auth by * none
access to * by * read"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    """A directory with two people, and with groups within groups."""
    folder = tmp_path_factory.mktemp("slapd")
    Authority(folder, "authority").issue("server", "127.0.0.1")
    with slapd(ACCESS, folder, tls=True) as found:
        for name in ("people", "groups"):
            found.add(f"ou={name},{SUFFIX}", objectClass="organizationalUnit", ou=name)
        for name in ("ann", "bob"):
            add_person(found, name)
        group(found, "engineers", f"uid=ann,{PEOPLE}")
        group(found, "staff", f"cn=engineers,{GROUPS}")
        group(found, "everybody", f"cn=staff,{GROUPS}")
        yield found


def add_person(server: Slapd, name: str, **fields: str) -> str:
    """Its name in the directory."""
    dn = f"uid={name},{PEOPLE}"
    server.add(
        dn, objectClass="inetOrgPerson", uid=name, cn=fields.pop("cn", name), sn=name,
        userPassword=PASSWORD, **fields,
    )  # fmt: skip
    return dn


def group(server: Slapd, name: str, member: str) -> None:
    """A group of one."""
    connection = server.connect()
    connection.add_s(
        f"cn={name},{GROUPS}",
        [
            ("objectClass", [b"groupOfNames"]),
            ("cn", [name.encode()]),
            ("member", [member.encode()]),
        ],
    )
    connection.unbind()


def config(server: Slapd, **fields: Any) -> LdapConfig:
    """People are looked for as the root of the directory."""
    usual = LdapConfig(
        url=f"ldap://127.0.0.1:{server.ports['ldap']}",
        binddn=ROOT,
        bindpass=ROOT_PASSWORD,
        userdn=PEOPLE,
        userattr="uid",
        groupdn=GROUPS,
        token_policies=("default",),
    )
    return msgspec.structs.replace(usual, **fields)


def method(configured: LdapConfig, **documents: Any) -> LdapMethod:
    """The method with this configuration, and entries as `groups_NAME` and `users_NAME`."""
    others = {tuple(name.split("_")): one for name, one in documents.items()}
    return LdapMethod(Entries({(CONFIG, CONFIG): configured, **others}), SystemWorld())


async def log_in(asked: LdapMethod, name: str, password: str = PASSWORD) -> LoginResult:
    """A login as the dialects have it."""
    return await asked.login(
        LoginRequest(
            mount=MOUNT,
            path=f"login/{name}",
            fields={"password": password},
            origin=Origin(ip="127.0.0.1"),
        )
    )


async def refused(asked: LdapMethod, name: str, password: str = PASSWORD) -> str:
    """The text of a refusal."""
    with pytest.raises(LoginRefusedError) as caught:
        await log_in(asked, name, password)
    return caught.value.message


async def test_a_person_gets_the_policies_of_groups_and_of_themselves(server: Slapd) -> None:
    """The alias is the name that the directory has, in its one spelling."""
    asked = method(
        config(server),
        group_engineers=LdapGroup(policies=("build",)),
        group_local=LdapGroup(policies=("extra",)),
        group_staff=LdapGroup(policies=("not-hers",)),
        user_ann=LdapUser(policies=("own",), groups=("local",)),
    )
    found = await log_in(asked, "ANN")
    assert found.alias == "ann"
    assert found.groups == ("engineers", "local")
    assert found.token.policies == ("default", "own", "build", "extra")
    assert found.metadata == {"username": "ann"}
    assert (await log_in(asked, "bob")).groups == ()


async def test_groups_of_groups_count_where_it_is_configured(server: Slapd) -> None:
    """Each is found once, whichever way leads to it; a circle ends."""
    connection = server.connect()
    connection.modify_s(
        f"cn=engineers,{GROUPS}", [(MOD_ADD, "member", [f"cn=everybody,{GROUPS}".encode()])]
    )
    found = await log_in(method(config(server, nested_groups=True)), "ann")
    assert found.groups == ("engineers", "staff", "everybody")
    connection.modify_s(
        f"cn=engineers,{GROUPS}", [(MOD_DELETE, "member", [f"cn=everybody,{GROUPS}".encode()])]
    )
    connection.unbind()


async def test_unknown_and_wrong_are_one_refusal(server: Slapd) -> None:
    """And no name is more than a name: neither in a filter nor in a distinguished name."""
    searching = method(config(server))
    made = method(config(server, binddn="", bindpass=""))
    texts = set()
    for asked in (searching, made):
        texts.add(await refused(asked, "ann", "wrong"))
        for name in (
            "nobody", "*", "a*", "ann)(uid=*", "ann ", " ann", "a  nn", "ann\\2a", "ann,ou=x",
            "ann#", "ann\n", "uid=ann", "a" * 600,
        ):  # fmt: skip
            texts.add(await refused(asked, name))
        texts.add(await refused(asked, "ann", PASSWORD + "\0"))
    assert texts == {"the name or the password is wrong"}
    assert (await log_in(made, "ann")).alias == "ann"


async def test_an_empty_password_never_reaches_the_directory(server: Slapd) -> None:
    """With one, a directory lets anybody in, as nobody."""
    with pytest.raises(ValidationError):
        await log_in(method(config(server)), "ann", "")


async def test_two_entries_of_a_name_let_nobody_in(server: Slapd) -> None:
    """Whoever can make an entry could otherwise become somebody."""
    server.add(f"ou=more,{PEOPLE}", objectClass="organizationalUnit", ou="more")
    server.add(
        f"cn=other,ou=more,{PEOPLE}", objectClass="inetOrgPerson", cn="other", sn="x", uid="bob",
        userPassword=PASSWORD,
    )  # fmt: skip
    await refused(method(config(server)), "bob")
    connection = server.connect()
    connection.delete_s(f"cn=other,ou=more,{PEOPLE}")
    connection.unbind()
    await log_in(method(config(server)), "bob")


async def test_renewal_asks_whether_the_person_is_still_there(server: Slapd) -> None:
    """With the same groups; without an account that may ask, nobody is renewed."""
    asked = method(config(server))
    dn = add_person(server, "cid")
    group(server, "cids", dn)
    token = TokenRow(
        id="t", accessor="a", secret_hash=b"", created_at=1, issued_at=1,
        renewal=dict((await log_in(asked, "cid")).renewal),
    )  # fmt: skip
    await asked.renew(MOUNT, token)
    with pytest.raises(LoginRefusedError):
        await method(config(server, binddn="", bindpass="")).renew(MOUNT, token)
    connection = server.connect()
    connection.delete_s(f"cn=cids,{GROUPS}")
    with pytest.raises(LoginRefusedError, match="groups of this person have changed"):
        await asked.renew(MOUNT, token)
    connection.delete_s(dn)
    connection.unbind()
    with pytest.raises(LoginRefusedError, match="no longer has this person"):
        await asked.renew(MOUNT, token)


async def test_tls_is_verified(server: Slapd) -> None:
    """By its name and authority, from the beginning or begun on the connection."""
    authority = (server.folder / "authority.crt").read_text()
    over = f"ldaps://127.0.0.1:{server.ports['ldaps']}"
    await log_in(method(config(server, url=over, certificate=authority)), "ann")
    await log_in(method(config(server, starttls=True, certificate=authority)), "ann")
    for wrong in (
        config(server, url=over),
        config(server, starttls=True),
        config(server, url=over.replace("127.0.0.1", "127.0.0.2"), certificate=authority),
    ):
        with pytest.raises(UnavailableError) as caught:
            await log_in(method(wrong), "ann")
        assert caught.value.code == "source_misconfigured"


async def test_a_server_that_is_down_or_silent_is_reported_so(server: Slapd) -> None:
    """Within the time that is configured; the next server of the list takes its place."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        slow = f"ldap://127.0.0.1:{silent.getsockname()[1]}"
        for url in ("ldap://127.0.0.1:9", slow):
            with pytest.raises(UnavailableError) as caught:
                await log_in(method(config(server, url=url, request_timeout=300_000_000)), "ann")
            assert caught.value.code == "source_unavailable"
        for dead in ("ldap://127.0.0.1:9", slow):
            url = f"{dead}, {config(server).url}"
            await log_in(method(config(server, url=url, connection_timeout=3_000_000_000)), "ann")
        url = f"{slow}, {config(server).url}"
        await log_in(method(config(server, url=url, request_timeout=8_000_000_000)), "ann")


async def test_a_wrong_account_is_a_fault_of_the_configuration(server: Slapd) -> None:
    """It is not told as a wrong password of whoever logs in, and locks nobody out."""
    with pytest.raises(UnavailableError) as caught:
        await log_in(method(config(server, bindpass="wrong")), "ann")
    assert caught.value.code == "source_misconfigured"


@pytest.mark.parametrize(
    "fields",
    [
        {"url": "ldap://directory.example.org"},
        {"url": "ldapi://%2Frun%2Fslapd"},
        {"url": "http://127.0.0.1"},
        {"url": ",".join(["ldaps://a"] * 9)},
        {"insecure_tls": True},
        {"deny_null_bind": False},
        {"use_token_groups": True},
        {"binddn": "cn=x", "bindpass": ""},
        {"userattr": "uid)(x"},
        {"userfilter": "(uid={{.Password}})"},
        {"userfilter": "(uid={{.Username}}"},
        {"groupfilter": "member={{.UserDN}}"},
        {"request_timeout": 0},
        {"request_timeout": 60 * 10**9},
    ],
)
async def test_what_is_unsafe_cannot_be_configured(fields: dict[str, Any]) -> None:
    """The error names the field."""
    new = LdapConfig(**fields)
    change = EntryChange(mount=MOUNT, name=CONFIG, old=None, given=fields, new=new)
    with pytest.raises(ValidationError) as caught:
        await prepared(change)
    assert caught.value.details["field"] in {*fields, "bindpass"}


def asking(name: str, mount: AuthMountRow = MOUNT) -> LoginRequest:
    """A login with the right password."""
    fields = {"password": PASSWORD}
    return LoginRequest(
        mount=mount, path=f"login/{name}", fields=fields, origin=Origin(ip="127.0.0.1")
    )


@pytest.mark.parametrize("spelling", ["\uff41nn", "ANN", "\uff21\uff2e\uff2e", "\u00e5nn"])
async def test_no_spelling_that_a_directory_takes_has_tries_of_its_own(
    server: Slapd, spelling: str
) -> None:
    """They compare compatibility forms as equal, and Active Directory accents as well."""
    asked = method(config(server))
    assert asked.lockout_name(asking(spelling)) == asked.lockout_name(asking("ann")) == "ann"
    if spelling != "\u00e5nn":  # slapd tells accents apart
        assert (await log_in(asked, spelling)).alias == "ann"


async def test_a_directory_that_is_slow_holds_up_no_other(server: Slapd) -> None:
    """However many logins wait for it: each mount has threads of its own."""

    class World(SystemWorld):
        """In which one directory never answers."""

        async def run_sync(self, fn: Any, *args: Any, limiter: Any = None, **more: Any) -> Any:
            """For as long as the test runs."""
            if args[0].starttls:
                async with limiter:
                    await trio.sleep_forever()
            return await super().run_sync(fn, *args, limiter=limiter, **more)

    class Both(Entries):
        """A configuration for each mount."""

        async def get(self, mount_id: str, kind: str, name: str) -> Any:
            """The slow one is that with STARTTLS."""
            if mount_id == MOUNT.id or kind != CONFIG:
                return await super().get(mount_id, kind, name)
            slow = msgspec.structs.replace(config(server), starttls=True)
            return await Entries({(CONFIG, CONFIG): slow}).get(MOUNT.id, kind, name)

    asked = LdapMethod(Both({(CONFIG, CONFIG): config(server)}), World())
    other = msgspec.structs.replace(MOUNT, id="slow")
    async with trio.open_nursery() as nursery:
        for _ in range(32):
            nursery.start_soon(asked.login, asking("ann", other))
        await wait_all_tasks_blocked()
        assert (await asked.login(asking("ann"))).alias == "ann"
        nursery.cancel_scope.cancel()
