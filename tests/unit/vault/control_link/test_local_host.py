"""The vault as the uplink sees it: numbers and words, and bundles by an audited operation."""

from pathlib import Path

import pytest

from actors.testing import FakeWorld
from protocols.link import vocabulary as words
from protocols.link.bundle import AcceptedVersion, BundleError
from vault.audit.layout import LogLayout
from vault.control_link.audit_follower import AuditLogFollower
from vault.control_link.host import LocalVaultHost, count_link_operations, detect_platform
from vault.errors import ConflictError, UnavailableError, ValidationError
from vault.metrics import Metrics
from vault.model.link_ports import ActiveBundle, KekState
from vault.model.operation import Operation
from vault.model.payloads import ApplyBundle


class Gate:
    """Runs nothing, answers what it is told to."""

    def __init__(self) -> None:
        self.ran: list[Operation] = []
        self.answer: object = ActiveBundle(3, b"h" * 32, 9, 2)
        self.is_open = True

    async def run(self, op: Operation) -> object:
        """See `vault.seal.manager`."""
        self.ran.append(op)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def host(gate: Gate, metrics: Metrics | None = None) -> LocalVaultHost:
    """On a vault that is not there."""
    world = FakeWorld()
    return LocalVaultHost(
        run=gate.run,
        is_open_now=lambda: gate.is_open,
        totals=(metrics or Metrics()).totals,
        connections=lambda: 5.0,
        audit=AuditLogFollower(LogLayout(Path("nowhere") / "audit.log"), world),
        release="1.2.3",
        backend=words.Backend.POSTGRESQL,
        key_holder=words.KeyHolder.SHAMIR,
        world=world,
    )


async def test_a_bundle_goes_through_the_pipeline() -> None:
    """As the service `control-plane`, so it is authorized and audited like anybody's."""
    gate = Gate()
    applied = await host(gate).apply_bundle(b"signed")
    assert (applied.stored, applied.narrowed) == (AcceptedVersion(3, b"h" * 32), 2)
    (op,) = gate.ran
    assert (op.name, op.service, op.credential) == ("fleet.apply", "control-plane", None)
    assert op.payload == ApplyBundle(signed=b"signed")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValidationError("bundle_refused", "no", reason="signature"), "signature"),
        (ConflictError("bundle_older", "no"), "older"),
    ],
)
async def test_a_refusal_has_its_reason(error: Exception, reason: str) -> None:
    """In the words of the link."""
    gate = Gate()
    gate.answer = error
    with pytest.raises(BundleError) as told:
        await host(gate).apply_bundle(b"signed")
    assert told.value.reason == reason


async def test_what_cannot_be_done_now_is_not_a_refusal() -> None:
    """It is tried again."""
    gate = Gate()
    gate.answer = UnavailableError("sealed", "Vault is sealed")
    with pytest.raises(UnavailableError):
        await host(gate).apply_bundle(b"signed")


async def test_what_is_told_of_the_vault() -> None:
    """Sealed or not, its policies, and what was counted."""
    gate, metrics = Gate(), Metrics()
    made = host(gate, metrics)
    gate.is_open = False
    made.policies = lambda: ActiveBundle(4, b"x" * 32, 77, 1)
    facts = made.facts()
    assert facts.health is words.Health.SEALED
    assert (facts.policy, facts.policy_expires, facts.narrowed) == (
        AcceptedVersion(4, b"x" * 32),
        77,
        1,
    )
    metrics.count_operation("secret.read", "ok")
    metrics.count_operation("secret.read", "authorization")
    metrics.count_operation("secret.write", "unavailable")
    metrics.observe_request("GET", "secret/{path}", 0.004)
    figures = made.figures()
    counters, names = figures.counters, words.CounterName
    assert counters[names.READS] == 2
    assert counters[names.DENIALS] == 1
    assert counters[names.SERVER_ERRORS] == 1
    assert counters[names.REQUESTS] == 1
    assert figures.gauges[words.GaugeName.SEALED] == 1
    assert figures.gauges[words.GaugeName.ACTIVE_CONNECTIONS] == 5
    counts, total = figures.histograms[words.HistogramName.REQUEST_DURATION]
    assert len(counts) == len(words.BUCKETS_US) + 1
    assert (sum(counts), total) == (1, 4000)


async def test_a_rotation_takes_both_its_operations() -> None:
    """Rotate, then rewrap."""
    gate = Gate()
    await host(gate).rotate_kek()
    assert [op.name for op in gate.ran] == ["sys.rotate", "sys.rewrap"]


async def test_a_backup_is_made_where_there_are_any() -> None:
    """False without backups; not while sealed."""
    gate = Gate()
    made, began = host(gate), []

    async def begin() -> None:
        began.append(1)

    assert not await made.run_backup()
    made.make_backup = lambda: begin
    assert await made.run_backup()
    gate.is_open = False
    with pytest.raises(UnavailableError, match="sealed"):
        await made.run_backup()
    assert began == [1]


def test_backups_are_counted_once_somebody_counts_them() -> None:
    """Before that the counters are left out."""
    made, names = host(Gate()), words.CounterName
    assert names.BACKUPS not in made.figures().counters
    made.backup_counts = lambda: {names.BACKUPS: 3, names.BACKUP_FAILURES: 1}
    counters = made.figures().counters
    assert (counters[names.BACKUPS], counters[names.BACKUP_FAILURES]) == (3, 1)


def test_nothing_counted_is_all_zero() -> None:
    """Every name that is told is there from the beginning."""
    assert set(count_link_operations(Metrics().totals()).values()) == {0}
    assert detect_platform() in words.Platform


def test_keys_are_told_while_the_vault_is_open() -> None:
    """How often the key was changed and whether that is due; a sealed vault says nothing of it."""
    gate = Gate()
    made = host(gate)
    made.keys = lambda: KekState(rotations=4, due=True)
    figures = made.figures()
    assert figures.counters[words.CounterName.ROTATIONS] == 4
    assert figures.gauges[words.GaugeName.ROTATIONS_DUE] == 1
    gate.is_open = False
    figures = made.figures()
    assert words.CounterName.ROTATIONS not in figures.counters
    assert words.GaugeName.ROTATIONS_DUE not in figures.gauges


def test_secrets_that_expire_are_told_once_somebody_has_looked() -> None:
    """No look is not the same as none that expires."""
    made = host(Gate())
    assert words.GaugeName.SECRETS_EXPIRING not in made.figures().gauges
    made.expiring = lambda: 0
    assert made.figures().gauges[words.GaugeName.SECRETS_EXPIRING] == 0
