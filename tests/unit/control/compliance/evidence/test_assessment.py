"""Shares are judged, and of many proofs those of what is wrong are kept."""

import pytest

from actors.testing import FakeWorld
from control.compliance import proofs
from control.compliance.evidence.assessment import (
    Period,
    audit_proofs,
    make_evidence,
    plural,
    share_result,
)
from control.core import Core
from control.model.compliance import Result, SettingProof
from tests.unit.control.compliance.conftest import noted


@pytest.mark.parametrize(
    ("fine", "total", "result"),
    [(0, 0, Result.NOT_EVIDENCED), (2, 2, Result.MET), (1, 2, Result.PARTLY), (0, 2, Result.GAP)],
)
def test_a_share_is_judged(fine: int, total: int, result: Result) -> None:
    """All, some, none, nothing."""
    assert share_result(fine, total) is result


def test_what_is_wrong_comes_first() -> None:
    """Within the bound, and the number of all is told."""
    many = [SettingProof("fine", str(n)) for n in range(proofs.MAX_PROOFS)]
    names = [f"v{n:03}" for n in range(60)]
    item = make_evidence(
        "x", "X", Result.GAP, "", figures={}, wrong=[SettingProof("wrong", "1")], fine=many,
        exceptions=names,
    )  # fmt: skip
    assert item.proofs[0] == SettingProof("wrong", "1")
    assert (len(item.proofs), item.total) == (proofs.MAX_PROOFS, proofs.MAX_PROOFS + 1)
    assert (item.exceptions[0], item.exceptions[-1]) == ("v000", "and 10 more")
    assert (plural(1, "agent"), plural(2, "policy", "policies")) == ("1 agent", "2 policies")


async def test_records_of_the_period_count(core: Core, world: FakeWorld) -> None:
    """By their operation's beginning and their result, from the first instant to before the end."""
    for name, result in (("users.create", "ok"), ("users.x", "denied"), ("policies.write", "ok")):
        await noted(core, name, result)
    span = Period("acme", world.now(), world.now() + 1, world.now())
    found, total = await core.store.read(lambda tx: audit_proofs(tx, span, "users.", result="ok"))
    assert (len(found), total) == (1, 1)
    past = Period("acme", 1, world.now(), world.now())
    assert await core.store.read(lambda tx: audit_proofs(tx, past, "users.")) == ([], 0)
