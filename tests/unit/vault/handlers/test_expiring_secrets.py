"""A look at the secrets that expire soon."""

from typing import Any

import pytest

from tests.unit.vault.handlers.conftest import NOW, ROOT, SECOND, House
from tests.unit.vault.handlers.test_usage import opaque
from vault.handlers import expiring_secrets as module
from vault.handlers.expiring_secrets import ExpiringSecretHandlers
from vault.handlers.handler import Call
from vault.handlers.stores import SecretStore
from vault.model.operation import Operation, OperationType, Origin
from vault.model.path import ResourcePath
from vault.model.payloads import SecretVersions
from vault.model.usage import ExpiringReport, FindExpiring

DAY = 86_400 * SECOND


async def look(house: House, days: int, ended: tuple[int, bytes] = (0, b"")) -> ExpiringReport:
    """As the pipeline would."""
    handlers = ExpiringSecretHandlers(SecretStore(house.barrier), opaque, house.world).handlers()
    op = Operation(
        type=OperationType("usage.expiring"), path=ResourcePath.parse("sys/usage"), request_id="r",
        payload=FindExpiring(within=days * DAY, ended=ended), credential=None,
        origin=Origin(ip=""),
    )  # fmt: skip
    found: Any = await handlers["usage.expiring"].run(Call(op, ROOT))
    assert isinstance(found, ExpiringReport)
    return found


async def test_what_expires_in_time_is_found_by_opaque_id(house: House) -> None:
    """Neither what lives on, nor what has no end, nor what is over or has no value."""
    for name, days in (("over", 1), ("soon", 5), ("deleted", 6), ("later", 60)):
        await house.write(f"s/{name}", expires_at=NOW + days * DAY)
    await house.write("s/for ever")
    await house.write("s/soon", expires_at=NOW + 5 * DAY)
    await house.do("secret.delete", "s/deleted", SecretVersions())
    house.world.time = NOW + 2 * DAY
    row = await house.head("s/soon")
    assert row is not None
    found = await look(house, 30)
    assert found.total == 1
    (one,) = found.secrets
    assert (one.opaque, one.version) == (opaque("secret", row.id), 2)
    assert one.expires_at == NOW + 5 * DAY


async def test_of_many_the_soonest_are_named(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """All are counted, page after page."""
    monkeypatch.setattr(module, "MAX_EXPIRING", 2)
    for days in (4, 1, 5, 2, 3):
        await house.write(f"s/{days}", expires_at=NOW + days * DAY)
    found = await look(house, 30)
    assert found.total == 5
    assert [one.expires_at for one in found.secrets] == [NOW + DAY, NOW + 2 * DAY]


async def test_what_has_ended_is_found_behind_what_is_known(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the order of end and opaque id, so that none of many with one end is passed over."""
    monkeypatch.setattr(module, "MAX_EXPIRING", 2)
    for name in "abcde":
        await house.write(f"s/{name}", expires_at=NOW + DAY)
    await house.write("s/first", expires_at=NOW + 1)
    await house.write("s/live", expires_at=NOW + 9 * DAY)
    await house.write("s/deleted", expires_at=NOW + DAY)
    await house.do("secret.delete", "s/deleted", SecretVersions())
    assert (await look(house, 30)).ended == ()
    house.world.time = NOW + DAY  # the very end is over: reads are refused from then on
    told: list[tuple[int, bytes]] = [(0, b"")]
    while ended := (await look(house, 30, told[-1])).ended:
        assert len(ended) <= 2
        told += [(one.expires_at, one.opaque) for one in ended]
    assert [end for end, _ in told] == [0, NOW + 1, *[NOW + DAY] * 5]
    assert len({id_ for _, id_ in told}) == 7
    assert told == sorted(told)
