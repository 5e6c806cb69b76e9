"""Backups by API: made while others write, listed, validated, deleted; with workers and servers."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.agent import Agent
from tests.acceptance.backups.running import back_up, ended, events, open_agent
from tests.support.databases import ON_EVERY_DATABASE
from tests.support.polling import await_value

pytestmark = ON_EVERY_DATABASE


@pytest.fixture
def agent(workers: int, tmp_path: Path) -> Iterator[Agent]:
    """Without a schedule."""
    assert workers
    with open_agent(tmp_path) as made:
        yield made


def test_a_backup_is_made_listed_validated_and_deleted(agent: Agent) -> None:
    """At each destination, full and then incremental, each with its own chain."""
    first = back_up(agent)
    assert [(each["destination"], each["kind"]) for each in first] == [
        ("one", "full"), ("two", "full"),
    ]  # fmt: skip
    second = back_up(agent, destinations=["two"])
    assert [(each["destination"], each["kind"]) for each in second] == [("two", "incremental")]
    page = agent.call("GET", "/api/v1/backups?limit=2").json
    rest = agent.call("GET", f"/api/v1/backups?limit=2&cursor={page['cursor']}").json
    listed = page["backups"] + rest["backups"]
    assert rest["cursor"] == ""
    assert all(each["verified"] for each in listed)
    assert listed[0]["id"] == second[0]["backup"]
    assert listed[0]["base"] == first[1]["backup"]
    assert {each["id"] for each in listed[1:]} == {each["backup"] for each in first}

    begun = agent.call("POST", f"/api/v1/backups/{second[0]['backup']}/validate")
    assert begun.status == 202
    run = ended(agent, begun.json)
    assert run["outcome"] == "succeeded"
    assert run["results"][0]["rows_verified"]
    assert run["results"][0]["rows"] > 20

    needed = agent.call("DELETE", f"/api/v1/backups/{first[1]['backup']}")
    assert (needed.status, needed.json["code"]) == (409, "backup_needed")
    for backup in (second[0]["backup"], first[1]["backup"]):
        assert agent.call("DELETE", f"/api/v1/backups/{backup}").status == 204
    left = agent.call("GET", "/api/v1/backups").json["backups"]
    assert [each["id"] for each in left] == [first[0]["backup"]]
    assert agent.call("GET", f"/api/v1/backups/{second[0]['backup']}").status == 404


def test_each_end_of_a_run_is_on_the_audit_log(agent: Agent) -> None:
    """With counts, under the name of whoever asked."""
    made = back_up(agent, destinations=["one"])
    (found,) = events(agent, "backup.made")
    assert found["result"] == "ok"
    assert found["path"] == f"sys/backups/{made[0]['backup']}"
    assert found["actor_name"] == "root"
    assert f"{made[0]['rows']} rows" in found["rule"]


def test_a_damaged_backup_is_found_and_decides_nothing(agent: Agent, tmp_path: Path) -> None:
    """One changed byte of data fails a validation; a changed manifest is no base and is left."""
    (made,) = back_up(agent, destinations=["one"])
    data = tmp_path / "one" / f"{made['backup']}.backup"
    bytes_ = bytearray(data.read_bytes())
    bytes_[-1] ^= 1
    data.write_bytes(bytes_)
    begun = agent.call("POST", f"/api/v1/backups/{made['backup']}/validate").json
    run = ended(agent, begun)
    assert (run["outcome"], run["error_code"]) == ("failed", "backup_damaged")

    manifest = tmp_path / "one" / f"{made['backup']}.manifest"
    manifest.write_text(manifest.read_text().replace('"depth":0', '"depth":0 '))
    (again,) = back_up(agent, destinations=["one"])
    assert again["kind"] == "full"
    listed = agent.call("GET", f"/api/v1/backups/{made['backup']}").json
    assert not listed["verified"]
    assert agent.call("DELETE", f"/api/v1/backups/{made['backup']}").status == 409
    assert manifest.exists()


def test_one_destination_that_fails_does_not_stop_the_other(agent: Agent, tmp_path: Path) -> None:
    """The run fails, its other backup is there, and the schedule tells which failed and why."""
    (tmp_path / "one").write_text("a file in the way")
    run = ended(agent, agent.call("POST", "/api/v1/backups", {}).json)
    assert (run["outcome"], run["error_code"]) == ("failed", "backup_unavailable")
    assert [bool(each["error_code"]) for each in run["results"]] == [True, False]
    told = agent.call("GET", "/api/v1/backups/schedule").json["destinations"]
    assert [each["failures"] for each in told] == [1, 0]
    assert [each["count"] for each in told] == [0, 1]
    listed = agent.call("GET", "/api/v1/backups").json
    assert [each["destination"] for each in listed["faults"]] == ["one"]
    assert len(listed["backups"]) == 1


def test_refusals(agent: Agent) -> None:
    """Each with its code."""
    unknown = agent.call("POST", "/api/v1/backups", {"destinations": ["three"]})
    assert (unknown.status, unknown.json["code"]) == (404, "backup_destination_missing")
    run = agent.call("GET", "/api/v1/backups/runs/none")
    assert (run.status, run.json["code"]) == (404, "backup_run_missing")
    wrong = agent.call("GET", "/api/v1/backups/..%2Fx")
    assert wrong.status in {400, 404}
    cursor = agent.call("GET", "/api/v1/backups?cursor=x")
    assert (cursor.status, cursor.json["code"]) == (400, "cursor_invalid")


def test_a_schedule_makes_the_first_backup_at_once(workers: int, tmp_path: Path) -> None:
    """Under the name of the service; the state is good from then on."""
    assert workers
    with open_agent(tmp_path, enabled=True, schedule="0 0 1 1 *") as agent:
        found = await_value(lambda: events(agent, "backup.made"), 90)
        assert {each["actor_name"] for each in found} == {"service:backup"}
        told = agent.call("GET", "/api/v1/backups/schedule").json
        ended(agent, agent.call("GET", "/api/v1/backups/runs").json["runs"][0])
        assert told["enabled"]
        metrics = agent.call("GET", "/metrics").body.decode()
        assert "vault_backups_total" in metrics
    assert json.dumps(told)
