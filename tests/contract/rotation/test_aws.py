"""Access keys at moto's server, which speaks IAM and STS."""

import logging
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.session import Session
from moto.server import ThreadedMotoServer

from vault.errors import ValidationError
from vault.rotation.issuing import IssuingRotator
from vault.rotation.rotator import RotationContext, RotationError, Value
from vault.rotation.rotators import aws, generated

MakeContext = Callable[..., RotationContext]
USER = "app"
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Its address."""
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    yield f"http://{host}:{port}"
    moto.stop()


@pytest.fixture
def iam(server: str) -> Iterator[Any]:
    """An administrator's client; there is the user, and nothing else."""
    client = Session().create_client(
        "iam", region_name="us-east-1", endpoint_url=server,
        aws_access_key_id="admin", aws_secret_access_key="admin-secret",
    )  # fmt: skip
    client.create_user(UserName=USER)
    yield client
    for key_id in keys(client):
        client.delete_access_key(UserName=USER, AccessKeyId=key_id)
    client.delete_user(UserName=USER)
    client.close()


@pytest.fixture
def connection(server: str) -> dict[str, str]:
    """What the agent reads from the connection's secret."""
    return {
        "access_key_id": "admin",
        "secret_access_key": "canary-admin-secret",
        "endpoint": server,
    }


def keys(iam: Any) -> list[str]:
    """The user's keys."""
    return [k["AccessKeyId"] for k in iam.list_access_keys(UserName=USER)["AccessKeyMetadata"]]


def make(**config: object) -> aws.AwsRotator:
    """A rotator of the user."""
    rotator = aws.KIND.make(aws.KIND.parse({"username": USER, **config}))
    assert isinstance(rotator, aws.AwsRotator)
    return rotator


def rotate(context: RotationContext, previous: Value) -> Value:
    """All steps but the last."""
    draft = make().create(context, previous)
    value = make().issue(context, draft, previous)
    make().apply(context, value)
    make().verify(context, value)
    return value


def refused(run: Callable[[], object]) -> RotationError:
    """The error that it raises."""
    with pytest.raises(RotationError) as caught:
        run()
    return caught.value


def test_a_rotation_from_one_key_to_the_next(
    iam: Any, connection: dict[str, str], make_context: MakeContext
) -> None:
    """Both are there until the old one is retired."""
    old = rotate(make_context(connection), {})
    assert old.keys() == {"username", "access_key_id", "secret_access_key"}
    new = rotate(make_context(connection, fence=2), old)
    assert set(keys(iam)) == {old["access_key_id"], new["access_key_id"]}
    for _ in range(2):
        make().retire(make_context(connection), old)
        assert keys(iam) == [new["access_key_id"]]
    make().verify(make_context(connection), new)
    assert refused(lambda: make().apply(make_context(connection), old)).code == "aws_key_missing"


def test_a_key_whose_secret_was_lost_in_a_crash_is_deleted(
    iam: Any, connection: dict[str, str], make_context: MakeContext
) -> None:
    """`issue` is called again with the draft that was persisted: no slot stays taken."""
    context = make_context(connection)
    old = rotate(context, {})
    draft = make().create(context, old)
    lost = [make().issue(context, draft, old)["access_key_id"] for _ in range(3)]
    value = make().issue(context, draft, old)
    assert set(keys(iam)) == {old["access_key_id"], value["access_key_id"]}
    assert value["access_key_id"] not in lost


def test_a_rotation_that_is_given_up_leaves_no_key(
    iam: Any, connection: dict[str, str], make_context: MakeContext
) -> None:
    """Not even one whose secret was lost; the old one goes on."""
    context = make_context(connection)
    old = rotate(context, {})
    draft = make().create(context, old)
    make().issue(context, draft, old)
    for _ in range(2):
        make().discard(context, draft)
        assert keys(iam) == [old["access_key_id"]]
    error = refused(lambda: make().discard(context, {"username": USER}))
    assert error.code == "value_field_missing"
    assert keys(iam) == [old["access_key_id"]]


def test_no_key_that_was_there_before_is_deleted(
    iam: Any, connection: dict[str, str], make_context: MakeContext
) -> None:
    """A person's key blocks a rotation, and never the other way round."""
    foreign = iam.create_access_key(UserName=USER)["AccessKey"]["AccessKeyId"]
    context = make_context(connection)
    draft = make().create(context, {})
    for _ in range(2):
        value = make().issue(context, draft, {})
        assert set(keys(iam)) == {foreign, value["access_key_id"]}
    error = refused(lambda: make().create(context, value))
    assert (error.code, error.is_final) == ("aws_key_limit", True)
    assert foreign in keys(iam)


def test_a_key_that_is_used_is_nobodys_lost_one(
    iam: Any, connection: dict[str, str], make_context: MakeContext, server: str
) -> None:
    """Made by a person since the rotation began: the rotation stops."""
    context = make_context(connection)
    draft = make().create(context, {})
    foreign = iam.create_access_key(UserName=USER)["AccessKey"]
    client = Session().create_client(
        "iam", region_name="us-east-1", endpoint_url=server,
        aws_access_key_id=foreign["AccessKeyId"], aws_secret_access_key=foreign["SecretAccessKey"],
    )  # fmt: skip
    client.list_users()
    client.close()
    error = refused(lambda: make().issue(context, draft, {}))
    assert (error.code, error.is_final) == ("aws_foreign_key", True)
    assert keys(iam) == [foreign["AccessKeyId"]]


def test_an_agent_that_was_replaced_makes_no_key(
    iam: Any, connection: dict[str, str], make_context: MakeContext
) -> None:
    """The user's tag has a higher fence."""
    draft = make().create(make_context(connection), {})
    value = make().issue(make_context(connection, fence=5), draft, {})
    error = refused(lambda: make().issue(make_context(connection, fence=4), draft, {}))
    assert error.code == "aws_fence"
    assert keys(iam) == [value["access_key_id"]]


def test_apply_switches_a_key_on_again(
    iam: Any, connection: dict[str, str], make_context: MakeContext
) -> None:
    """As after an undo."""
    value = rotate(make_context(connection), {})
    key_id = value["access_key_id"]
    iam.update_access_key(UserName=USER, AccessKeyId=key_id, Status="Inactive")
    make().apply(make_context(connection), value)
    found = iam.list_access_keys(UserName=USER)["AccessKeyMetadata"]
    assert [each["Status"] for each in found] == ["Active"]


def test_errors_say_what_to_do_and_hold_no_secret(
    iam: Any, connection: dict[str, str], make_context: MakeContext, canary: str
) -> None:
    """No such user, nobody there, an endpoint without TLS, fields that are missing."""
    context = make_context(connection)
    away = {**connection, "endpoint": "http://127.0.0.1:1", "secret_access_key": canary}
    plain = {**connection, "endpoint": "http://iam.example", "secret_access_key": canary}
    value = {"access_key_id": canary, "secret_access_key": canary}
    for code, run in (
        ("aws_user", lambda: make(username="nobody").create(context, {})),
        ("aws_unreachable", lambda: make().create(make_context(away), {})),
        ("aws_unreachable", lambda: make().verify(make_context(away), value)),
        ("aws_endpoint", lambda: make().create(make_context(plain), {})),
        ("connection_field_missing", lambda: make().create(make_context(), {})),
        ("value_field_missing", lambda: make().verify(context, {"access_key_id": canary})),
        ("aws_user", lambda: make().verify(context, value)),
    ):
        error = refused(run)
        assert error.code == code
        assert canary not in f"{error!r} {error.text} {error.__cause__!r}"


def test_no_log_holds_the_secret(
    iam: Any,
    connection: dict[str, str],
    make_context: MakeContext,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """At the level of debugging botocore would write whole answers."""
    caplog.set_level(logging.DEBUG)
    value = rotate(make_context(connection), {})
    assert caplog.records  # of others
    for record in caplog.records:
        text = f"{record.getMessage()} {record.args!r}"
        assert value["secret_access_key"] not in text, record.name
        assert connection["secret_access_key"] not in text, record.name


def test_nothing_of_the_machine_is_read(
    iam: Any,
    connection: dict[str, str],
    make_context: MakeContext,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither a proxy nor an endpoint nor credentials of the agent's environment."""
    for name in ("HTTP_PROXY", "http_proxy", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_IAM"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull + "/none")
    rotate(make_context(connection), {})
    assert len(keys(iam)) == 1
    monkeypatch.setenv("AWS_ENDPOINT_URL_IAM", connection.pop("endpoint"))
    nowhere = make(region="xx-nowhere-1")  # a host name that does not exist
    context = make_context(connection, timeout=6)
    assert refused(lambda: nowhere.create(context, {})).code == "aws_unreachable"


def test_the_engine_can_tell_the_kinds_apart() -> None:
    """By the step that others do not have."""
    assert isinstance(make(), IssuingRotator)
    other = generated.KIND.make(generated.KIND.parse({}))
    assert not isinstance(other, IssuingRotator)


@pytest.mark.parametrize(
    "config", [{"username": "a b"}, {"username": ""}, {"region": "../x"}, {"more": 1}]
)
def test_settings_are_checked(config: dict[str, object]) -> None:
    """When they are written."""
    with pytest.raises(ValidationError):
        aws.KIND.parse({"username": USER, **config})
