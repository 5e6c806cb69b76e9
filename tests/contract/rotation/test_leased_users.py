"""What leased users promise at every target that has them."""

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.contract.rotation.targets import (
    CANARY,
    LeaseTarget,
    LoginError,
    MysqlTarget,
    PostgresqlTarget,
    RedisTarget,
    unique,
)
from tests.support.cutter import AFTER, BEFORE, cutter
from vault.rotation.leased_user import LeasedUser, user_name
from vault.rotation.rotator import RotationError
from vault.rotation.targets.lease_settings import MysqlLeases, PostgresqlLeases, RedisLeases
from vault.rotation.targets.mysql import MysqlLeasedUsers
from vault.rotation.targets.postgresql import PostgresqlLeasedUsers
from vault.rotation.targets.redis import RedisLeasedUsers

ANY = re.compile(b"")
MANY = {"postgresql": 100, "mysql": 1_000, "redis": 200}
MORE_THAN_A_PAGE = 3_000
HOUR = 3600


def leased(lease_id: str, prefix: str = "fh_", *, expires: int | None = None) -> LeasedUser:
    """A user that is valid for an hour."""
    until = int(time.time()) + HOUR if expires is None else expires
    return LeasedUser(lease_id, f"password-of-{lease_id}", until, prefix)


def code_of(call: Callable[..., object], *args: object) -> str:
    """The code of the error that the call raises, which shows no password."""
    with pytest.raises(RotationError) as caught:
        call(*args)
    assert CANARY not in str(caught.value)
    assert "password-of" not in str(caught.value)
    assert "SCRAM" not in str(caught.value)
    return caught.value.code


def test_a_user_lives_from_create_to_drop(lease_target: LeaseTarget) -> None:
    """It logs in until it is dropped, which may be done twice."""
    users, access = lease_target.leased_users(), lease_target.access()
    user = leased(unique("lease"))
    value = users.create_user(access, user)
    assert value == {"username": user.name, "password": user.password}
    assert lease_target.accepts(value)
    users.renew_user(access, user.name, user.expires + HOUR)
    assert lease_target.accepts(value)
    users.drop_user(access, user.name)
    assert not lease_target.accepts(value)
    users.drop_user(access, user.name)
    assert code_of(users.renew_user, access, user.name, user.expires) == "user_missing"


def test_a_user_that_is_created_again_has_the_later_password(lease_target: LeaseTarget) -> None:
    """A retry after a crash has the password that the client gets."""
    users, access = lease_target.leased_users(), lease_target.access()
    user = leased(unique("lease"))
    users.create_user(access, user)
    again = LeasedUser(user.lease_id, "another-password", user.expires)
    users.create_user(access, again)
    assert lease_target.accepts({"username": user.name, "password": "another-password"})
    assert not lease_target.accepts({"username": user.name, "password": user.password})
    users.drop_user(access, user.name)


@pytest.mark.parametrize("where", [BEFORE, AFTER])
@pytest.mark.parametrize("method", ["create", "drop"])
def test_a_method_is_repeated_after_a_crash_at_each_statement(
    lease_target: LeaseTarget, method: str, where: str, tmp_path: Path
) -> None:
    """The connection is cut at each message; a second call comes to the same end."""
    users, access = lease_target.leased_users(), lease_target.access()
    crashes = 0
    failures: set[tuple[str, bool]] = set()
    with cutter(tmp_path, lease_target.socket) as way:
        way.at = ANY
        was_cut = True
        while was_cut:
            user = leased(unique("lease"))
            value = {"username": user.name, "password": user.password}
            through = lease_target.access(way.socket)
            if method == "drop":
                users.create_user(access, user)
            way.cut, way.spared, before = where, crashes, way.cuts
            try:
                if method == "create":
                    users.create_user(through, user)
                else:
                    users.drop_user(through, user.name)
            except RotationError as error:
                failures.add((error.code, error.is_final))
            was_cut, way.cut = way.cuts > before, ""
            crashes += was_cut
            if method == "create":
                users.create_user(access, user)
                assert lease_target.accepts(value)
            users.drop_user(access, user.name)
            assert not lease_target.accepts(value)
            assert user.name not in users.list_users(access, "fh_")
    assert crashes >= 2
    assert failures == {("target_unreachable", False)}


def test_sessions_end_with_the_user(lease_target: LeaseTarget) -> None:
    """Whoever is connected when a lease ends is cut off."""
    users, access = lease_target.leased_users(), lease_target.access()
    user = leased(unique("lease"))
    users.create_user(access, user)
    query = lease_target.connect(user.name, user.password)
    users.drop_user(access, user.name)
    with pytest.raises(Exception, match=r"terminat|Lost|gone|kill|clos|[Pp]ipe|reset"):
        query()


def test_many_users_are_created_listed_and_dropped(lease_target: LeaseTarget) -> None:
    """The sweep finds each, and nothing is left."""
    users, access = lease_target.leased_users(), lease_target.access()
    prefix = "fh_many_"
    names = []
    for number in range(MANY[lease_target.kind]):
        user = leased(unique(f"lease-{number}"), prefix)
        users.create_user(access, user)
        names.append(user.name)
    listed = users.list_users(access, prefix)
    for name in names:
        users.drop_user(access, name)
    assert listed == sorted(names)
    assert users.list_users(access, prefix) == []


def test_only_leased_users_of_the_prefix_are_listed(lease_target: LeaseTarget) -> None:
    """The sweep of one agent leaves the users of another one alone."""
    users, access = lease_target.leased_users(), lease_target.access()
    mine, other = leased(unique("lease"), "fh_x_"), leased(unique("lease"), "fhyx_")
    for user in (mine, other):
        users.create_user(access, user)
    assert users.list_users(access, "fh_x_") == [mine.name]
    assert users.list_users(access, "fhyx_") == [other.name]  # "_" is no wildcard
    for user in (mine, other):
        users.drop_user(access, user.name)


def test_a_wrong_administrator_is_named(lease_target: LeaseTarget) -> None:
    """The operator learns that the connection secret is wrong."""
    users = lease_target.leased_users()
    access = lease_target.access(password="wrong-" + CANARY)
    assert code_of(users.create_user, access, leased("x")) == "administrator_refused"
    assert code_of(users.drop_user, access, user_name("fh_", "x")) == "administrator_refused"
    assert code_of(users.list_users, access, "fh_") == "administrator_refused"


@pytest.fixture
def postgresql(servers: dict[str, Callable[[], PostgresqlTarget]]) -> PostgresqlTarget:
    """A target on PostgreSQL."""
    return servers["postgresql"]()


@pytest.fixture
def mysql(servers: dict[str, Callable[[], MysqlTarget]]) -> MysqlTarget:
    """A target on MariaDB."""
    return servers["mysql"]()


def test_objects_in_all_databases_go_to_another_owner(postgresql: PostgresqlTarget) -> None:
    """Data outlives the lease with which it was written."""
    run, access = postgresql.server.run, postgresql.access()
    table, schema, other = unique("left"), unique("schema"), unique("otherdb")
    users = PostgresqlLeasedUsers(
        PostgresqlLeases(
            creation_statements=(
                "CREATE ROLE \"{{name}}\" PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'",
                'GRANT with_password, rotation_owner TO "{{name}}"',
            ),
            reassign_to=postgresql.owner,
        )
    )
    user = leased(unique("lease"))
    value = users.create_user(access, user)
    assert postgresql.accepts(value)
    run(f"CREATE DATABASE {other}")
    for database in (postgresql.database, other):
        run(
            f"CREATE SCHEMA {schema} AUTHORIZATION {postgresql.owner}",
            f"SET ROLE {user.name}",
            f"CREATE TABLE {schema}.{table} (id int)",
            f"INSERT INTO {schema}.{table} VALUES (7)",  # noqa: S608
            database=database,
        )
    users.drop_user(access, user.name)
    assert not run(f"SELECT 1 FROM pg_roles WHERE rolname = '{user.name}'")  # noqa: S608
    for database in (postgresql.database, other):
        owner = f"SELECT tableowner FROM pg_tables WHERE tablename = '{table}'"  # noqa: S608
        assert run(owner, database=database) == [(postgresql.owner,)]
        assert run(f"SELECT id FROM {schema}.{table}", database=database) == [(7,)]  # noqa: S608


def test_a_permission_of_somebody_else_is_named(postgresql: PostgresqlTarget) -> None:
    """The user cannot log in any more, and the operator learns what holds it."""
    users, access = postgresql.leased_users(), postgresql.access()
    user = leased(unique("lease"))
    users.create_user(access, user)
    place = {"database": postgresql.database}
    postgresql.server.run(f"GRANT CREATE ON SCHEMA public TO {user.name}", **place)
    assert code_of(users.drop_user, access, user.name) == "permission_missing"
    assert not postgresql.accepts({"username": user.name, "password": user.password})
    postgresql.server.run(f"REVOKE CREATE ON SCHEMA public FROM {user.name}", **place)
    users.drop_user(access, user.name)


def test_postgresql_itself_refuses_an_expired_user(postgresql: PostgresqlTarget) -> None:
    """Also when no agent is there to drop it."""
    users, access = postgresql.leased_users(), postgresql.access()
    user = leased(unique("lease"), expires=int(time.time()) - 60)
    value = users.create_user(access, user)
    assert not postgresql.accepts(value)
    users.renew_user(access, user.name, int(time.time()) + HOUR)
    assert postgresql.accepts(value)
    users.drop_user(access, user.name)


def test_statements_that_fail_leave_no_user(postgresql: PostgresqlTarget) -> None:
    """They are one transaction."""
    users = PostgresqlLeasedUsers(
        PostgresqlLeases(
            creation_statements=(
                "CREATE ROLE {{name}} LOGIN PASSWORD {{password}}",
                "GRANT SELECT ON no_such_table TO {{name}}",
            )
        )
    )
    access, user = postgresql.access(), leased(unique("lease"))
    assert code_of(users.create_user, access, user) == "statement_invalid"
    assert not postgresql.server.run(f"SELECT 1 FROM pg_roles WHERE rolname = '{user.name}'")  # noqa: S608
    wrong = PostgresqlLeasedUsers(
        PostgresqlLeases(creation_statements=("CREATE ROL {{name}} PASSWORD {{password}}",))
    )  # PostgreSQL repeats the line
    assert code_of(wrong.create_user, access, user) == "statement_invalid"
    none = PostgresqlLeasedUsers(PostgresqlLeases(creation_statements=("SELECT 1",)))
    assert code_of(none.create_user, access, user) == "statement_invalid"


def test_the_statements_of_mysql(mysql: MysqlTarget) -> None:
    """In the form that the documentation of Vault has."""
    users = MysqlLeasedUsers(
        MysqlLeases(
            creation_statements=(
                "CREATE USER '{{name}}'@'%' IDENTIFIED BY PASSWORD '{{password_hash}}'",
                f"GRANT {mysql.role} TO {{{{name}}}}",
            ),
            revocation_statements=("REVOKE ALL, GRANT OPTION FROM '{{name}}'@'%'",),
        )
    )
    access, user = mysql.access(), leased(unique("lease"))
    value = users.create_user(access, user)
    assert mysql.accepts(value)
    users.drop_user(access, user.name)
    assert not mysql.accepts(value)
    wrong = MysqlLeasedUsers(
        MysqlLeases(creation_statements=("CREATE USR '{{password}}' {{password_hash}}",))
    )  # MariaDB repeats the text from the error on
    assert code_of(wrong.create_user, access, user) == "statement_invalid"


def test_thousands_of_users_of_redis_are_listed(
    servers: dict[str, Callable[[], RedisTarget]],
) -> None:
    """More than a reply about rate limits may hold."""
    target = servers["redis"]()
    file = target.server.folder / "acl"
    target.server.command("ACL", "SAVE")
    before = file.read_text()
    names = sorted(user_name("fh_much_", str(number)) for number in range(MORE_THAN_A_PAGE))
    file.write_text(before + "".join(f"user {name} on nopass -@all\n" for name in names))
    target.server.command("ACL", "LOAD")
    assert target.leased_users().list_users(target.access(), "fh_much_") == names
    file.write_text(before)
    target.server.command("ACL", "LOAD")


def test_redis_grants_what_the_rules_say(servers: dict[str, Callable[[], RedisTarget]]) -> None:
    """The name stands in them, and a wrong rule is told."""
    target = servers["redis"]()
    users = RedisLeasedUsers(RedisLeases(rules=("~{{name}}:*", "+set")))
    access, user = target.access(), leased(unique("lease"))
    users.create_user(access, user)
    login = ("--user", user.name, "--pass", user.password, "--no-auth-warning")
    assert "OK" in target.server.command(*login, "SET", f"{user.name}:key", "1")
    assert "NOPERM" in target.server.command(*login, "SET", "key", "1")
    assert user.name in (target.server.folder / "acl").read_text()
    assert user.password not in (target.server.folder / "acl").read_text()
    wrong = RedisLeasedUsers(RedisLeases(rules=("+no-such-command",)))
    assert code_of(wrong.create_user, access, leased("w")) == "statement_invalid"
    users.drop_user(access, user.name)
    with pytest.raises(LoginError):
        target.connect(user.name, user.password)
