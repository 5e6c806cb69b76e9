import pytest

from tests.unit.ui.cli.conftest import FakeAgent, Run


@pytest.mark.parametrize(
    ("words", "stdin", "asked"),
    [
        (("get",), "", ("GET", "/self", None)),
        (("get", "a1"), "", ("GET", "/a1", None)),
        (("get", "--stdin"), "s.x\n", ("POST", "/lookup", {"token": "s.x"})),
        (("renew",), "", ("POST", "/self/renew", {})),
        (("renew", "a1", "--increment", "1h"), "", ("POST", "/a1/renew", {"increment": "1h"})),
        (("revoke", "a1"), "", ("DELETE", "/a1", None)),
        (("revoke", "--self"), "", ("DELETE", "/self", None)),
        (
            ("revoke", "--stdin", "--keep-children"),
            "s.x\n",
            ("POST", "/revoke", {"token": "s.x", "keep_children": True}),
        ),
    ],
)
def test_a_token_is_named_by_accessor_text_or_as_ones_own(
    words: tuple[str, ...], stdin: str, asked: tuple[str, str, object],
    agent: FakeAgent, cli: Run,
) -> None:  # fmt: skip
    """Its text never comes from the command line."""
    agent.answer({"accessor": "a1"})
    assert cli("token", *words, stdin=stdin).code == 0
    method, path, body = asked
    assert agent.asked == [(method, f"/api/v1/tokens{path}", body)]


@pytest.mark.parametrize(
    "words", [(), ("a1", "--self"), ("--self", "--stdin"), ("a1", "--keep-children")]
)
def test_it_must_be_clear_which_token_ends(
    words: tuple[str, ...], agent: FakeAgent, cli: Run
) -> None:
    """Nothing is revoked by a guess."""
    assert cli("token", "revoke", *words).code == 64
    assert agent.seen == []


def test_a_script_gets_the_token_alone(agent: FakeAgent, cli: Run) -> None:
    """As it is, and nothing beside it."""
    agent.answer({"token": "s.x"}, 201)
    done = cli("token", "create", "--raw")
    assert (done.out, done.err) == ("s.x\n", "")
