"""What every rotator promises, on a real server of its kind."""

import re
import socket
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.contract.rotation.targets import CANARY, LoginError, Target
from tests.support.cutter import AFTER, BEFORE, SILENT, cutter
from vault.rotation.rotator import RotationContext, RotationError, Rotator, Value

ROTATIONS = 50
PATIENCE = 30.0
ANY = re.compile(b"")
AFTER_LOGIN = {"postgresql": 5, "mysql": 4, "redis": 2, "ldap": 1}
"""How many messages a client has sent by then, at least."""


def rotate(target: Target, rotator: Rotator, fence: int, previous: Value) -> Value:
    """One rotation without a fault, the previous value retired at its end."""
    context = target.context(fence)
    value = rotator.create(context, previous)
    rotator.apply(context, value)
    rotator.verify(context, value)
    if previous:
        rotator.retire(context, previous)
    return value


def code_of(call: Callable[..., object], *args: object) -> str:
    """Of the error that a call raises, which shows no password."""
    with pytest.raises(RotationError) as caught:
        call(*args)
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    secrets = [CANARY, *(arg["password"] for arg in args if isinstance(arg, dict))]
    assert not any(secret and secret in shown for secret in secrets)
    return caught.value.code


def test_the_previous_value_works_until_it_is_retired(target: Target) -> None:
    """Both work in between, over three rotations."""
    rotator = target.rotator()
    first = rotate(target, rotator, 1, {})
    context = target.context(2)
    second = rotator.create(context, first)
    assert target.accepts(first)
    rotator.apply(context, second)
    rotator.verify(context, second)
    assert target.accepts(first)
    assert target.accepts(second)
    rotator.retire(context, first)
    assert not target.accepts(first)
    assert target.accepts(second)
    third = rotate(target, rotator, 3, second)
    assert target.accepts(third)
    assert not target.accepts(second)


@pytest.mark.parametrize("where", [BEFORE, AFTER])
@pytest.mark.parametrize("step", ["apply", "retire"])
def test_a_step_is_repeated_after_a_crash_at_each_statement(
    target: Target, step: str, where: str, tmp_path: Path
) -> None:
    """The connection is cut at each message; a second call comes to the same end."""
    rotator = target.rotator()
    previous = rotate(target, rotator, 1, {})
    fence = crashes = 0
    with cutter(tmp_path, target.socket) as way:
        way.at = ANY
        while True:
            fence += 1
            context = target.context(fence + 1, way.socket)
            value = rotator.create(context, previous)
            if step == "retire":
                rotator.apply(context, value)
            way.cut, way.spared, before = where, fence - 1, way.cuts
            run(rotator, step, context, previous, value)
            was_cut, way.cut = way.cuts > before, ""
            run(rotator, step, context, previous, value)
            if step == "apply":
                assert target.accepts(previous)
                rotator.verify(context, value)
                rotator.retire(context, previous)
            assert target.accepts(value)
            assert not target.accepts(previous)
            previous = value
            if not was_cut:
                break
            crashes += 1
    assert crashes >= 3


def run(
    rotator: Rotator, step: str, context: RotationContext, previous: Value, value: Value
) -> None:
    """The step, which may fail as the connection is cut, and in no other way."""
    failure = ("target_unreachable", False)
    try:
        if step == "apply":
            rotator.apply(context, value)
        else:
            rotator.retire(context, previous)
    except RotationError as error:
        failure = (error.code, error.is_final)
    assert failure == ("target_unreachable", False)


def test_an_earlier_holder_changes_nothing(target: Target) -> None:
    """An agent that was paused finds the fence of the next one."""
    rotator = target.rotator()
    first = rotate(target, rotator, 1 << 33, {})
    second = rotate(target, rotator, (1 << 33) + 5, first)
    third = rotate(target, rotator, (1 << 33) + 6, second)
    stale = target.context((1 << 33) + 4)
    late = dict(third, password="from-an-earlier-holder")
    assert code_of(rotator.apply, stale, late) == "fence_stale"
    assert code_of(rotator.retire, stale, third) == "fence_stale"
    assert target.accepts(third)
    assert not target.accepts(late)


def test_no_login_fails_through_rotations(target: Target) -> None:
    """An application that reads the current value before each login."""
    rotator = target.rotator()
    current = rotate(target, rotator, 1, {})
    logins = failed = 0
    done = threading.Event()

    def application() -> None:
        nonlocal logins, failed
        while not done.is_set():
            with lock:  # it has the value, and logs in before the grace is over
                value = current
                try:
                    target.connect(value["username"], value["password"])()
                except LoginError:
                    failed += 1
                logins += 1
                lock.notify_all()

    lock = threading.Condition()
    thread = threading.Thread(target=application)
    thread.start()
    try:
        for fence in range(2, ROTATIONS + 2):
            context = target.context(fence)
            previous, value = current, rotator.create(context, current)
            rotator.apply(context, value)  # while the application logs in with the previous one
            rotator.verify(context, value)
            with lock:
                seen = logins
                assert lock.wait_for(lambda: logins > seen, PATIENCE)  # noqa: B023
                current = value
                seen = logins
                assert lock.wait_for(lambda: logins > seen, PATIENCE)  # noqa: B023
                rotator.retire(context, previous)  # nobody has it any more
    finally:
        done.set()
        thread.join()
    assert failed == 0
    assert logins >= 2 * ROTATIONS


def test_a_target_that_is_down_is_said_to_be(target: Target, tmp_path: Path) -> None:
    """Another try may succeed."""
    rotator = target.rotator()
    context = target.context(1, tmp_path / target.socket.name)
    value = rotator.create(context, {})
    for call in (rotator.apply, rotator.verify, rotator.retire):
        assert code_of(call, context, value) == "target_unreachable"


def test_a_silent_target_is_given_up_in_time(target: Target, tmp_path: Path) -> None:
    """A step ends about when its timeout does."""
    rotator = target.rotator()
    place = tmp_path / target.socket.name
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(place))
        silent.listen()
        context = RotationContext("r", 1, 1.0, target.connection(place), bytes)
        began = time.monotonic()
        value = {"username": target.names[0], "password": "never-sent-anywhere"}
        assert code_of(rotator.apply, context, value) == "target_unreachable"
        assert time.monotonic() - began < PATIENCE


def test_a_target_that_falls_silent_is_given_up_in_time(target: Target, tmp_path: Path) -> None:
    """After the login, in the middle of a step."""
    rotator = target.rotator()
    with cutter(tmp_path, target.socket) as way:
        way.at, way.spared, way.cut = ANY, AFTER_LOGIN[target.kind], SILENT
        connection = target.connection(way.socket)
        context = RotationContext("r", 1, 5.0, connection, target.context().random)
        value = rotator.create(context, {})
        began = time.monotonic()
        assert code_of(rotator.apply, context, value) == "target_unreachable"
        assert time.monotonic() - began < PATIENCE
        assert way.cuts == 1


def test_a_wrong_administrator_is_named(target: Target) -> None:
    """The operator learns that the connection secret is wrong."""
    rotator = target.rotator()
    context = target.context(1, password="wrong-" + CANARY)
    value = rotator.create(context, {})
    assert code_of(rotator.apply, context, value) == "administrator_refused"


def test_a_wrong_password_does_not_verify(target: Target) -> None:
    """Only the value itself logs in."""
    rotator = target.rotator()
    value = rotate(target, rotator, 1, {})
    first = "y" if value["password"].startswith("x") else "x"
    wrong = dict(value, password=first + value["password"][1:])
    assert code_of(rotator.verify, target.context(), wrong) == "login_refused"
    empty = dict(value, password="")
    assert code_of(rotator.verify, target.context(), empty) == "value_invalid"


def test_a_connection_without_an_address_is_refused(target: Target) -> None:
    """The text of the error repeats nothing of it."""
    rotator = target.rotator()
    value = rotator.create(target.context(), {})
    for url in ("", "ftp://somewhere", "postgresql://a\nb@h/d"):
        context = target.context(url=url)
        assert code_of(rotator.apply, context, value) == "connection_invalid"


def test_no_password_is_shown_by_what_is_logged(target: Target) -> None:
    """Contexts are shown without the connection."""
    context = target.context()
    assert CANARY not in repr(context)
    assert CANARY not in repr(context.access)
