"""A candidate and what came of it: bounded, and nothing comes twice."""

from typing import Any

import msgspec
import pytest

from protocols.link import codec
from protocols.link import messages as m
from protocols.link.errors import LocalFaultError
from protocols.link.limits import MAX_BUNDLE, MAX_FRAME
from protocols.link.vocabulary import ReplayOutcome, UndecidedReason
from tests.unit.protocols.link.duet import WALL, fixed

ASKED = m.PolicyReplay(
    replay_id=fixed("r"), rules=(b"{}",), since=WALL - 1, until=WALL, expires_at=WALL + 1
)
CHANGE = m.ReplayChange(identity=fixed("i"), secret=fixed("s"), denied=1, allowed=0)
FOUND = m.ReplayResult(
    replay_id=fixed("r"), outcome=ReplayOutcome.DONE, reached=WALL, records=3, accesses=2,
    unchanged=0, denied=1, allowed=0, drifted=0,
    undecided=(m.UndecidedCount(reason=UndecidedReason.CREDENTIAL_GONE, count=1),),
    changes=(CHANGE,),
)  # fmt: skip


def test_they_are_messages():
    """Both go over the wire as they are."""
    for message in (ASKED, FOUND):
        payload = codec.encode_payload(message)
        assert codec.decode_payload(codec.message_type_of(message), payload) == message


def test_rules_fit_into_a_frame_or_are_no_message():
    """As many as a bundle has, and as long together."""
    most = msgspec.structs.replace(ASKED, rules=(b"x" * (MAX_BUNDLE // 2),) * 2)
    assert len(codec.encode_payload(most)) < MAX_FRAME - 1024
    for rules in ((b"x" * MAX_BUNDLE, b"{}"), (b"{}",) * 501):
        with pytest.raises((LocalFaultError, ValueError)):
            codec.encode_payload(msgspec.structs.replace(ASKED, rules=rules))


@pytest.mark.parametrize(
    "changes", [{"undecided": FOUND.undecided * 2}, {"changes": (CHANGE, CHANGE)}]
)
def test_what_comes_twice_is_no_message(changes: dict[str, Any]):
    """It would be counted twice."""
    with pytest.raises((LocalFaultError, ValueError)):
        codec.encode_payload(msgspec.structs.replace(FOUND, **changes))
