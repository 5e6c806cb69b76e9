"""What one worker has answered, the next request on any other sees."""

import itertools
import json
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.acceptance.agent import (
    SEVERAL,
    Agent,
    Answer,
    Client,
    own_folder,
    running,
    served_agent,
    serving,
)
from tests.acceptance.workers.fleet import fleet_agent, pinned
from tests.acceptance.workers.waiting import await_true

READER = {"rules": [{"effect": "allow", "paths": ["secret/*"], "capabilities": ["read", "list"]}]}
NOTHING = {"rules": [{"effect": "deny", "paths": ["secret/*"], "capabilities": ["read"]}]}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def agent(request: pytest.FixtureRequest) -> Iterator[Agent]:
    """Two workers, on a file and on a server."""
    is_file = request.param == "sqlite"
    database = None if is_file else request.getfixturevalue(request.param)
    with (
        own_folder() as folder,
        serving(SEVERAL, database),
        running(fleet_agent(folder)) as started,
    ):
        yield started


@contextmanager
def limited(folder: Path, limits: dict[str, object]) -> Iterator[tuple[Agent, str]]:
    """An open agent of two workers with these limits, and its root token."""
    agent = served_agent(folder, {"limits": limits})
    config = json.loads((folder / "vault.yaml").read_text())
    config["server"]["workers"] = 2
    (folder / "vault.yaml").write_text(json.dumps(config))
    with running(agent):
        made = agent.call("PUT", "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1}).json
        assert agent.call("PUT", "/v1/sys/unseal", {"key": made["keys"][0]}).json["sealed"] is False
        yield agent, made["root_token"]


def read(client: Client, name: str) -> object:
    """The value, or the status."""
    answer = client.call("GET", f"/v1/secret/data/{name}")
    return answer.json["data"]["data"]["v"] if answer.status == 200 else answer.status


def write(client: Client, name: str, value: object) -> None:
    """A new version."""
    assert client.call("POST", f"/v1/secret/data/{name}", {"data": {"v": value}}).status == 200


def a_reader(client: Client) -> str:
    """The text of a new token that may read."""
    assert client.call("PUT", "/api/v1/policies/reader", READER).status == 200
    asked = {"policies": ["reader"]}
    made = client.call("POST", "/v1/auth/token/create", asked)
    return str(made.json["auth"]["client_token"])


def a_token(client: Client, policy: str, rule: dict[str, object]) -> str:
    """The text of a new token with a policy of this one rule."""
    assert client.call("PUT", f"/api/v1/policies/{policy}", {"rules": [rule]}).status == 200
    made = client.call("POST", "/v1/auth/token/create", {"policies": [policy]})
    return str(made.json["auth"]["client_token"])


def status_of_write(client: Client, name: str) -> int:
    """What a write is answered with."""
    return client.call("POST", f"/v1/secret/data/{name}", {"data": {"v": 7}}).status


def records_of(client: Client, name: str) -> list[tuple[str, str]]:
    """Phase and result of what the audit log has of writes of this secret."""
    shown = client.call(
        "GET", f"/api/v1/audit/events?path=secret/{name}&operation=secret.write"
    ).json
    return [(one["phase"], one["result"]) for one in shown["events"]]


def altered(key: str) -> str:
    """An API key of the same id with another secret, its checksum right."""
    body = key[:-9]
    other = body[:-1] + ("a" if body[-1] != "a" else "b")
    return f"{other}_{zlib.crc32(other.encode()):08x}"


def value_reads(client: Client, name: str) -> int:
    """How often its value was read, as its metadata says."""
    shown = client.call("GET", f"/api/v1/metadata/secret/{name}").json
    return int(shown["access_count"])


def test_a_write_is_read_on_every_worker(agent: Agent) -> None:
    """Each of many versions, written on one and read on both, hot in both caches."""
    with pinned(agent) as (one, two):
        for number in range(60):
            writer, other = (one, two) if number % 2 else (two, one)
            write(writer, "hot", number)
            assert [read(other, "hot"), read(writer, "hot")] == [number, number]


def test_what_was_absent_is_there_and_gone_again_on_every_worker(agent: Agent) -> None:
    """A name known not to exist is not remembered beyond its making, nor a value its erasing."""
    with pinned(agent) as (one, two):
        assert [read(one, "new"), read(two, "new")] == [404, 404]
        write(one, "new", 1)
        assert [read(two, "new"), read(one, "new")] == [1, 1]
        assert two.call("DELETE", "/v1/secret/metadata/new").status == 204
        assert [read(one, "new"), read(two, "new")] == [404, 404]


def test_a_revoked_token_is_refused_on_every_worker(agent: Agent) -> None:
    """Both have judged it good before."""
    with pinned(agent) as (one, _):
        write(one, "revoked", 1)
        token = a_reader(one)
        with pinned(agent, token) as others:
            assert [read(other, "revoked") for other in others] == [1, 1]
            done = one.call("POST", "/v1/auth/token/revoke", {"token": token})
            assert done.status == 204
            assert [read(other, "revoked") for other in reversed(others)] == [403, 403]


def test_a_changed_policy_counts_on_every_worker(agent: Agent) -> None:
    """Denied on both, and allowed again on both."""
    with pinned(agent) as (one, two):
        write(one, "policy", 1)
        with pinned(agent, a_reader(one)) as others:
            for _ in range(3):
                assert [read(other, "policy") for other in others] == [1, 1]
                assert one.call("PUT", "/api/v1/policies/reader", NOTHING).status == 200
                assert [read(other, "policy") for other in others] == [403, 403]
                assert two.call("PUT", "/api/v1/policies/reader", READER).status == 200


def test_a_write_is_decided_on_what_is_so_now(agent: Agent) -> None:
    """Who may only create may not write again, and may once the secret is erased; on both."""
    creator = {"effect": "allow", "paths": ["secret/*"], "capabilities": ["create"]}
    with pinned(agent) as (one, two):
        token = a_token(one, "creator", creator)
        with pinned(agent, token) as others:
            for _ in range(3):
                assert [status_of_write(other, "made") for other in others] == [200, 403]
                assert [status_of_write(other, "made") for other in others] == [403, 403]
                assert two.call("DELETE", "/v1/secret/metadata/made").status == 204


def test_tags_decide_on_a_write_on_every_worker(agent: Agent) -> None:
    """Those that the secret has now, whoever changed them."""
    tagged = {
        "effect": "allow", "paths": ["secret/*"], "capabilities": ["update"],
        "conditions": [{"type": "tags", "any": ["open"]}],
    }  # fmt: skip
    with pinned(agent) as (one, two):
        write(one, "tagged", 1)
        token = a_token(one, "tagged", tagged)
        with pinned(agent, token) as others:
            for tags, status in (([], 403), (["open"], 200), (["shut"], 403), (["open"], 200)):
                shown = two.call("PATCH", "/api/v1/metadata/secret/tagged", {"tags": tags})
                assert shown.status == 200
                assert [status_of_write(other, "tagged") for other in others] == [status] * 2


def test_a_revoked_token_writes_nothing(agent: Agent) -> None:
    """On no worker, though each has written with it before."""
    writer = {"effect": "allow", "paths": ["secret/*"], "capabilities": ["create", "update"]}
    with pinned(agent) as (one, _):
        token = a_token(one, "writer", writer)
        with pinned(agent, token) as others:
            assert [status_of_write(other, "by-many") for other in others] == [200, 200]
            done = one.call("POST", "/v1/auth/token/revoke", {"token": token})
            assert done.status == 204
            assert [status_of_write(other, "by-many") for other in others] == [403, 403]
        assert read(one, "by-many") == 7


def test_a_write_that_is_refused_is_on_record_once(agent: Agent) -> None:
    """Whichever process refused it, after whichever look."""
    reading = {"effect": "allow", "paths": ["secret/*"], "capabilities": ["read"]}
    with pinned(agent) as (one, _):
        write(one, "refused", 1)
        with pinned(agent, a_token(one, "only-reads", reading)) as others:
            assert [status_of_write(other, "refused") for other in others] == [403, 403]
        mismatch = {"data": {"v": 2}, "options": {"cas": 9}}
        assert one.call("POST", "/v1/secret/data/refused", mismatch).status == 400
        await_true(lambda: len(records_of(one, "refused")) == 6)
        assert sorted(records_of(one, "refused")) == [
            ("intent", "ok"), ("intent", "ok"),
            ("outcome", "denied"), ("outcome", "denied"), ("outcome", "failed"), ("outcome", "ok"),
        ]  # fmt: skip


def test_who_may_only_create_updates_on_no_worker(folder: Path) -> None:
    """Each sees that the secret is there, whoever made it: a denial each, and nothing begun.

    What a policy would have changed is told of both, too: they are denials of an update.
    """
    creating = {"effect": "allow", "paths": ["secret/*"], "capabilities": ["create"]}
    with running(fleet_agent(folder)) as agent, pinned(agent) as (one, two):
        with pinned(agent, a_token(one, "only-creates", creating)) as (first, second):
            assert [read(other, "made") for other in (one, two)] == [404, 404]
            write(one, "made", 1)
            assert [status_of_write(other, "made") for other in (second, first)] == [403, 403]
        assert [read(other, "made") for other in (one, two)] == [1, 1]
        await_true(lambda: len(records_of(one, "made")) == 4)
        assert sorted(records_of(one, "made")) == [
            ("intent", "ok"), ("outcome", "denied"), ("outcome", "denied"), ("outcome", "ok"),
        ]  # fmt: skip
        rules = [creating | {"capabilities": ["create", "update"]}]
        candidate = {"write": [{"name": "only-creates", "rules": rules}]}
        told = one.call("POST", "/api/v1/policies-replay", candidate).json
        assert (told["allowed"], told["denied"]) == (2, 0)


def test_a_new_mount_is_known_to_every_worker(agent: Agent) -> None:
    """The one that did not make it finds secrets in it."""
    with pinned(agent) as (one, two):
        assert two.call("GET", "/v1/kv/data/x").status == 404
        made = one.call("POST", "/v1/sys/mounts/kv", {"type": "kv", "options": {"version": "2"}})
        assert made.status == 204
        assert one.call("POST", "/v1/kv/data/x", {"data": {"v": 1}}).status == 200
        assert two.call("GET", "/v1/kv/data/x").json["data"]["data"] == {"v": 1}


def test_a_value_under_a_new_key_is_read_on_every_worker(agent: Agent) -> None:
    """After a rotation every worker has the new key before a value is sealed with it."""
    with pinned(agent) as (one, two):
        for number in range(3):
            assert one.call("POST", "/v1/sys/rotate").status == 204
            write(one, "rotated", number)
            assert [read(two, "rotated"), read(one, "rotated")] == [number, number]


def test_a_limited_token_has_its_uses_once_for_all(agent: Agent) -> None:
    """Three uses are three, on whichever workers."""
    with pinned(agent) as (one, two):
        write(one, "limited", 1)
        a_reader(one)
        asked = {"policies": ["reader"], "num_uses": 3}
        token = one.call("POST", "/v1/auth/token/create", asked).json["auth"]["client_token"]
        answers = [
            client.call("GET", "/v1/secret/data/limited", token=token).status
            for client in (one, two, one, two, one)
        ]
        assert answers == [200, 200, 200, 403, 403]


def test_a_locked_out_credential_is_refused_on_every_worker(agent: Agent) -> None:
    """Five wrong secrets, spread over the workers, lock the right one out on both."""
    with pinned(agent) as (one, two):
        write(one, "locked", 1)
        a_reader(one)
        user = one.call("POST", "/api/v1/users", {"username": "locked-out", "policies": ["reader"]})
        assert user.status == 201
        made = one.call("POST", "/api/v1/keys", {"user": "locked-out", "name": "its"})
        key = made.json["key"]
        wrong = altered(key)
        path = "/v1/secret/data/locked"
        assert [c.call("GET", path, token=key).status for c in (one, two)] == [200, 200]
        for client in (one, two, one, two, one):
            assert client.call("GET", path, token=wrong).status == 403
        assert [c.call("GET", path, token=key).status for c in (one, two)] == [403, 403]


def test_failed_logins_have_one_pace_for_all_workers(folder: Path) -> None:
    """What two workers refuse together is what one agent lets anybody fail."""
    with limited(folder, {"failures": {"per_second": 0.001, "burst_size": 4}}) as (agent, root):
        with pinned(agent, "wrong-token") as clients:
            statuses = [c.call("GET", "/api/v1/secrets/none").status for c in clients * 6]
        assert statuses[:4] == [401] * 4
        assert statuses[4:] == [429] * 8
        with pinned(agent, root) as clients:
            assert [c.call("GET", "/api/v1/secrets/none").status for c in clients] == [404, 404]


def test_a_write_counts_once_whoever_does_it(folder: Path) -> None:
    """As many as the limit says, from one bucket for all, whatever is there already."""
    writes = 8
    rate = {"requests_per_second": 0.001, "burst_size": 1 + writes}
    with limited(folder, {"rate": rate}) as (agent, root), pinned(agent, root) as (one, two):
        kv = {"type": "kv", "options": {"version": "2"}}
        assert one.call("POST", "/v1/sys/mounts/secret", kv).status == 204
        for name in range(writes // 4):
            for client in (one, two, two, one):
                write(client, str(name), 1)
        assert status_of_write(one, "last") == 429


def test_one_log_has_every_answer_in_one_order(agent: Agent) -> None:
    """Reads and writes of both workers are in the one log, which verifies."""
    with pinned(agent) as clients:
        write(clients[0], "logged", 1)
        answers = [client.call("GET", "/v1/secret/data/logged") for client in clients * 5]
    log = agent.audit_log.read_text()
    assert all(log.count(answer.request_id) == 1 for answer in answers)
    verified = agent.verify()
    assert verified.returncode == 0, verified.stderr


def test_counts_of_all_workers_are_added_up(agent: Agent) -> None:
    """After a while the secret and `/metrics` have the reads of both."""
    with pinned(agent) as (one, two):
        write(one, "counted", 1)
        assert [read(client, "counted") for client in (one, two, two)] == [1, 1, 1]
        await_true(lambda: value_reads(one, "counted") == 3)
        await_true(lambda: value_reads(two, "counted") == 3)
        await_true(lambda: counted_reads(two) >= 3)


def counted_reads(client: Client) -> int:
    """How many reads `/metrics` has."""
    text = client.call("GET", "/metrics").body.decode()
    counts = re.findall(r'operation="secret.read",status="ok"} (\d+)', text)
    return int(counts[0]) if counts else 0


def test_sealing_ends_reads_on_every_worker(folder: Path) -> None:
    """All answer 503 once it is sealed, and none has read its keys back by itself."""
    with running(fleet_agent(folder)) as agent, pinned(agent) as clients:
        write(clients[0], "sealed", 1)
        assert [read(client, "sealed") for client in clients] == [1, 1]
        assert clients[0].call("POST", "/v1/sys/seal").status == 204
        assert [read(client, "sealed") for client in reversed(clients)] == [503, 503]
        key = (agent.data / "root.key").read_bytes().hex()
        assert clients[1].call("POST", "/v1/sys/unseal", {"key": key}).status == 200
        assert [read(client, "sealed") for client in clients] == [1, 1]


def test_a_tokens_own_data_is_told_by_every_worker(agent: Agent) -> None:
    """As it is now: renewed by one, it is so at the other; revoked, it is nobody's any more."""
    with pinned(agent) as (one, two):
        asked = {"policies": ["default"], "ttl": "1h"}
        token = one.call("POST", "/v1/auth/token/create", asked).json["auth"]["client_token"]

        def seen(client: Client) -> Answer:
            return client.call("GET", "/v1/auth/token/lookup-self", token=token)

        assert not any("last_renewal" in seen(each).json["data"] for each in (one, two))
        renewed = one.call("POST", "/v1/auth/token/renew-self", {}, token=token)
        assert renewed.status == 200
        assert all("last_renewal" in seen(each).json["data"] for each in (one, two))
        assert two.call("POST", "/v1/auth/token/revoke", {"token": token}).status == 204
        assert [seen(each).status for each in (one, two)] == [403, 403]


def test_metadata_is_told_by_every_worker(agent: Agent) -> None:
    """As it is now, each version's own, whoever wrote or deleted it; and looks at it count."""
    with pinned(agent) as (one, two):

        def seen(client: Client) -> dict[str, bool]:
            """Whether each version is deleted."""
            told = client.call("GET", "/v1/secret/metadata/told").json["data"]
            return {n: bool(v["deletion_time"]) for n, v in told["versions"].items()}

        for number in range(1, 4):
            write((one, two)[number % 2], "told", number)
            assert [len(seen(client)) for client in (one, two)] == [number, number]
        gone = two.call("POST", "/v1/secret/delete/told", {"versions": [2]})
        assert gone.status == 204
        expected = {"1": False, "2": True, "3": False}
        assert [seen(client) for client in (one, two)] == [expected, expected]
        assert two.call("DELETE", "/v1/secret/metadata/told").status == 204
        statuses = [client.call("GET", "/v1/secret/metadata/told").status for client in (one, two)]
        assert statuses == [404, 404]
        write(one, "looked-at", 1)
        for client in (one, two, two):
            assert client.call("GET", "/v1/secret/metadata/looked-at").status == 200
        shown, asked = "/api/v1/metadata/secret/looked-at", itertools.count()

        def are_counted() -> bool:
            """All three, beside what was asked here before."""
            before = next(asked)
            return bool(one.call("GET", shown).json["metadata_reads"] == 3 + before)

        await_true(are_counted)


def test_a_detailed_list_is_on_record_once(agent: Agent) -> None:
    """Whoever lists tells of each secret, too; else it would be listed again."""
    with pinned(agent) as (one, two):
        write(one, "detailed/one", 1)
        told = two.call("LIST", "/v1/secret/detailed-metadata/detailed").json
        assert told["data"]["keys"] == ["one"]

        def operations() -> list[str]:
            query = "/api/v1/audit/events?path=secret/detailed"
            return [event["operation"] for event in one.call("GET", query).json["events"]]

        await_true(lambda: {"secret.metadata.read", "secret.keys"} <= set(operations()))
        assert operations().count("secret.keys") == 1


def test_a_mount_that_is_made_or_erased(agent: Agent) -> None:
    """Every worker knows at once, whichever was asked; one that is made again is empty."""
    body = {"type": "kv", "options": {"version": "2"}}
    with pinned(agent) as clients:
        for turn, asked in enumerate([*clients, *clients]):
            other = clients[(turn + 1) % len(clients)]
            assert asked.call("POST", "/v1/sys/mounts/brief", body).status == 204
            assert other.call("GET", "/v1/brief/data/a").status == 404
            made = other.call("POST", "/v1/brief/data/a", {"data": {"v": turn}})
            assert made.json["data"]["version"] == 1
            assert asked.call("GET", "/v1/brief/data/a").json["data"]["data"] == {"v": turn}
            assert other.call("DELETE", "/v1/sys/mounts/brief").status == 204
            for client in clients:
                assert client.call("GET", "/v1/brief/data/a").json == {
                    "errors": ['no handler for route "brief/data/a". route entry not found.']
                }
    assert "store/writer failed" not in agent.output()
