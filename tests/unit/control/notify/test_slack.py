"""What Slack gets is within its bounds, and plain text."""

import json

from msgspec.structs import replace

from control.notify import slack
from tests.unit.control.notify.letters import BAD, MANY, NOTICE, ONE


def test_blocks() -> None:
    """A heading, one section a notice, and where to read on."""
    told = json.loads(slack.slack_body(ONE))
    assert told["text"] == "[Freehold acme] critical: agent v1 is gone"
    assert [block["type"] for block in told["blocks"]] == ["header", "section", "context"]
    assert "CRITICAL: agent v1 is gone" in told["blocks"][1]["text"]["text"]
    foot = [element["text"] for element in told["blocks"][2]["elements"]]
    assert foot == ["https://control.example/alerts?org=acme", "Message d1"]


def test_nothing_is_markup() -> None:
    """Texts are plain ones; what has to be markup is escaped: nobody is called by it."""
    told = json.loads(slack.slack_body(BAD))
    kinds = {element["type"] for block in told["blocks"] for element in texts(block)}
    assert kinds == {"plain_text"}
    one = json.loads(slack.slack_body(replace(BAD, omitted=0)))
    assert "<" not in one["text"]
    assert "&lt;script&gt;" in one["text"]


def test_bounds() -> None:
    """Fifty blocks and 3,000 characters are Slack's; the rest is counted."""
    told = json.loads(slack.slack_body(MANY))
    assert len(told["blocks"]) == slack.MAX_SHOWN + 2
    assert "and 10 more" in told["blocks"][-1]["elements"][0]["text"]
    long = replace(ONE, notices=(replace(NOTICE, message="x" * 10_000),))
    for block in json.loads(slack.slack_body(long))["blocks"]:
        assert all(len(element["text"]) <= 3000 for element in texts(block))


def texts(block: dict) -> list[dict]:  # type: ignore[type-arg]
    """The texts of a block."""
    return block["elements"] if "elements" in block else [block["text"]]
