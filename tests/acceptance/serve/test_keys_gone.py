"""A sealed agent has no keys: not in the process that writes, nor in any that reads.

What is looked for are references. Python does not overwrite what it lets go, so bytes of a key may
lie in freed memory until it is used again: no promise is made of those.
"""

from pathlib import Path

import msgspec
import pytest

from tests.acceptance.agent import Agent, own_folder, running, served_agent
from tests.acceptance.witnessed import held_by, members_of, watch
from tests.acceptance.workers.waiting import await_true
from vault.barrier import KEYRING_ROW
from vault.crypto.keyring import SUBKEYS, Keyring
from vault.crypto.shamir import combine
from vault.seal.manager import SEAL_ROW
from vault.seal.root_keys.file import FileRootKey
from vault.seal.seal_record import SealRecord
from vault.store.sqlite import SqliteBackend
from vault.store.tables import SYSTEM

SECRET = "/v1/secret/data/app"


@pytest.mark.parametrize(("kept", "workers"), [("shamir", 1), ("shamir", 2), ("file", 1)])
def test_keys_are_gone_once_it_is_sealed(kept: str, workers: int) -> None:
    """Nothing that can be reached in any process holds one of them, or an object made of them.

    Also of a vault that was open when the process settled, and after it was opened once more.
    """
    with own_folder() as folder:
        agent = _watched(folder, workers, kept)
        with running(agent):
            shares = _initialised(agent)
        root_key = combine(shares) if shares else FileRootKey(folder / "root.key").load()
        (folder / "needles").write_bytes(_keys(folder, root_key))
        with running(agent):
            for opened in range(2 if shares else 1):
                for share in shares:
                    agent.call("PUT", "/v1/sys/unseal", {"key": share.hex()}, token="")
                _use(agent, first=not opened)
                leader, *others = members_of(agent)
                assert len(others) == (0 if workers == 1 else 1 + workers)
                await_true(lambda those=[leader, *others[1:]]: all(held_by(folder, those).values()))  # type: ignore[misc]  # a default
                assert agent.call("PUT", "/v1/sys/seal").status == 204
                assert agent.call("GET", SECRET).status == 503
                found = held_by(folder, [leader, *others])
                assert not any(found.values()), found


def _watched(folder: Path, workers: int, kept: str) -> Agent:
    encryption = {"key_management": kept}
    if kept == "file":
        encryption["key_file"] = str(folder / "root.key")
    server = {"listen": "127.0.0.1:0", "tls": {"enabled": False}, "workers": workers}
    sections = {"server": server, "encryption": encryption}
    if kept == "shamir":  # and a link to nobody, which outlives the data path
        sections["control_plane"] = {"enabled": True, "endpoint": "https://127.0.0.1:1"}
    agent = served_agent(folder, sections)
    watch(agent, folder)
    agent.anew = True  # nothing is there that a user's agent has not
    return agent


def _initialised(agent: Agent) -> list[bytes]:
    body = {"secret_shares": 5, "secret_threshold": 3}
    made = agent.call("PUT", "/v1/sys/init", body).json
    agent.token = made["root_token"]
    return [bytes.fromhex(share) for share in made["keys"][:3]]


def _keys(folder: Path, root_key: bytes) -> bytes:
    """All that the witness looks for, of 32 bytes each."""
    reader = SqliteBackend(f"sqlite:///{folder}/vault.db")
    reader.open()
    try:
        with reader.read() as session:
            seal, stored = session.get(SYSTEM, (SEAL_ROW,)), session.get(SYSTEM, (KEYRING_ROW,))
    finally:
        reader.close()
    assert seal is not None
    assert stored is not None
    record = msgspec.json.decode(seal.value, type=SealRecord)
    keyring = Keyring.decode(root_key, stored.value, org=record.org, vault=record.vault)
    subkeys = (getattr(keyring, name) for name in SUBKEYS)
    return b"".join((root_key, keyring.kek(keyring.active).export_bytes(), *subkeys))


def _use(agent: Agent, *, first: bool) -> None:
    """Write and read, so that every process has made what it makes of keys."""
    if first:
        mount = {"type": "kv", "options": {"version": "2"}}
        assert agent.call("POST", "/v1/sys/mounts/secret", mount).status == 204
    assert agent.call("POST", SECRET, {"data": {"a": 1}}).status == 200
    for _ in range(20):
        assert agent.call("GET", SECRET).status == 200
