"""Notices become entries of the channels that want them, all of them or none."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from control.model.agents import Life, new_agent
from control.model.records import Severity
from control.services import notification_fan_out
from control.services.notification_fan_out import fan_out_notices
from control.store import agents, notices
from tests.newest import place_control
from tests.unit.control.services.told import Rig, rig

URL = "http://127.0.0.1:1/"


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[Rig]:
    """With an agent `v`, tagged `prod`."""
    async with rig(place_control(tmp_path)) as made:
        row = new_agent("acme", "v", Life.ACTIVE, now=1, tags=("prod",))
        await made.store.write(lambda tx: agents.add_agent(tx, row))
        yield made


async def waiting(there: Rig) -> dict[str, int]:
    """How many entries each channel has, by its name."""
    counts = await there.store.read(lambda tx: notices.waiting_entries(tx, "acme"))
    held = await there.parts.channels.list_channels("acme")
    return {each.channel.name: counts.get(each.channel.id, (0, 0))[0] for each in held}


async def test_to_whom_it_matters(there: Rig) -> None:
    """By tag, by severity, by name; an organization's alerts stay its own."""
    await there.channel(URL, "prod", tags=("prod",))
    await there.channel(URL, "test", tags=("test",))
    await there.channel(URL, "all", severity=Severity.INFO)
    await there.channel(URL, "w", vaults=("w",))
    other = there.alerts.new_alert("beta", "v", "agent_offline", Severity.CRITICAL, "theirs")
    await there.alerts.fire_alerts(other)
    await there.alert()
    await there.alert("unknown", "w", Severity.INFO)
    done = await there.store.write(lambda tx: fan_out_notices(tx, there.world.now()))
    assert done == (3, 3, 0, 0)
    assert await waiting(there) == {"prod": 1, "test": 0, "all": 2, "w": 0}
    assert await there.store.write(lambda tx: fan_out_notices(tx, 1)) == (0, 0, 0, 0)


async def test_a_full_queue_counts_what_it_leaves_out(
    there: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And has room for what is urgent, up to a bound as well."""
    monkeypatch.setattr(notification_fan_out, "QUEUE", 2)
    monkeypatch.setattr(notification_fan_out, "RESERVE", 1)
    held = await there.channel(URL)
    for vault in ("a", "b", "c"):
        await there.alert("disk_low", vault, Severity.WARNING)
    for vault in ("d", "e"):
        await there.alert("agent_offline", vault)
    done = await there.store.write(lambda tx: fan_out_notices(tx, there.world.now()))
    assert (done.entries, done.omitted) == (3, 2)
    assert (await there.row(held)).omitted == 2


async def test_a_failure_leaves_all_as_it_was(there: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The notice waits until a whole step is done."""
    await there.channel(URL)
    await there.alert()

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(notification_fan_out.notices, "put_last_notices", broken)
    with pytest.raises(ZeroDivisionError):
        await there.store.write(lambda tx: fan_out_notices(tx, 1))
    monkeypatch.undo()
    assert await waiting(there) == {"hook": 0}
    assert (await there.store.write(lambda tx: fan_out_notices(tx, 1))).entries == 1
