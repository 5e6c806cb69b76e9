"""Tests of the gate: init, unseal, run, seal, and open again."""

import gc
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from protocols import json_text
from tests.unit.vault.gatehouse import Vault
from vault.barrier import KEYRING_ROW
from vault.crypto import shamir
from vault.crypto.errors import KeyFileError
from vault.crypto.keyring import Keyring
from vault.errors import (
    ConflictError,
    SetupError,
    TamperedError,
    UnavailableError,
    ValidationError,
    VaultError,
)
from vault.model.operation import Operation, OperationType, Origin
from vault.model.path import ResourcePath
from vault.model.payloads import Nothing
from vault.seal.manager import (
    DRAIN_TIMEOUT,
    ROLLBACK_ACCEPTED,
    SEAL_ROW,
    SEALED_ON_ORDER,
    InitResult,
    SealRecord,
)
from vault.seal.root_keys.file import FileRootKey
from vault.seal.root_keys.shamir import ShamirRootKey
from vault.seal.root_keys.shares import SealConfig

OP = Operation(
    type=OperationType("op"), path=ResourcePath.parse("s/a"), payload=Nothing(), request_id="r",
    credential=None, origin=Origin(ip=""),
)  # fmt: skip


@pytest.fixture
async def vault(nursery: trio.Nursery) -> Vault:
    """One that unseals with shares."""
    return Vault(nursery, None)


async def test_before_init(vault: Vault) -> None:
    """Nothing is served, nothing can be unsealed, and the status says so."""
    await vault.seal_manager.reload()
    status = vault.seal_manager.status()
    assert (status.type, status.initialized, status.sealed) == ("shamir", False, True)
    with pytest.raises(UnavailableError, match="not_initialized"):
        await vault.seal_manager.run_operation(OP)
    with pytest.raises(UnavailableError, match="operator init"):
        _ = vault.seal_manager.mounts
    with pytest.raises(ValidationError, match="not_initialized"):
        await vault.seal_manager.unseal(bytes(33))
    assert vault.seal_manager.reset_unseal().progress == 0


async def test_no_vault_is_made_that_could_not_be_opened(vault: Vault) -> None:
    """Its shares would be worth nothing: nothing is made, and it is told why."""
    vault.lacks = UnavailableError("anchor_unavailable", "no folder")
    with pytest.raises(UnavailableError, match="anchor_unavailable"):
        await vault.init()
    assert vault.system.rows == {}
    vault.lacks = None
    assert len((await vault.seal_manager.initialize(3, 2)).shares) == 3


async def test_no_vault_is_made_whose_key_file_cannot_be_looked_for(
    nursery: trio.Nursery, tmp_path: Path
) -> None:
    """It is told with the setting, not as an internal error."""
    vault = Vault(nursery, FileRootKey(tmp_path / ("n" * 300) / "key"))
    with pytest.raises(SetupError, match=r"encryption\.key_file"):
        await vault.init()
    assert vault.system.rows == {}


async def test_init(vault: Vault) -> None:
    """Shares and root token are handed out once; the vault is sealed, and no share is stored."""
    made = await vault.init(5, 3)
    assert (len(made.shares), made.root_token) == (5, "s.minted")
    status = vault.seal_manager.status()
    assert (status.initialized, status.sealed) == (True, True)
    assert (status.shares, status.threshold, status.progress) == (5, 3, 0)
    assert not any(share in row for share in made.shares for row in vault.system.rows.values())
    assert made.root_token not in repr(vault.system.rows)


async def test_init_happens_once(vault: Vault) -> None:
    """Also when two ask at the same moment."""
    outcomes: list[str] = []

    async def ask() -> None:
        try:
            await vault.seal_manager.initialize(3, 2)
            outcomes.append("made")
        except ConflictError:
            outcomes.append("refused")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        nursery.start_soon(ask)
    assert sorted(outcomes) == ["made", "refused"]


@pytest.mark.parametrize(("shares", "threshold"), [(0, 0), (2, 3), (3, 1), (256, 2), (-1, -1)])
async def test_impossible_numbers(vault: Vault, shares: int, threshold: int) -> None:
    """Refused, and nothing is stored."""
    with pytest.raises(ValidationError, match="seal_config_invalid"):
        await vault.seal_manager.initialize(shares, threshold)
    assert vault.system.rows == {}


async def test_a_chosen_root_token(vault: Vault) -> None:
    """Development hands its own in."""
    assert (await vault.seal_manager.initialize(1, 1, "chosen")).root_token == "chosen"
    assert vault.system.root_tokens == ["chosen"]


async def test_k_of_n_unseal(vault: Vault) -> None:
    """Any two of three; the same share twice counts once; after that operations run."""
    made = await vault.init()
    first = await vault.seal_manager.unseal(made.shares[2])
    assert (first.sealed, first.progress) == (True, 1)
    again = await vault.seal_manager.unseal(made.shares[2])
    assert (again.sealed, again.progress, again.nonce) == (True, 1, first.nonce)
    last = await vault.seal_manager.unseal(made.shares[0])
    assert (last.sealed, last.progress) == (False, 0)
    assert vault.seal_manager.is_open
    assert await vault.seal_manager.run_operation(OP) == "answer"
    assert vault.seal_manager.mounts.list_mounts() == []
    assert not (
        await vault.seal_manager.unseal(b"whatever")
    ).sealed  # asked of an open vault: no error


async def test_a_wrong_share(vault: Vault) -> None:
    """At the end of the set it is refused, without saying which, and everything starts again."""
    made = await vault.init()
    wrong = bytes([made.shares[1][0] ^ 1]) + made.shares[1][1:]
    await vault.seal_manager.unseal(made.shares[0])
    with pytest.raises(ValidationError, match="unseal_failed"):
        await vault.seal_manager.unseal(wrong)
    assert vault.seal_manager.status().progress == 0
    assert vault.fake_core.diary == []
    for share in made.shares[:2]:
        await vault.seal_manager.unseal(share)
    assert vault.seal_manager.is_open


@pytest.mark.parametrize("share", [b"", b"short", bytes(32), bytes(34), bytes(33)])
async def test_a_malformed_share(vault: Vault, share: bytes) -> None:
    """Refused at once; those that were offered before still count."""
    made = await vault.init()
    await vault.seal_manager.unseal(made.shares[0])
    with pytest.raises(ValidationError, match="share_invalid"):
        await vault.seal_manager.unseal(share)
    assert vault.seal_manager.status().progress == 1


async def test_reset(vault: Vault) -> None:
    """The shares offered so far are forgotten."""
    made = await vault.init()
    await vault.seal_manager.unseal(made.shares[0])
    assert vault.seal_manager.reset_unseal().progress == 0
    assert (await vault.seal_manager.unseal(made.shares[1])).sealed


@pytest.mark.parametrize("cut", [0, 20, -1])
async def test_a_damaged_keyring(vault: Vault, cut: int) -> None:
    """The right shares and a keyring that is cut short: an error that a person can act on."""
    made = await vault.init()
    blob = vault.system.rows[KEYRING_ROW]
    vault.system.rows[KEYRING_ROW] = blob[:cut]
    await vault.seal_manager.reload()
    await vault.seal_manager.unseal(made.shares[0])
    with pytest.raises((TamperedError, ValidationError)):
        await vault.seal_manager.unseal(made.shares[1])
    assert not vault.seal_manager.is_open


async def test_another_process_finds_the_vault(vault: Vault, nursery: trio.Nursery) -> None:
    """What was stored is enough to open it again with the shares."""
    made = await vault.init()
    gate = vault.make()
    await gate.reload()
    assert gate.status().initialized
    await nursery.start(gate.run_until_cancelled)
    for share in made.shares[1:]:
        await gate.unseal(share)
    assert gate.is_open


async def test_seal(vault: Vault) -> None:
    """The data path is taken down; nothing runs until it is unsealed again, with new parts."""
    made = await vault.init_and_unseal()
    vault.seal_manager.request_seal()
    await vault.seal_manager.wait_sealed()
    assert vault.fake_core.diary == ["built", "taken down"]
    assert vault.seal_manager.status().sealed
    with pytest.raises(UnavailableError, match="sealed"):
        await vault.seal_manager.run_operation(OP)
    for share in made.shares[:2]:
        await vault.seal_manager.unseal(share)
    assert await vault.seal_manager.run_operation(OP) == "answer"
    assert vault.fake_core.diary[2] == "built"


async def test_whoever_follows_the_vault_is_woken_by_each_turn(
    vault: Vault, autojump_clock: trio.testing.MockClock
) -> None:
    """Opened, then sealed: not a moment later."""
    made = await vault.init()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(vault.seal_manager.wait_seal_change)
        await trio.testing.wait_all_tasks_blocked()
        assert nursery.child_tasks
        for share in made.shares[:2]:
            await vault.seal_manager.unseal(share)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(vault.seal_manager.wait_seal_change)
        await trio.testing.wait_all_tasks_blocked()
        assert nursery.child_tasks
        vault.seal_manager.request_seal()
    assert not vault.seal_manager.is_open


async def test_sealing_waits_for_operations_in_flight(
    vault: Vault, autojump_clock: trio.testing.MockClock
) -> None:
    """Those that run are finished first; those that come meanwhile are refused."""
    await vault.init_and_unseal()
    await vault.seal_manager.run_operation(OP)  # one that was done before leaves no mark
    vault.fake_core.diary.clear()
    goes_on = trio.Event()
    vault.fake_core.work = goes_on.wait
    async with trio.open_nursery() as nursery:
        nursery.start_soon(vault.seal_manager.run_operation, OP)
        await trio.testing.wait_all_tasks_blocked()
        vault.seal_manager.request_seal()
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(UnavailableError, match="sealed"), trio.fail_after(30):
            await vault.seal_manager.run_operation(OP)
        assert vault.fake_core.diary == ["run op"]
        assert vault.seal_manager.status().sealed
        assert not vault.seal_manager.is_open
        goes_on.set()
        await vault.seal_manager.wait_sealed()
    assert vault.fake_core.diary == ["run op", "done op", "taken down"]


async def test_sealing_waits_a_bounded_time(
    vault: Vault, autojump_clock: trio.testing.MockClock
) -> None:
    """An operation that hangs does not keep the keys in memory for ever."""
    await vault.init_and_unseal()
    vault.fake_core.work = trio.sleep_forever
    async with trio.open_nursery() as nursery:
        nursery.start_soon(vault.seal_manager.run_operation, OP)
        await trio.testing.wait_all_tasks_blocked()
        begun = trio.current_time()
        vault.seal_manager.request_seal()
        await vault.seal_manager.wait_sealed()
        assert trio.current_time() - begun == pytest.approx(DRAIN_TIMEOUT)
        nursery.cancel_scope.cancel()


async def test_who_unseals_waits_for_the_seal(
    vault: Vault, autojump_clock: trio.testing.MockClock
) -> None:
    """What is taken down is gone before it is built anew: nobody is told that it is open."""
    shares = (await vault.init_and_unseal()).shares[:2]
    vault.fake_core.work = trio.sleep_forever
    async with trio.open_nursery() as nursery:
        nursery.start_soon(vault.seal_manager.run_operation, OP)
        await trio.testing.wait_all_tasks_blocked()
        vault.seal_manager.request_seal()
        for share in shares:
            status = await vault.seal_manager.unseal(share)
        assert not status.sealed
        assert "taken down" in vault.fake_core.diary
        nursery.cancel_scope.cancel()


async def test_who_waits_for_an_order_to_seal_hears_of_it(vault: Vault) -> None:
    """Of the open vault: not of the seal before."""
    await vault.init_and_unseal()
    heard = list[str]()

    async def wait() -> None:
        await vault.seal_manager.wait_seal_requested()
        heard.append("seal")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        assert not heard
        vault.seal_manager.request_seal()
        await vault.seal_manager.wait_sealed()
        await trio.testing.wait_all_tasks_blocked()
        assert heard == ["seal"]
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        assert heard == ["seal"]
        nursery.cancel_scope.cancel()


async def test_an_operation_can_ask_for_the_seal(vault: Vault) -> None:
    """`sys.seal` runs behind the gate: it is answered, and then the vault seals."""
    await vault.init_and_unseal()

    async def seal() -> None:
        vault.seal_manager.request_seal()

    vault.fake_core.work = seal
    assert await vault.seal_manager.run_operation(OP) == "answer"
    await vault.seal_manager.wait_sealed()
    assert vault.fake_core.diary == ["built", "run op", "done op", "taken down"]


async def test_a_vault_that_cannot_open_says_why(
    vault: Vault, caplog: pytest.LogCaptureFixture
) -> None:
    """The reason reaches whoever unseals, out of its groups, and the agent's log, once.

    The vault stays sealed and usable.
    """
    made = await vault.init()
    damaged = TamperedError("audit_tampered", "the audit log is damaged")
    vault.fake_core.refuse = ExceptionGroup("nursery", [ExceptionGroup("inner", [damaged])])
    await vault.seal_manager.unseal(made.shares[0])
    with pytest.raises(TamperedError) as caught:
        await vault.seal_manager.unseal(made.shares[1])
    assert caught.value is damaged
    [told] = [record for record in caplog.records if record.name == "freehold.seal"]
    assert told.levelname == "WARNING"
    assert told.getMessage() == f"the vault stays sealed: {damaged}"
    assert vault.seal_manager.status().sealed
    vault.fake_core.refuse = None
    for share in made.shares[:2]:
        await vault.seal_manager.unseal(share)
    assert vault.seal_manager.is_open


async def test_a_vault_that_cannot_open_keeps_no_keys(vault: Vault) -> None:
    """Not even in the frames of what it was refused by."""
    vault.seal_manager._org = "refused"
    made = await vault.init()
    damaged = TamperedError("audit_tampered", "the audit log is damaged")
    damaged.__cause__ = OSError("read")
    vault.fake_core.refuse = damaged
    await vault.seal_manager.unseal(made.shares[0])
    with pytest.raises(TamperedError):
        await vault.seal_manager.unseal(made.shares[1])
    assert damaged.__cause__ is damaged.__context__ is None
    vault.fake_core.refuse = None
    del damaged
    assert _keyrings("refused") == []


async def test_a_sealed_vault_has_no_keys(vault: Vault) -> None:
    """Nothing refers to them: not while it waits to be opened again, nor in a cycle."""
    vault.seal_manager._org = "sealed"
    await vault.init_and_unseal()
    vault.fake_core.keyrings.clear()
    assert len(_keyrings("sealed")) == 1
    vault.seal_manager.request_seal()
    await vault.seal_manager.wait_sealed()
    assert _keyrings("sealed") == []


def _keyrings(org: str) -> list[Keyring]:
    gc.unfreeze()  # what is frozen is in no list; another test may have settled the process
    return [one for one in gc.get_objects() if isinstance(one, Keyring) and one.org == org]


async def test_a_fault_of_ours_while_opening_is_not_hidden() -> None:
    """What is no answer to anybody ends the gate's task, and with it the agent."""
    with pytest.RaisesGroup(pytest.RaisesExc(KeyError), flatten_subgroups=True):
        async with trio.open_nursery() as nursery:
            vault = Vault(nursery, None)
            made = await vault.init()
            vault.fake_core.refuse = KeyError("a bug")
            for share in made.shares[:2]:
                await vault.seal_manager.unseal(share)


async def test_a_rotated_keyring_is_read_anew(vault: Vault) -> None:
    """What a rotation stored while the vault was open counts at the next unseal."""
    made = await vault.init_and_unseal()
    keyring = vault.fake_core.keyrings[0].rotate(2)
    root_key = _root_key(made)
    vault.system.rows[KEYRING_ROW] = keyring.encode(root_key)
    vault.seal_manager.request_seal()
    await vault.seal_manager.wait_sealed()
    for share in made.shares[:2]:
        await vault.seal_manager.unseal(share)
    assert vault.fake_core.keyrings[1].active == 2


async def test_it_seals_whatever_the_database_does(vault: Vault) -> None:
    """The keys are gone; what a rotation has stored is read once the database answers."""
    made = await vault.init_and_unseal()
    vault.system.rows[KEYRING_ROW] = vault.fake_core.keyrings[0].rotate(2).encode(_root_key(made))
    vault.system.error = UnavailableError("store_unavailable", "locked")
    vault.seal_manager.request_seal()
    assert vault.fake_core.shuts == 1  # at once: no other process answers anything new
    await vault.seal_manager.wait_sealed()
    with pytest.raises(UnavailableError, match="store_unavailable"):
        await vault.seal_manager.unseal(made.shares[0])
    vault.system.error = None
    for share in made.shares[:2]:
        await vault.seal_manager.unseal(share)
    assert vault.fake_core.keyrings[1].active == 2


async def test_shares_of_before_a_rekey_by_another_agent_open_nothing(
    vault: Vault, nursery: trio.Nursery
) -> None:
    """This one was sealed meanwhile, or has never been open: it reads what is stored."""
    made = await vault.init()
    other = vault.make()
    await nursery.start(other.run_until_cancelled)
    assert (await other.unseal(made.shares[0])).initialized, "another agent has made the vault"
    new = ShamirRootKey(SealConfig(3, 2)).create()
    record = json_text.decode(vault.system.rows[SEAL_ROW], type=SealRecord)
    keyring = Keyring.decode(
        _root_key(made), vault.system.rows[KEYRING_ROW], org=record.org, vault=record.vault
    )
    vault.system.rows[KEYRING_ROW] = keyring.at_epoch(2).encode(new.root_key)
    with pytest.raises(ValidationError, match="unseal_failed"):
        await other.unseal(made.shares[1])
    for manager in (other, vault.seal_manager):
        for share in new.shares[:2]:
            status = await manager.unseal(share)
        assert not status.sealed


async def test_the_shares_are_told_though_the_database_goes_away(vault: Vault) -> None:
    """The vault is made: whoever did not get its shares could never open it."""
    create_vault = vault.system.create_vault

    async def create(*args: Any) -> str:
        token = await create_vault(*args)
        vault.system.error = UnavailableError("store_unavailable", "gone")
        return token

    vault.system.create_vault = create  # type: ignore[method-assign]
    made = await vault.init()
    assert len(made.shares) == 3
    assert vault.seal_manager.status().initialized


def _root_key(made: InitResult) -> bytes:
    return shamir.combine(made.shares[:2])


async def test_a_key_file_unseals_alone(tmp_path: Path, nursery: trio.Nursery) -> None:
    """At init the key goes into the file, and nobody gets a share."""
    vault = Vault(nursery, FileRootKey(tmp_path / "root.key"))
    assert not await vault.seal_manager.auto_unseal()  # there is nothing yet
    made = await vault.init()
    assert made.shares == ()
    assert await vault.seal_manager.auto_unseal()
    assert vault.seal_manager.is_open
    assert vault.seal_manager.status().type == "file"
    assert not await vault.seal_manager.auto_unseal()  # open already


async def test_what_the_key_file_holds_is_the_share(tmp_path: Path, nursery: trio.Nursery) -> None:
    """So a person can show that he may unseal; any other 32 bytes open nothing."""
    vault = Vault(nursery, FileRootKey(tmp_path / "root.key"))
    await vault.init()
    with pytest.raises(ValidationError, match="unseal_failed"):
        await vault.seal_manager.unseal(bytes(32))
    status = await vault.seal_manager.unseal((tmp_path / "root.key").read_bytes())
    assert (status.sealed, status.threshold, status.shares) == (False, 1, 1)
    assert vault.fake_core.by_person == [True]


async def test_a_seal_that_was_ordered_is_not_ended_by_the_key_file(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    """The agent stays sealed and goes on; what is wrong otherwise still ends its start."""
    vault = Vault(nursery, FileRootKey(tmp_path / "root.key"))
    await vault.init()
    for code in (SEALED_ON_ORDER, ROLLBACK_ACCEPTED):
        vault.fake_core.refuse = UnavailableError(code, "it takes a person")
        assert not await vault.seal_manager.auto_unseal()
        assert not vault.seal_manager.is_open
    vault.fake_core.refuse = UnavailableError("audit_unavailable", "no disk")
    with pytest.raises(UnavailableError, match="audit_unavailable"):
        await vault.seal_manager.auto_unseal()


@pytest.mark.parametrize("fault", ["gone", "open", "other"])
async def test_a_key_file_that_does_not_do(
    tmp_path: Path, nursery: trio.Nursery, fault: str
) -> None:
    """Missing, readable by others, or of another vault: refused, and it says what."""
    path = tmp_path / "root.key"
    vault = Vault(nursery, FileRootKey(path))
    await vault.init()
    if fault == "gone":
        path.unlink()
    elif fault == "open":
        path.chmod(0o644)
    else:
        path.write_bytes(bytes(32))
    with pytest.raises(UnavailableError, match="key_file") as caught:
        await vault.seal_manager.auto_unseal()
    assert not vault.seal_manager.is_open
    assert isinstance(caught.value, VaultError)


async def test_an_unwritable_key_file(tmp_path: Path, nursery: trio.Nursery) -> None:
    """Init fails before anything is tried or made, with the folder and the remedy."""
    vault = Vault(nursery, FileRootKey(tmp_path / "none" / "root.key"))
    vault.lacks = SetupError("anchor_unavailable", "looked at after the key file")
    with pytest.raises(SetupError, match="key_file") as caught:
        await vault.seal_manager.initialize(1, 1)
    assert f"{tmp_path / 'none'}: No such file" in caught.value.message
    assert "encryption.key_file" in caught.value.message
    assert vault.system.rows == {}


async def test_a_key_file_that_is_there_needs_no_folder_to_write_in(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    """It was put there by somebody who may, and the agent only reads it."""

    class ReadOnly(FileRootKey):
        def require_folder(self) -> None:
            raise KeyFileError("the folder is read-only")

    file = ReadOnly(tmp_path / "root.key")
    file.write_new()
    vault = Vault(nursery, file)
    await vault.seal_manager.initialize(1, 1)
    assert vault.system.rows


async def test_a_configuration_of_another_kind(
    vault: Vault, tmp_path: Path, nursery: trio.Nursery
) -> None:
    """A vault made with shares takes shares until it is migrated to the configured key file."""
    made = await vault.init()
    gate = vault.make(FileRootKey(tmp_path / "root.key"))
    await nursery.start(gate.run_until_cancelled)
    await gate.reload()
    assert not await gate.auto_unseal()
    assert gate.status().migrating
    for share in made.shares[:2]:
        status = await gate.unseal(share)
    assert (status.sealed, status.type) == (False, "shamir")
