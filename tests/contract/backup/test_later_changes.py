"""What audit logs say was taken away after a backup is taken away in the restored vault."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.contract.backup.logs import AuditLog
from tests.contract.backup.samples import back_up, ignored, restore
from tests.contract.store.samples import api_key, put, secret, token, user, version
from tests.support.databases import SERVERS, make_backend, shared_server
from tests.support.vaults import NODE, Vault, contents, require_whole
from vault.backup.format import Manifest
from vault.backup.keys import VaultKeys
from vault.backup.later_changes import LaterChanges, NotApplied, read_later_changes
from vault.crypto.keyring import Keyring
from vault.errors import ConflictError
from vault.model.records import AuthEntryRow, NodeRow, PolicyRow, RoleRow, SessionRow, UsageRow
from vault.store.sql import SqlBackend
from vault.store.tables import (
    ACCESS,
    API_KEYS,
    AUTH_ENTRIES,
    NODES,
    POLICIES,
    ROLES,
    SECRETS,
    SESSIONS,
    TOKENS,
    USAGE,
    USERS,
    VERSIONS,
)

OTHER_NODE = "fedcba9876543210"
Case = tuple[Vault, AuditLog, Path]


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Case]:
    """An open vault, its audit log, and the folder of its backups."""
    vault = Vault(f"sqlite:///{tmp_path}/vault.db")
    log = AuditLog(tmp_path / "logs" / "audit.log", vault.keyring)
    with vault.opened():
        fill(vault, log)
        yield vault, log, tmp_path / "backups"


def fill(vault: Vault, *logs: AuditLog) -> None:
    """Something of each kind, and the heads of the logs."""
    vault.create()
    held = {"policies": ["one", "two"], "roles": ["one", "two"]}
    vault.commit(
        *(
            put(NODES, NodeRow(id=node, checkpoint=log.checkpoint))
            for node, log in zip((NODE, OTHER_NODE), logs, strict=False)
        ),
        put(USERS, user("ann", **held), user("bob"), user("eve")),
        put(ROLES, *(role(name, "one", "two") for name in ("one", "two"))),
        put(API_KEYS, api_key("key-1", "ann"), api_key("key-2", "bob"), api_key("key-3", "ann")),
        put(
            TOKENS,
            token("plain"),
            replace(token("parent"), user_id="ann"),
            replace(token("child"), parent="id of parent"),
            replace(token("grandchild"), parent="id of child"),
            replace(token("of key"), parent="key:key-1"),
            replace(token("of eve"), user_id="eve"),
        ),
        put(SESSIONS, *(session(name) for name in ("plain", "parent"))),
        put(POLICIES, *(policy(name) for name in ("one", "two"))),
        put(USAGE, *(UsageRow(credential_id=name, uses=1) for name in ("plain", "child", "key-2"))),
    )
    for name in ("a", "b", "c"):
        id_ = f"id-{name}"
        vault.commit(
            put(SECRETS, secret(name, current_version=3, oldest_version=1, status="active")),
            put(VERSIONS, *(version(id_, number) for number in (1, 2, 3))),
        )


def role(name: str, *policies: str) -> RoleRow:
    """A role with these policies."""
    return RoleRow(name=name, policies=list(policies), created_at=1, updated_at=1)


def session(name: str) -> SessionRow:
    """The session that a token is."""
    return SessionRow(
        token_id=f"id of {name}", accessor=name, user_id="ann", created_at=1, active_at=1
    )


def policy(name: str) -> PolicyRow:
    """A policy."""
    return PolicyRow(
        name=name, id=name, version=1, document={}, created_at=1, updated_at=1, created_by="u"
    )


def later(vault: Vault, manifest: Manifest, *logs: AuditLog, **more: Any) -> LaterChanges:
    """What the logs say."""
    files = [log.file for log in logs]
    return read_later_changes(files, manifest, VaultKeys(vault.keyring), progress=ignored, **more)


def restored(
    vault: Vault, folder: Path, backup: str, changes: LaterChanges, **more: Any
) -> tuple[dict[str, list[Any]], dict[str, int]]:
    """The rows of a vault that was restored with these changes, which is whole; and the counts."""
    url = f"sqlite:///{folder.parent}/new.db"
    for file in folder.parent.glob("new.db*"):
        file.unlink()
    more = {"keep_tokens": True} | more
    result = restore(vault, folder, backup, make_backend(url), later=changes, **more)
    backend = make_backend(url)
    backend.open()
    try:
        require_whole(backend, vault.keyring)
        return contents(backend), result.taken_away
    finally:
        backend.close()


def column(rows: dict[str, list[Any]], table: Any, name: str) -> list[Any]:
    """The values of a column."""
    return [getattr(row, name) for row in rows[table.name]]


def test_nothing_later(case: Case) -> None:
    """What the log has before the backup is in the backup, and not done again."""
    vault, log, folder = case
    manifest = back_up(vault, folder)
    log.append("secret.write", "a", response={"secret_id": "id-a", "version": 4})
    log.append("user.create", "sys/users", response={"id": "new"})
    changes = later(vault, manifest, log)
    assert changes.not_applied == changes.faults == changes.missing_nodes == []
    rows, counts = restored(vault, folder, manifest.id, changes)
    assert counts == {}
    assert rows[USERS.name] == contents(vault.backend)[USERS.name]


def test_before_the_backup_is_not_done_again(case: Case) -> None:
    """A key that was revoked before, by a log whose head the backup knows, is as it is in it."""
    vault, log, folder = case
    log.append("key.revoke", "sys/keys/key-1")
    vault.commit(put(NODES, NodeRow(id=NODE, checkpoint=log.checkpoint)))
    manifest = back_up(vault, folder)
    _, counts = restored(vault, folder, manifest.id, later(vault, manifest, log))
    assert counts == {}


def test_credentials(case: Case) -> None:
    """Keys, tokens with what came from them, and users, by id, accessor and hash."""
    vault, log, folder = case
    manifest = back_up(vault, folder)
    log.append("key.revoke", "sys/keys/key-1")
    log.append("token.revoke_self", "auth/token/revoke-self", credential="key-3", method="api_key")
    log.append("token.revoke", "auth/token/revoke", response={"accessor": "parent"})
    log.append("user.delete", "sys/users/bob")
    log.append("user.update", "sys/users/eve", request={"status": "disabled"}, response={})
    log.append("user.update", "sys/users/eve", request={"status": "active"}, response={})
    rows, counts = restored(vault, folder, manifest.id, later(vault, manifest, log))
    assert counts == {"api_keys_revoked": 2, "tokens_revoked": 5, "users_deleted": 1}
    assert column(rows, USERS, "id") == ["ann", "eve"]
    assert {row.id: row.status for row in rows[API_KEYS.name]} == {
        "key-1": "revoked",
        "key-3": "revoked",
    }
    assert column(rows, TOKENS, "accessor") == ["plain"]
    assert column(rows, USAGE, "credential_id") == ["plain"]
    assert column(rows, SESSIONS, "accessor") == ["plain"]
    assert column(rows, USERS, "status") == ["active", "active"]  # was enabled again


@pytest.mark.parametrize("ending", ["token.revoke_self", "session.close"])
def test_a_token_that_ended_itself(case: Case, ending: str) -> None:
    """Its accessor is in the record as it is."""
    vault, log, folder = case
    manifest = back_up(vault, folder)
    log.append(ending, "path", credential="plain", method="token")
    rows, counts = restored(vault, folder, manifest.id, later(vault, manifest, log))
    assert counts == {"tokens_revoked": 1}
    assert "plain" not in column(rows, TOKENS, "accessor")


@pytest.mark.parametrize("ending", ["session.revoke", "session.revoke_of_user"])
def test_a_session_that_was_revoked(case: Case, ending: str) -> None:
    """By its accessor, which the request has."""
    vault, log, folder = case
    manifest = back_up(vault, folder)
    log.append(ending, "sys/sessions", request={"accessor": "plain"})
    rows, counts = restored(vault, folder, manifest.id, later(vault, manifest, log))
    assert counts == {"tokens_revoked": 1}
    assert "plain" not in column(rows, TOKENS, "accessor")


@pytest.mark.parametrize("outcome", ["ok", None])
def test_a_token_that_was_exchanged(case: Case, outcome: str | None) -> None:
    """A browser's session took its place, so it ended; one that was opened beside it ends none."""
    vault, log, folder = case
    manifest = back_up(vault, folder)
    about = {"method": "token", "outcome": outcome}
    log.append("session.open", "sys/sessions", credential="plain", request={"exchange": False})
    log.append(
        "session.open", "sys/sessions", credential="parent", request={"exchange": True}, **about
    )
    changes = later(vault, manifest, log)
    rows, counts = restored(vault, folder, manifest.id, changes)
    assert (counts, changes.not_applied) == ({"tokens_revoked": 3}, [])
    assert column(rows, TOKENS, "accessor") == ["of eve", "of key", "plain"]
    log.append("session.open", "sys/sessions", credential="plain", intent=False)
    (unknown,) = later(vault, manifest, log).not_applied
    assert (unknown.operation, unknown.count) == ("session.open", 1)


def test_a_key_is_not_exchanged(case: Case) -> None:
    """To ask for it is refused: an intent whose outcome is unknown revokes no key."""
    vault, log, folder = case
    manifest = back_up(vault, folder)
    log.append(
        "session.open", "sys/sessions", credential="key", request={"exchange": True},
        method="api_key", outcome=None,
    )  # fmt: skip
    assert not later(vault, manifest, log).revoked_keys


def test_without_tokens(case: Case) -> None:
    """They are all left out, and not counted as revoked."""
    vault, log, folder = case
    manifest = back_up(vault, folder)
    log.append("token.revoke", "auth/token/revoke", response={"accessor": "parent"})
    changes = later(vault, manifest, log)
    rows, counts = restored(vault, folder, manifest.id, changes, keep_tokens=False)
    assert (counts, rows[TOKENS.name], rows[SESSIONS.name]) == ({}, [], [])


def test_one_time_logins(case: Case) -> None:
    """What may be used up since does not count again; what counts without a number stays."""
    vault, _, folder = case
    rows = [
        AuthEntryRow(
            mount_id="m", kind="secret-id", name=name, id=name, uses_left=uses, created_at=1,
            updated_at=1,
        )
        for name, uses in (("once", 1), ("always", 0))
    ]  # fmt: skip
    vault.commit(put(AUTH_ENTRIES, *rows))
    manifest = back_up(vault, folder)
    for keep, names in ((False, ["always"]), (True, ["always", "once"])):
        found, _ = restored(vault, folder, manifest.id, LaterChanges(), keep_tokens=keep)
        assert column(found, AUTH_ENTRIES, "name") == names


def test_logins_are_listed(case: Case) -> None:
    """What was changed of mounts, factors and grants, and revoked of issuers.

    A new secret-id is no loss.
    """
    vault, log, folder = case
    manifest = back_up(vault, folder)
    operations = [
        "auth.action.delete", "auth.action.update", "auth.entry.delete", "auth.entry.write",
        "auth.mount.disable", "auth.mount.move", "auth.mount.tune", "jwt.revoke",
        "mfa.own.recovery_codes", "mount.move", "policy.revoke_grant",
    ]  # fmt: skip
    for operation in operations:
        log.append(operation, "auth/m")
    log.append("auth.action.update", "auth/m", response={"secret_id_accessor": "a"})
    changes = later(vault, manifest, log)
    assert [(one.operation, one.count) for one in changes.not_applied] == [
        (operation, 1) for operation in operations
    ]


def test_authority(case: Case) -> None:
    """What users and roles had, and have not later, is taken from them; nothing is given."""
    vault, log, folder = case
    manifest = back_up(vault, folder)
    log.append(
        "user.update", "sys/users/ann", request={"status": None},
        response={"id": "ann", "roles": ["two", "new"], "policies": ["two", "root"]},
    )  # fmt: skip
    log.append("role.write", "sys/roles/two", request={"policies": ["two", "root"]})
    log.append("role.delete", "sys/roles/one")
    log.append("policy.delete", "sys/policies/one")
    log.append("policy.delete", "sys/policies/two")
    log.append("policy.write", "sys/policies/two")
    changes = later(vault, manifest, log)
    rows, counts = restored(vault, folder, manifest.id, changes)
    assert counts == {
        "policies_deleted": 1, "roles_deleted": 1, "roles_reduced": 1, "users_reduced": 1,
    }  # fmt: skip
    assert rows[USERS.name][0].policies == rows[USERS.name][0].roles == ["two"]
    assert [(row.name, row.policies) for row in rows[ROLES.name]] == [("two", ["two"])]
    assert column(rows, POLICIES, "name") == ["two"]
    assert [one.operation for one in changes.not_applied] == ["policy.write"]


def test_erased_secrets(case: Case) -> None:
    """Versions by number, whole secrets by name and id: another secret of that name is kept."""
    vault, log, folder = case
    manifest = back_up(vault, folder)
    log.append("secret.purge", "a", response={"secret_id": "id-a"})
    log.append("secret.destroy", "b", request={"versions": [1, 3]}, response={"secret_id": "id-b"})
    log.append("secret.purge", "c", response={"secret_id": "of another c"})
    changes = later(vault, manifest, log)
    rows, counts = restored(vault, folder, manifest.id, changes)
    assert counts == {"secrets_purged": 1, "versions_destroyed": 2}
    assert {row.name: row.status for row in rows[SECRETS.name]} == {
        "b": "destroyed",
        "c": "active",
    }
    found = [(row.secret_id, row.version, row.box == b"") for row in rows[VERSIONS.name]]
    assert found == [
        ("id-b", 1, True), ("id-b", 2, False), ("id-b", 3, True),
        ("id-c", 1, False), ("id-c", 2, False), ("id-c", 3, False),
    ]  # fmt: skip
    _, kept = restored(vault, folder, manifest.id, changes, keep_erased=True)
    assert kept == {}


def test_what_did_not_happen(case: Case) -> None:
    """Refused, failed, or not known: credentials end where it is not known, others are listed."""
    vault, log, folder = case
    manifest = back_up(vault, folder)
    log.append("key.revoke", "sys/keys/key-1", outcome="denied", intent=False)
    log.append("key.revoke", "sys/keys/key-2", outcome="failed", code="key_not_found")
    log.append("key.revoke", "sys/keys/key-3", outcome="failed", code="store_timeout")
    log.append("token.revoke_accessor", "p", request={"accessor": "plain"}, outcome=None)
    log.append("user.delete", "sys/users/bob", outcome=None)
    log.append("secret.purge", "a", outcome="failed", code="store_timeout")
    log.append("token.revoke", "auth/token/revoke")  # of a text that was no token
    changes = later(vault, manifest, log)
    rows, counts = restored(vault, folder, manifest.id, changes)
    assert counts == {"api_keys_revoked": 1, "tokens_revoked": 1}
    assert [row.status for row in rows[API_KEYS.name]] == ["active", "active", "revoked"]
    assert [(one.operation, one.count) for one in changes.not_applied] == [
        ("secret.purge", 1), ("user.delete", 1),
    ]  # fmt: skip


def test_listed(case: Case) -> None:
    """What the log does not tell enough of: its kind, how often, and where."""
    vault, log, folder = case
    manifest = back_up(vault, folder)
    for _ in range(12):
        log.append("mount.delete", "sys/mounts/a")
    log.append("secret.destroy", "a", request={"versions": []}, response={"secret_id": "id-a"})
    log.append("role.write", "sys/roles/one", request="hmac-sha256:of too many")
    changes = later(vault, manifest, log)
    mounts, roles, destroyed = changes.not_applied
    assert isinstance(mounts, NotApplied)
    assert (mounts.operation, mounts.count, len(mounts.records)) == ("mount.delete", 12, 10)
    assert mounts.records[0].startswith(f"{NODE}#")
    assert (roles.operation, destroyed.operation) == ("role.write", "secret.destroy")


@pytest.mark.parametrize("order", [1, -1])
def test_several_nodes(tmp_path: Path, order: int) -> None:
    """Their logs are merged by time; the one that is missing is named."""
    vault = Vault(f"sqlite:///{tmp_path}/vault.db")
    logs = [
        AuditLog(tmp_path / node / "audit.log", vault.keyring, node) for node in (NODE, OTHER_NODE)
    ]
    with vault.opened():
        fill(vault, *logs)
        manifest = back_up(vault, tmp_path / "backups")
    first, second = logs[::order]
    first.append("user.update", "sys/users/eve", request={"status": "active"}, response={})
    second.append(
        "user.update", "sys/users/eve", request={"status": "disabled"}, response={},
        time=first.time + 1,
    )  # fmt: skip
    changes = later(vault, manifest, *logs)
    assert changes.disabled_users == {"eve"}
    assert changes.missing_nodes == []
    assert later(vault, manifest, first).missing_nodes == [OTHER_NODE if first is logs[0] else NODE]


def test_log_of_another_vault(case: Case, tmp_path: Path) -> None:
    """By its name; or under this vault's name, by its key."""
    vault, log, folder = case
    manifest = back_up(vault, folder)
    named = AuditLog(tmp_path / "x" / "audit.log", keyring("vault-2"))
    refuse(vault, manifest, named, "another vault")
    same_name = AuditLog(tmp_path / "y" / "audit.log", keyring("vault-1"))
    refuse(vault, manifest, same_name, "key")
    changes = later(vault, manifest, log, same_name, accept_faults=True)
    assert len(changes.faults) == 1


def keyring(vault: str) -> Keyring:
    """Of another vault."""
    return Keyring.create(1, org="org", vault=vault)


def refuse(vault: Vault, manifest: Manifest, log: AuditLog, why: str) -> None:
    """It is, and what is said helps."""
    with pytest.raises(ConflictError) as caught:
        later(vault, manifest, log)
    assert caught.value.code == "audit_log_refused"
    assert why in caught.value.message
    assert "--accept-log-faults" in caught.value.message


def cut_end(log: AuditLog) -> None:
    """The last records are gone, and the head says so."""
    log.file.write_bytes(b"".join(log.lines[:-4]))


def change_target(log: AuditLog) -> None:
    """A record names another key."""
    log.file.write_bytes(log.file.read_bytes().replace(b"keys/key-1", b"keys/key-2"))


def swap(log: AuditLog) -> None:
    """Two records change places."""
    *first, one, two, last = log.lines
    log.file.write_bytes(b"".join([*first, two, one, last]))


def remove_head(log: AuditLog) -> None:
    """The head file is gone."""
    log.file.with_name("audit.log.head").unlink()


def append_forged(log: AuditLog) -> None:
    """A record that nobody signed."""
    log.file.write_bytes(log.file.read_bytes() + log.lines[-1])


@pytest.mark.parametrize("attack", [cut_end, change_target, swap, remove_head, append_forged])
def test_a_log_that_was_changed(case: Case, attack: Callable[[AuditLog], None]) -> None:
    """It is refused. If that is accepted, what is signed before the fault counts, and no more."""
    vault, log, folder = case
    manifest = back_up(vault, folder)
    log.append("user.delete", "sys/users/bob")
    log.append("secret.read", "a")
    log.append("key.revoke", "sys/keys/key-1")
    attack(log)
    refuse(vault, manifest, log, "audit.log")
    changes = later(vault, manifest, log, accept_faults=True)
    assert len(changes.faults) == 1
    assert changes.revoked_keys <= {"key-1"}
    if attack is not remove_head:
        assert changes.deleted_users == {"bob"}


def test_records_of_a_crash(case: Case) -> None:
    """Written before the head was: the agent's own mark is on them, and they count."""
    vault, log, folder = case
    manifest = back_up(vault, folder)
    log.append("user.delete", "sys/users/bob")
    log.append("key.revoke", "sys/keys/key-1")
    log.file.with_name("audit.log.head").write_bytes(log.heads[-2])
    changes = later(vault, manifest, log)
    assert changes.revoked_keys == {"key-1"}
    assert changes.deleted_users == {"bob"}
    log.file.write_bytes(log.file.read_bytes().replace(b"keys/key-1", b"keys/key-2"))
    refuse(vault, manifest, log, "audit.log")
    assert later(vault, manifest, log, accept_faults=True).revoked_keys == set()


def test_log_and_head_set_back_together(case: Case, tmp_path: Path) -> None:
    """To before the backup: the backup tells. To after it: the anchor does."""
    vault, log, folder = case
    early = shutil.copytree(log.file.parent, tmp_path / "early")
    log.append("secret.read", "a")
    vault.commit(put(NODES, NodeRow(id=NODE, checkpoint=log.checkpoint)))
    manifest = back_up(vault, folder)
    old = AuditLog.__new__(AuditLog)
    old.file = early / "audit.log"
    refuse(vault, manifest, old, "it was cut")
    later_copy = shutil.copytree(log.file.parent, tmp_path / "later")
    log.append("key.revoke", "sys/keys/key-1")
    old.file = later_copy / "audit.log"
    assert later(vault, manifest, old).revoked_keys == set()  # nobody could tell
    with pytest.raises(ConflictError, match="it was cut"):
        later(vault, manifest, old, witnesses=[log.checkpoint])
    assert later(vault, manifest, log, witnesses=[log.checkpoint]).revoked_keys == {"key-1"}


def test_another_history(case: Case, tmp_path: Path) -> None:
    """A log of the right key that is not the one that the backup knew."""
    vault, log, folder = case
    log.append("secret.read", "a")
    vault.commit(put(NODES, NodeRow(id=NODE, checkpoint=log.checkpoint)))
    manifest = back_up(vault, folder)
    other = AuditLog(tmp_path / "other" / "audit.log", vault.keyring)
    for _ in range(5):
        other.append("secret.read", "b")
    refuse(vault, manifest, other, "are not those that it had before")


def test_a_log_that_begins_too_late(case: Case, tmp_path: Path) -> None:
    """Segments between the backup and its beginning are gone."""
    vault, _, folder = case
    log = AuditLog(tmp_path / "short" / "audit.log", vault.keyring, OTHER_NODE, rotation=2_000)
    vault.commit(put(NODES, NodeRow(id=OTHER_NODE, checkpoint=log.checkpoint)))
    manifest = back_up(vault, folder)
    for number in range(8):
        log.append("key.revoke", f"sys/keys/key-{number}")
    segments = sorted(log.file.parent.glob("audit.log.0*"))
    assert len(segments) > 2
    for segment in segments[:-1]:
        segment.unlink()
    refuse(vault, manifest, log, "its first record is number")
    changes = later(vault, manifest, log, accept_faults=True)
    assert changes.faults
    assert "key-7" in changes.revoked_keys
    assert "key-0" not in changes.revoked_keys


class InterruptedRunError(Exception):
    """The end of a run."""


@pytest.mark.parametrize("kind", ["sqlite", *SERVERS])
def test_interrupted_at_each_write(case: Case, tmp_path: Path, kind: str) -> None:
    """The revocations are there with the vault, or there is no vault; in each kind of database."""
    vault, log, folder = case
    manifest = back_up(vault, folder)
    log.append("key.revoke", "sys/keys/key-1")
    log.append("user.delete", "sys/users/bob")
    changes = later(vault, manifest, log)
    url = f"sqlite:///{tmp_path}/new.db" if kind == "sqlite" else shared_server(kind).empty()
    for _ in range(100):
        target = make_backend(url)
        fail_at(target, 2)  # so each run has written once more
        try:
            restore(vault, folder, manifest.id, target, most=3, later=changes, keep_tokens=True)
            break
        except InterruptedRunError:
            again = make_backend(url)
            with pytest.raises(Exception, match="freehold backup restore"):
                again.open()
            again.close()
    else:
        pytest.fail("it never ended")
    backend = make_backend(url)
    backend.open()
    try:
        require_whole(backend, vault.keyring)
        rows = contents(backend)
    finally:
        backend.close()
    assert column(rows, USERS, "id") == ["ann", "eve"]
    assert {row.id: row.status for row in rows[API_KEYS.name]}["key-1"] == "revoked"


def fail_at(target: SqlBackend, number: int) -> None:
    """Have its write of this number fail."""
    write, done = target.write, [0]

    def counted(apply: Any) -> None:
        done[0] += 1
        if done[0] == number:
            raise InterruptedRunError
        write(apply)

    target.write = counted  # type: ignore[method-assign]  # this one alone is watched


def test_an_interrupted_run_with_other_revocations(case: Case, tmp_path: Path) -> None:
    """Begins anew: no row of the first one stays that the second one takes away."""
    vault, log, folder = case
    manifest = back_up(vault, folder)
    before = later(vault, manifest, log)
    url = f"sqlite:///{tmp_path}/new.db"
    target = make_backend(url)
    fail_at(target, 8)
    with pytest.raises(InterruptedRunError):
        restore(vault, folder, manifest.id, target, most=3, later=before, keep_tokens=True)
    log.append("user.delete", "sys/users/ann")
    log.append("secret.purge", "a", response={"secret_id": "id-a"})
    changes = later(vault, manifest, log)
    restore(vault, folder, manifest.id, make_backend(url), later=changes, keep_tokens=True)
    backend = make_backend(url)
    backend.open()
    try:
        require_whole(backend, vault.keyring)
        rows = contents(backend)
    finally:
        backend.close()
    assert column(rows, USERS, "id") == ["bob", "eve"]
    assert column(rows, SECRETS, "name") == ["b", "c"]
    assert rows[ACCESS.name] == []


ENDINGS = st.lists(
    st.tuples(
        st.sampled_from(["key.revoke", "user.delete", "role.delete", "policy.delete"]),
        st.sampled_from(["key-1", "key-2", "ann", "bob", "eve", "one", "two"]),
    ),
    max_size=8,
)


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(ENDINGS)
def test_whatever_ends(tmp_path_factory: pytest.TempPathFactory, endings: Any) -> None:
    """The result is whole, has what was in the backup and nothing of what ended."""
    place = tmp_path_factory.mktemp("endings")
    vault = Vault(f"sqlite:///{place}/vault.db")
    log = AuditLog(place / "logs" / "audit.log", vault.keyring)
    with vault.opened():
        fill(vault, log)
        before = contents(vault.backend)
        manifest = back_up(vault, place / "backups")
    nouns = {"key": "keys", "user": "users", "role": "roles", "policy": "policies"}
    for operation, name in endings:
        log.append(operation, f"sys/{nouns[operation.partition('.')[0]]}/{name}")
    rows, _ = restored(vault, place / "backups", manifest.id, later(vault, manifest, log))
    ended = {noun: {n for o, n in endings if o.startswith(noun)} for noun in nouns}
    assert column(rows, USERS, "id") == [
        one for one in column(before, USERS, "id") if one not in ended["user"]
    ]
    for row in rows[API_KEYS.name]:
        assert row.user_id not in ended["user"]
        assert (row.status == "revoked") == (row.id in ended["key"])
    for table, noun in ((ROLES, "role"), (POLICIES, "policy")):
        kept = [one for one in column(before, table, "name") if one not in ended[noun]]
        assert column(rows, table, "name") == kept
