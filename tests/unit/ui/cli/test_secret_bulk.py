"""`freehold secret export` and `import`: what goes well goes, what does not is told."""

import json
from pathlib import Path

import pytest

from tests.unit.ui.cli.conftest import FakeAgent, Run
from ui.cli.secret_bulk import BATCH_SIZE

READ, WRITE = "/api/v1/batch/read", "/api/v1/batch/write"


def done(name: str, value: object = None) -> dict[str, object]:
    """An item that went well."""
    return {"name": name, "status": 200, "secret": {"name": name, "value": value}}


def failed(name: str, status: int, code: str = "some", message: str = "no") -> dict[str, object]:
    """One that did not."""
    return {"name": name, "status": status, "error": {"code": code, "message": message}}


def test_export(agent: FakeAgent, cli: Run) -> None:
    """One object of all values; a name that is given twice is read once."""
    agent.answer({"failed": 0, "results": [done("a", {"k": "é"}), done("b", 1)]})
    ended = cli("secret", "export", "a", "b", "a")
    assert (ended.code, json.loads(ended.out)) == (0, {"a": {"k": "é"}, "b": 1})
    assert agent.asked == [("POST", READ, {"names": ["a", "b"]})]


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


def test_import(agent: FakeAgent, cli: Run, tmp_path: Path) -> None:
    """Of a file or stdin, each by itself; `--create` writes over nothing."""
    file = tmp_path / "all.json"
    file.write_text('{"a": {"k": 1}, "b": null}')
    for _ in range(2):
        agent.answer({"failed": 0, "results": [done("a"), done("b")]})
    ended = cli("secret", "import", str(file))
    assert (ended.code, ended.out, ended.err) == (0, "", "2 of 2 written\n")
    items = [{"name": "a", "value": {"k": 1}}, {"name": "b", "value": None}]
    assert agent.asked == [("POST", WRITE, {"secrets": items})]
    assert cli("secret", "import", "--create", stdin=file.read_text()).code == 0
    assert agent.asked[1][2] == {"secrets": [item | {"cas": 0} for item in items]}


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
