import json

import pytest

from tests.unit.ui.cli.conftest import FakeAgent, Run
from ui.cli.secret import BATCH_SIZE

HEAD = {"name": "secret/a", "version": 1, "status": "active"}
ABSENT = {"message": "there is no secret of this name"}


def test_put_creates_what_is_not_there(agent: FakeAgent, cli: Run) -> None:
    """In a second request, which fails if somebody else was faster."""
    agent.answer(ABSENT, 404)
    agent.answer(HEAD, 201)
    assert cli("secret", "put", "secret/a", "--json", stdin='{"a": 1}').code == 0
    assert agent.asked[1] == ("POST", "/api/v1/secrets", {"name": "secret/a", "value": {"a": 1}})


def test_check_and_set_is_never_loosened(agent: FakeAgent, cli: Run) -> None:
    """With a version it does not create, with 0 it does nothing else."""
    agent.answer(ABSENT, 404)
    assert cli("secret", "put", "secret/a", "--cas", "3", stdin="x").code == 3
    agent.answer({"message": "exists"}, 409)
    assert cli("secret", "put", "secret/a", "--cas", "0", stdin="x").code == 5
    assert [method for method, _, _ in agent.asked] == ["PUT", "POST"]


def test_a_refused_write_is_not_tried_otherwise(agent: FakeAgent, cli: Run) -> None:
    """A denial stays one."""
    agent.answer({"message": "permission denied"}, 403)
    assert cli("secret", "put", "secret/a", stdin="x").code == 4


@pytest.mark.parametrize(
    ("value", "words", "shown"),
    [
        ("text", ("--raw",), "text\n"),
        ("text", ("--raw", "-o", "json"), '"text"\n'),
        ({"a": "é"}, ("--raw",), '{"a": "é"}\n'),
        ({"a": "x"}, ("--field", "a"), "x\n"),
        ({"a": [1]}, ("--field", "a"), "[1]\n"),
    ],
)
def test_get_can_print_the_value_alone(
    value: object, words: tuple[str, ...], shown: str, agent: FakeAgent, cli: Run
) -> None:
    """For pipes: text as it is, everything else as JSON."""
    agent.answer(HEAD | {"value": value})
    assert cli("secret", "get", "secret/a", *words).out == shown


@pytest.mark.parametrize("value", ["text", {"b": 1}])
def test_a_field_that_is_not_there_is_3(value: object, agent: FakeAgent, cli: Run) -> None:
    """And the value is not printed instead."""
    agent.answer(HEAD | {"value": value})
    done = cli("secret", "get", "secret/a", "--field", "a")
    assert (done.code, done.out) == (3, "")


def test_a_difference_is_a_row_for_each_change(agent: FakeAgent, cli: Run) -> None:
    """Two versions, or one and the secret as it is now; the same is said to be the same."""
    changes = {
        "metadata_added": {"tier": "1"}, "metadata_removed": {"team": "a"},
        "metadata_changed": {"env": {"from": "dev", "to": "prod"}},
        "tags_added": ["web"], "tags_removed": ["db"],
    }  # fmt: skip
    agent.answer({"changes": changes})
    told = cli("secret", "diff", "secret/a", "1", "2").out
    assert [line.split() for line in told.splitlines()] == [
        ["what", "key", "from", "to"],
        ["metadata", "env", "dev", "prod"],
        ["metadata", "team", "a"],
        ["metadata", "tier", "1"],
        ["tag", "db", "db"],
        ["tag", "web", "web"],
    ]  # fmt: skip
    agent.answer({"changes": {key: type(value)() for key, value in changes.items()}})
    same = cli("secret", "diff", "secret/a", "1")
    assert (same.code, same.out, same.err) == (0, "", "metadata and tags are the same\n")
    assert [asked for _, asked, _ in agent.asked] == [
        "/api/v1/diff/secret/a?from=1&to=2", "/api/v1/diff/secret/a?from=1&to=0",
    ]  # fmt: skip


def test_destroy_asks_first(agent: FakeAgent, cli: Run) -> None:
    """Versions, or all; nothing by a guess. No answer is no."""
    for words in ((), ("--version", "1", "--all")):
        assert cli("secret", "destroy", "secret/a", *words, "--yes").code == 64
    assert cli("secret", "destroy", "secret/a", "--all", terminal=True).code == 130
    assert cli("secret", "destroy", "secret/a", "--version", "1").code == 64
    assert agent.seen == []
    agent.answer(None, 204)
    assert cli("secret", "destroy", "secret/a", "--all", "--yes").code == 0
    agent.answer(HEAD)
    done = cli("secret", "destroy", "secret/a", "--version", "1", stdin="y\n", terminal=True)
    assert done.code == 0
    assert agent.asked == [
        ("DELETE", "/api/v1/metadata/secret/a", None),
        ("POST", "/api/v1/destroy/secret/a", {"versions": [1]}),
    ]


def test_metadata_is_flat_for_people_and_whole_for_programs(agent: FakeAgent, cli: Run) -> None:
    """Nothing is left out of JSON."""
    told = {"secret": HEAD, "versions": [], "max_versions": 3}
    agent.answer(told)
    agent.answer(told)
    assert cli("secret", "metadata", "get", "secret/a", "-o", "json").json == told
    rows = dict(
        line.split() for line in cli("secret", "metadata", "get", "secret/a").out.splitlines()
    )
    assert rows == {"key": "value", "name": "secret/a", "version": "1", "status": "active",
                    "max_versions": "3"}  # fmt: skip


def test_metadata_changes_what_was_given(agent: FakeAgent, cli: Run) -> None:
    """An empty time means never, a dropped key is a null, false is a value."""
    agent.answer(HEAD)
    done = cli(
        "secret", "metadata", "update", "secret/a", "-m", "k=v", "--drop", "old",
        "--expires-at", "",
        "--no-cas-required", "--max-versions", "0",
    )  # fmt: skip
    assert done.code == 0
    body = {"metadata": {"k": "v", "old": None}, "expires_at": "", "cas_required": False,
            "max_versions": 0}  # fmt: skip
    assert agent.asked == [("PATCH", "/api/v1/metadata/secret/a", body)]


READ, WRITE = "/api/v1/batch/read", "/api/v1/batch/write"


def done(name: str, value: object = None) -> dict[str, object]:
    """An item that went well."""
    return {"name": name, "status": 200, "secret": {"name": name, "value": value}}


def failed(name: str, status: int, code: str = "some", message: str = "no") -> dict[str, object]:
    """One that did not."""
    return {"name": name, "status": status, "error": {"code": code, "message": message}}


@pytest.mark.parametrize(("status", "code"), [(404, 3), (403, 4), (503, 7), (500, 1)])
def test_export_in_part(agent: FakeAgent, cli: Run, status: int, code: int) -> None:
    """What could be read is printed; the rest is named, and decides the exit code."""
    agent.answer({"failed": 1, "results": [done("a", 1), failed("b\n", status)]}, 207)
    ended = cli("secret", "export", "a", "b\n")
    assert (ended.code, json.loads(ended.out)) == (code, {"a": 1})
    assert "b\\n: no" in ended.err
    assert "1 of 2 not read" in ended.err


def test_export_of_large_values(agent: FakeAgent, cli: Run) -> None:
    """What had no room in an answer is asked for again; where nothing has any, that is said."""
    agent.answer({"failed": 1, "results": [done("a", 1), failed("b", 413, "answer_full")]}, 207)
    agent.answer({"failed": 0, "results": [done("b", 2)]})
    assert json.loads(cli("secret", "export", "a", "b").out) == {"a": 1, "b": 2}
    assert agent.asked[1] == ("POST", READ, {"names": ["b"]})
    agent.answer({"failed": 1, "results": [failed("b", 413, "answer_full")]}, 207)
    assert "one by one" in cli("secret", "export", "b").err


def test_import_in_steps_and_in_part(agent: FakeAgent, cli: Run) -> None:
    """A failure in one step does not keep the next from being written."""
    names = [f"n{i}" for i in range(BATCH_SIZE + 1)]
    first = [failed("n0", 409, message="exists"), *map(done, names[1:BATCH_SIZE])]
    agent.answer({"failed": 1, "results": first}, 207)
    agent.answer({"failed": 0, "results": [done(names[-1])]})
    ended = cli("secret", "import", stdin=json.dumps(dict.fromkeys(names, 1)))
    assert ended.code == 5
    assert f"{BATCH_SIZE} of {BATCH_SIZE + 1} written" in ended.err
    assert "n0: exists" in ended.err
    assert len(agent.asked) == 2


def test_import_beside_much_metadata(agent: FakeAgent, cli: Run) -> None:
    """What was not written because it could not be told of is written with the next step."""
    agent.answer({"failed": 1, "results": [done("a"), failed("b", 413, "answer_full")]}, 207)
    agent.answer({"failed": 0, "results": [done("b")]})
    assert cli("secret", "import", stdin='{"a": 1, "b": 2}').err == "2 of 2 written\n"
    assert agent.asked[1] == ("POST", WRITE, {"secrets": [{"name": "b", "value": 2}]})


def test_import_of_something_else(agent: FakeAgent, cli: Run) -> None:
    """Is refused before anything is asked for."""
    assert "JSON object" in cli("secret", "import", stdin="[1]").err
    assert not agent.asked
