"""Drafts: values are gone before anything is queued, and the size is bounded."""

import msgspec
import pytest

from vault.audit.hashing import ValueHasher
from vault.audit.pending_record import prepare_event
from vault.audit.record import MAX_BODY, MAX_TEXT, AuditEvent
from vault.audit.testing import NOW, make_event, make_keys

HASHER = ValueHasher(make_keys().mac)
CANARY = "canary-7f3a"


def _body(event: AuditEvent) -> AuditEvent:
    draft = prepare_event(event, NOW, HASHER)
    assert (draft.time, draft.kind) == (NOW, "event")
    return msgspec.json.decode(draft.body, type=AuditEvent)


def test_an_event_stays_what_it_was() -> None:
    """All but request and response is logged as it was reported."""
    event = make_event(request=None, code="x", rule="app[0]")
    assert _body(event) == event


def test_no_value_is_in_the_draft() -> None:
    """Neither request nor response shows a value, whatever its type."""
    event = make_event(
        request={"a": CANARY, "n": 918273}, response=[CANARY.encode(), {"b": CANARY}]
    )
    body = prepare_event(event, NOW, HASHER).body
    assert CANARY.encode() not in body
    assert b"918273" not in body
    assert HASHER.hash_value(CANARY).encode() in body


def test_a_long_user_agent_is_cut() -> None:
    """What a client chose freely does not fill the log."""
    assert len(_body(make_event(user_agent="u" * 9_000)).user_agent) == MAX_TEXT


def test_a_huge_event_is_shortened_to_hashes() -> None:
    """A body above the bound keeps who, what and where, and one hash for each side."""
    request = {("k" * 250) + str(number): number for number in range(900)}
    event = make_event(request=request, actor_name="n" * 5_000, response={"a": 1})
    body = prepare_event(event, NOW, HASHER).body
    short = msgspec.json.decode(body, type=AuditEvent)
    assert len(body) < MAX_BODY
    assert short.request == HASHER.hash_value(request)
    assert short.response == HASHER.hash_value({"a": 1})
    assert short.actor_name == "n" * MAX_TEXT
    assert short.path == event.path


def test_what_cannot_be_encoded_fails_its_own_event() -> None:
    """A fault in one event is raised to who reports it."""
    with pytest.raises(TypeError):
        prepare_event(make_event(request=object()), NOW, HASHER)
