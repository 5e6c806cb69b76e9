"""Shares of the root key are lost: enough of them restore, and fewer restore nothing."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.agent import running
from tests.acceptance.drills.drill import ANY, VALUE, YEARLY, Drill, make_drill

SECTION = "The root key is lost"
SHARES, THRESHOLD = 5, 3


@pytest.fixture
def drill(folder: Path) -> Iterator[Drill]:
    """An agent whose root key is in shares, with a backup."""
    place = [{"type": "local", "path": f"{folder}/backups"}]
    plan = {"enabled": True, "schedule": YEARLY, "destinations": place}
    made = make_drill(folder, backup=plan, encryption={"key_management": "shamir"})
    with running(made.agent):
        made.fill(shares=SHARES, threshold=THRESHOLD)
        made.scheduled()
        yield made


def lost(drill: Drill) -> None:
    """The database is gone."""
    drill.agent.stop()
    drill.lose_database()


def test_as_many_as_the_threshold(drill: Drill) -> None:
    """Any of them restore and unseal."""
    lost(drill)
    drill.follow(SECTION, stdin="\n".join(drill.shares[-THRESHOLD:]) + "\n")
    drill.agent.start()
    drill.shares = drill.shares[1 : 1 + THRESHOLD]
    drill.unseal()
    assert drill.agent.call("GET", "/v1/sys/seal-status").json["sealed"] is False


def test_one_fewer(drill: Drill) -> None:
    """Nothing is restored: neither with too few, nor with one that was made up, nor one twice."""
    lost(drill)
    few = drill.shares[: THRESHOLD - 1]
    made_up = bytearray(decode(drill.shares[2]))
    made_up[0] ^= 1
    for shares in (few, [*few, bytes(made_up).hex()], [*few, few[0]]):
        said = drill.follow(SECTION, stdin="\n".join(shares) + "\n", code=ANY)
        assert "share" in said.lower()
        assert not (drill.agent.folder / "vault.db").exists()
        assert VALUE not in said


def decode(share: str) -> bytes:
    """Its bytes."""
    try:
        return bytes.fromhex(share)
    except ValueError:
        return base64.b64decode(share)


def test_a_rekey(drill: Drill) -> None:
    """A full backup follows by itself. It opens with the new shares, older ones with the old."""
    (old,) = drill.scheduled()
    before = drill.shares
    after = rekey(drill)
    assert set(before).isdisjoint(after)
    newest = drill.scheduled(2)[0]
    assert newest["kind"] == "full"
    lost(drill)
    command = "freehold backup restore /backup/freehold ID --config /etc/freehold/vault.yaml "
    for backup, shares, code in (
        (old, after, False), (newest, before, False), (old, before, True), (newest, after, True),
    ):  # fmt: skip
        done = drill.type(
            f"{command} --dry-run", backup=backup["id"], stdin="\n".join(shares[:THRESHOLD]) + "\n"
        )
        assert (done.returncode == 0) is code, done.stderr
        if not code:
            assert "root key does not open" in done.stderr


def rekey(drill: Drill) -> list[str]:
    """By three holders, into as many new shares."""
    asked = {"secret_shares": SHARES, "secret_threshold": THRESHOLD}
    nonce = drill.want("PUT", "/v1/sys/rekey/init", asked)["nonce"]
    answer: Any = {}
    for share in drill.shares[:THRESHOLD]:
        answer = drill.want("PUT", "/v1/sys/rekey/update", {"key": share, "nonce": nonce})
    assert answer["complete"], answer
    shares: list[str] = answer["keys"]
    return shares
