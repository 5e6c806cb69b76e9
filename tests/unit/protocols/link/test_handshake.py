"""Who is there, and which session it makes."""

from dataclasses import replace

import msgspec
import pytest

from protocols.link.delivery import NO_CURSOR
from protocols.link.errors import Fault, LocalFaultError, RemoteFaultError
from protocols.link.handshake import (
    ChannelBinding,
    check_hello,
    check_nonce,
    check_welcome,
    derive_session_id,
)
from protocols.link.messages import Hello, Welcome
from tests.unit.protocols.link.duet import CHANNEL, UP, fixed

HELLO = Hello(versions=(1,), org="acme", nonce=fixed("n"), stream=UP, newest=0, received=NO_CURSOR)
WELCOME = Welcome(
    version=1, agent_nonce=fixed("n"), nonce=fixed("m"), stream=UP, newest=0, received=NO_CURSOR
)


def test_everything_that_makes_a_session_changes_its_id():
    """Certificates, names, nonces and the version: change any, and it is another session."""
    one, two = fixed("one"), fixed("two")
    ids = {
        derive_session_id(CHANNEL, one, two, 1),
        derive_session_id(CHANNEL, two, one, 1),
        derive_session_id(CHANNEL, one, one, 1),
        derive_session_id(replace(CHANNEL, agent_certificate=bytes(32)), one, two, 1),
        derive_session_id(replace(CHANNEL, control_certificate=bytes(32)), one, two, 1),
        derive_session_id(replace(CHANNEL, org="acm", vault="eprod"), one, two, 1),
        derive_session_id(replace(CHANNEL, vault="test"), one, two, 1),
        derive_session_id(CHANNEL, one, two, 2),
    }
    assert len(ids) == 8
    assert {len(id_) for id_ in ids} == {16}


def test_a_hello_must_say_what_its_certificate_says():
    """The certificate decides: a hello for another vault or organization is refused."""
    assert check_hello(HELLO, "prod", CHANNEL, (1, 2)) == 1
    for hello, vault, fault in (
        (HELLO, "test", Fault.IDENTITY),
        (msgspec.structs.replace(HELLO, org="other"), "prod", Fault.IDENTITY),
        (msgspec.structs.replace(HELLO, versions=(3, 4)), "prod", Fault.VERSION),
    ):
        with pytest.raises(RemoteFaultError) as caught:
            check_hello(hello, vault, CHANNEL, (1, 2))
        assert caught.value.fault is fault


def test_a_welcome_answers_this_hello():
    """A recorded welcome has another nonce in it."""
    check_welcome(WELCOME, fixed("n"), (1, 2))
    for welcome, nonce, fault in (
        (WELCOME, fixed("other"), Fault.NONCE),
        (msgspec.structs.replace(WELCOME, version=3), fixed("n"), Fault.VERSION),
    ):
        with pytest.raises(RemoteFaultError) as caught:
            check_welcome(welcome, nonce, (1, 2))
        assert caught.value.fault is fault


def test_the_highest_version_that_both_know_is_spoken():
    """Whichever end is the older one; what only one knows is not."""
    for offered, spoken, chosen in (((1,), (1, 2), 1), ((1, 2), (1,), 1), ((1, 2, 9), (1, 2), 2)):
        hello = msgspec.structs.replace(HELLO, versions=offered)
        assert check_hello(hello, "prod", CHANNEL, spoken) == chosen


def test_our_own_part_has_its_sizes():
    """A short nonce or an unhashed certificate is our bug, found at once."""
    assert check_nonce(fixed("x")) == fixed("x")
    with pytest.raises(LocalFaultError, match="nonce"):
        check_nonce(b"short")
    with pytest.raises(LocalFaultError, match="SHA-256"):
        ChannelBinding(org="a", vault="b", agent_certificate=b"DER", control_certificate=bytes(32))
