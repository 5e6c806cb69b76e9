"""Who is there, and which session it makes."""

from dataclasses import replace

import msgspec
import pytest

from protocols.link.delivery import NO_CURSOR
from protocols.link.errors import Fault, LocalFaultError, RemoteFaultError
from protocols.link.handshake import (
    Channel,
    check_hello,
    check_nonce,
    check_welcome,
    session_id,
)
from protocols.link.messages import Hello, Welcome
from tests.unit.protocols.link.duet import CHANNEL, UP, fixed

HELLO = Hello(versions=(1,), org="acme", nonce=fixed("n"), stream=UP, newest=0, received=NO_CURSOR)
WELCOME = Welcome(
    version=1, agent_nonce=fixed("n"), nonce=fixed("m"), stream=UP, newest=0, received=NO_CURSOR
)


def test_everything_that_makes_a_session_changes_its_id():
    """Certificates, names and nonces: change any, and it is another session."""
    one, two = fixed("one"), fixed("two")
    ids = {
        session_id(CHANNEL, one, two),
        session_id(CHANNEL, two, one),
        session_id(CHANNEL, one, one),
        session_id(replace(CHANNEL, agent_certificate=bytes(32)), one, two),
        session_id(replace(CHANNEL, control_certificate=bytes(32)), one, two),
        session_id(replace(CHANNEL, org="acm", vault="eprod"), one, two),
        session_id(replace(CHANNEL, vault="test"), one, two),
    }
    assert len(ids) == 7
    assert {len(id_) for id_ in ids} == {16}


def test_a_hello_must_say_what_its_certificate_says():
    """The certificate decides: a hello for another vault or organization is refused."""
    check_hello(HELLO, "prod", CHANNEL)
    for hello, vault, fault in (
        (HELLO, "test", Fault.IDENTITY),
        (msgspec.structs.replace(HELLO, org="other"), "prod", Fault.IDENTITY),
        (msgspec.structs.replace(HELLO, versions=(2, 3)), "prod", Fault.VERSION),
    ):
        with pytest.raises(RemoteFaultError) as caught:
            check_hello(hello, vault, CHANNEL)
        assert caught.value.fault is fault


def test_a_welcome_answers_this_hello():
    """A recorded welcome has another nonce in it."""
    check_welcome(WELCOME, fixed("n"))
    for welcome, nonce, fault in (
        (WELCOME, fixed("other"), Fault.NONCE),
        (msgspec.structs.replace(WELCOME, version=2), fixed("n"), Fault.VERSION),
    ):
        with pytest.raises(RemoteFaultError) as caught:
            check_welcome(welcome, nonce)
        assert caught.value.fault is fault


def test_our_own_part_has_its_sizes():
    """A short nonce or an unhashed certificate is our bug, found at once."""
    assert check_nonce(fixed("x")) == fixed("x")
    with pytest.raises(LocalFaultError, match="nonce"):
        check_nonce(b"short")
    with pytest.raises(LocalFaultError, match="SHA-256"):
        Channel(org="a", vault="b", agent_certificate=b"DER", control_certificate=bytes(32))
