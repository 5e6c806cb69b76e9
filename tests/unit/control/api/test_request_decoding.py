"""A request that is not of its shape is told by field and rule, and by nothing that was sent."""

from typing import Any

import msgspec
import pytest

from control.api.agents import Wanted, agents
from control.api.endpoint import Endpoint, EndpointGroup
from control.api.policies import NewRollout, NewVersion, policies
from control.api.request_decoding import decode_request, describe_error
from control.errors import ValidationError


@pytest.mark.parametrize(
    ("shape", "body", "field", "wrong"),
    [
        (NewVersion, '{"docment":{}}', "docment", "is not a known field"),
        (NewVersion, "{}", "document", "is required"),
        (
            NewVersion, '{"document":{"rules":[{"efect":"allow"}]}}', "document.rules[0].efect",
            "is not a known field",
        ),
        (
            NewVersion, '{"document":{"rules":[{"effect":"alow"}]}}', "document.rules[0].effect",
            "is not one of allow, deny",
        ),
        (
            NewVersion, '{"document":{"rules":[{"effect":"deny","paths":[""]}]}}',
            "document.rules[0].paths[0]", "has to be `str` of length >= 1",
        ),
        (
            NewRollout, '{"version":1,"plan":{"percentages":[250]}}', "plan.percentages[0]",
            "has to be `int` <= 100",
        ),
        (NewRollout, '{"version":"1"}', "version", "has to be `int | null`, not `str`"),
        (NewRollout, "[]", "", "has to be `object`, not `array`"),
    ],
)  # fmt: skip
def test_the_field_and_what_it_has_to_be(shape: type, body: str, field: str, wrong: str) -> None:
    """Its whole place, and the values that there are."""
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.json.decode(body, type=shape)
    assert describe_error(str(caught.value), shape) == (field, wrong)


@pytest.mark.parametrize(
    "body",
    [
        '{"version":1,"hunter2-Secret":1}',
        '{"version":1,"a - at `$.hunter2`":1}',
        '{"version":1,"plan":{"hunter2 - at `$.version`":1}}',
    ],
)
def test_what_is_no_name_of_a_field_is_not_repeated(body: str) -> None:
    """A key may be a secret that went to the wrong place; so may what looks like a place in it."""
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.json.decode(body, type=NewRollout)
    assert "hunter2" not in "".join(describe_error(str(caught.value), NewRollout))


def test_a_wrong_value_is_not_repeated() -> None:
    """Those that are allowed are told in its place, also where none at all is."""
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert({"presence": "hunter2"}, Wanted, strict=False)
    found = describe_error(str(caught.value), Wanted)
    assert found == ("presence", "is not one of unknown, online, late, offline")


def _endpoint(where: EndpointGroup[Any], method: str, path: str) -> Endpoint:
    return next(e for e in where.all if e.method == method and e.template.endswith(path))


def test_the_message_says_where_the_field_is() -> None:
    """In the body or in the query; the field is for programs too."""
    write = _endpoint(policies, "POST", "/versions")
    with pytest.raises(ValidationError) as caught:
        decode_request(
            write, b'{"document":{"rules":[{"effect":"alow"}]}}', b"", "application/json"
        )
    assert caught.value.code == "body_invalid"
    assert caught.value.details == {"field": "document.rules[0].effect"}
    assert caught.value.message == "body: document.rules[0].effect is not one of allow, deny"
    with pytest.raises(ValidationError, match="query: presence is not one of unknown, online"):
        decode_request(_endpoint(agents, "GET", "/agents"), b"", b"presence=of", "")
    with pytest.raises(ValidationError, match="the body has to be `object`, not `array`"):
        decode_request(write, b"[]", b"", "application/json")
