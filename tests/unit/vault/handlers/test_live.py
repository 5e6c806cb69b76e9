"""Who may follow what, and for how long."""

import pytest
from msgspec.structs import replace

from tests.unit.vault.handlers.conftest import HERE, ROOT, House
from vault.authn.stream_subscriber import StreamSubscriber
from vault.authz.authorizer import Authorizer
from vault.errors import ValidationError
from vault.handlers.handler import Call
from vault.handlers.live import LiveHandlers, SubscriberAccess
from vault.model.identity import Identity, Method
from vault.model.live_topics import TOPIC_PATHS, TopicRows, TopicWatch
from vault.model.operation import Capability, Operation, OperationType
from vault.model.path import ResourcePath
from vault.model.payloads import WritePolicy


async def rows() -> TopicRows:
    """Of a topic."""
    return {}


async def ask(house: House, name: str, path: str, payload: object, by: Identity) -> object:
    """Run one."""
    watchers = SubscriberAccess(house.tokens, house.sessions, Authorizer(house.book), house.world)
    table = LiveHandlers(dict.fromkeys(TOPIC_PATHS, rows), watchers).handlers()
    op = Operation(
        type=OperationType(name), path=ResourcePath.parse(path), payload=payload, request_id="r",
        credential=None, origin=HERE,
    )  # fmt: skip
    assert table["live.watch"].capability is Capability.READ
    return await table[name].run(Call(op, by))


async def test_a_session_opens_a_feed_and_a_key_does_not(house: House) -> None:
    """A key has no end that a page could be told of."""
    assert isinstance(await ask(house, "live.open", "sys/live", None, ROOT), StreamSubscriber)
    with pytest.raises(ValidationError, match="session_missing"):
        await ask(house, "live.open", "sys/live", None, replace(ROOT, method=Method.API_KEY))


async def test_what_was_allowed_is_asked_for_again(house: House) -> None:
    """By the policies as they are then."""
    who = await house.allow("looks", "sys/health", capabilities=("read",))
    guest = await ask(house, "live.open", "sys/live", None, who)
    watching = await ask(house, "live.watch", "sys/health", guest, who)
    assert isinstance(watching, TopicWatch)
    assert watching.read is rows
    assert watching.is_allowed()
    await house.do("policy.write", "sys/policies/looks", WritePolicy(document={"rules": []}))
    assert not watching.is_allowed()


async def test_there_is_no_other_topic(house: House) -> None:
    """Whatever one may read."""
    guest = await ask(house, "live.open", "sys/live", None, ROOT)
    with pytest.raises(ValidationError, match="topic_unknown"):
        await ask(house, "live.watch", "secret/app", guest, ROOT)
