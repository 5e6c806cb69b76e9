"""What agents say is stored once, and what makes no sense is an alert and stops nothing."""

import base64

import msgspec
import pytest
from msgspec.structs import replace

from actors.testing import FakeWorld
from control.core import Core
from control.gateway.link_store import LinkStore
from control.model.conditions import REPORTED
from control.model.links import AgentCommand, AgentLink
from control.model.policies import Outcome, PolicyVersion
from control.model.records import Alert, Severity
from control.services import agent_messages as module
from control.services.agent_messages import (
    AgentMessages,
    BundleStatusReport,
    Effect,
    ReceivedMessage,
    figures_of,
)
from control.services.event_bus import Event, Topic
from control.services.outbox import ensure_link, read_outbox
from control.services.policy_bundles import BundleTerms, assign_bundles
from control.store import agents, audit_records, links, notices, policies, samples
from control.store.rows import Tx
from protocols.link import codec
from protocols.link import messages as m
from protocols.link import vocabulary as words
from protocols.link.bundle import PolicyKey
from protocols.pki.names import AgentName
from tests.unit.control.fleet import enrolled
from tests.unit.control.services.test_witness import KEY, leaves, shown

NAME = AgentName("acme", "v1")


@pytest.fixture
async def intake(core: Core, world: FakeWorld) -> AgentMessages:
    """With the agent `acme/v1`."""
    await enrolled(core, world, "v1")
    return AgentMessages(core.policies.policies, core.witness, world)


async def take(
    core: Core, effect: Effect | BundleStatusReport, name: AgentName = NAME
) -> list[Event]:
    """Apply it, as the next message of the agent."""

    def change(tx: Tx) -> list[Event]:
        through = ensure_link(tx, *name, b"s" * 16).applied + 1
        arrived = ReceivedMessage(name, b"f" * 16, b"p" * 16, through, effect)
        return list(
            AgentMessages(core.policies.policies, core.witness, core.world).apply_messages(
                tx, [arrived]
            )[0]
        )

    return await core.store.write(change)


async def greet(core: Core, intake: AgentMessages, message: m.Registration) -> list[Event]:
    """The agent connects."""
    said = intake.registration_of(NAME, message, 0)
    return list(await core.store.write(lambda tx: intake.apply_registrations(tx, [said])[0]))


async def alerts(core: Core, name: AgentName = NAME) -> list[Alert]:
    """Of the agent."""
    return await core.agents.alerts.list_alerts(name.org, vault=name.vault, before=0, limit=50)


async def link(core: Core, name: AgentName = NAME) -> AgentLink:
    """As it is."""
    found = await core.store.read(lambda tx: links.get_link(tx, *name))
    assert found is not None
    return found


def checkpoint(size: int, old: int = 0, seed: str = "", vault: str = "log") -> m.AuditCheckpoint:
    """Of a log of so many records, proven from `old`."""
    made = shown(leaves(size, seed), old, vault)
    root = base64.b64decode(made.note.split("\n")[2])
    return m.AuditCheckpoint(
        old_size=old,
        size=size,
        root=root,
        note=made.note,
        signer=made.signer,
        proof=tuple(made.proof),
    )


def metrics(**counters: int) -> m.Metrics:
    """Of one moment."""
    return m.Metrics(
        since=0,
        until=1_800_000_000_000,
        counters=tuple(
            m.CounterValue(name=words.CounterName(name), value=value)
            for name, value in counters.items()
        ),
        gauges=(m.GaugeValue(name=words.GaugeName.SECRETS, value=7),),
        histograms=(
            m.HistogramValue(
                name=words.HistogramName.REQUEST_DURATION,
                counts=(98, 1, 1, *[0] * (len(words.BUCKETS_US) - 2)),
                sum_us=9,
            ),
        ),
    )


async def test_figures_become_samples(core: Core, intake: AgentMessages) -> None:
    """Counters and gauges by their name; a histogram by count, sum and the bucket of its p99."""
    assert await take(core, intake.effect_of(metrics(reads=5))) == []
    later = replace(timed(198, 1, 1), until=1_800_000_060_000)
    assert await take(core, intake.effect_of(later)) == []
    names = await core.agents.metrics.list_series("acme", "v1")
    assert names == [
        "reads", "request_duration_count", "request_duration_p99_us", "request_duration_sum_us",
        "secrets",
    ]  # fmt: skip
    number = await core.store.read(lambda tx: samples.list_series(tx, "acme", "v1")["reads"])
    [sample, *_] = await core.store.read(
        lambda tx: samples.samples_between(tx, number, 0, since=0, until=2**33, limit=9)
    )
    assert (sample.at, sample.last) == (1_800_000_000, 5.0)


P99 = "request_duration_p99_us"


def timed(*counts: int) -> m.Metrics:
    """Requests that took so long since the agent's start, by bucket."""
    all_counts = (*counts, *[0] * (len(words.BUCKETS_US) + 1 - len(counts)))
    name = words.HistogramName.REQUEST_DURATION
    duration = m.HistogramValue(name=name, counts=all_counts, sum_us=9)
    return replace(metrics(), histograms=(duration,))


def totals(told: m.Metrics) -> dict[str, tuple[int, ...]]:
    """What a report leaves behind for the next one."""
    return {str(each.name): tuple(each.counts) for each in told.histograms}


def test_a_percentile_is_the_bound_of_its_bucket() -> None:
    """99 of 100 are within 10 ms."""
    assert figures_of(timed(98, 1, 1), totals(timed(0)))[P99] == words.BUCKETS_US[1]


def test_a_percentile_is_of_the_requests_since_the_last_report() -> None:
    """A slow burst is seen once, and not for the rest of the agent's days."""
    burst, calm = timed(900, 0, 0, 0, 0, 0, 100), timed(1000, 0, 0, 0, 0, 0, 100)
    assert figures_of(burst, totals(timed(900)))[P99] == words.BUCKETS_US[6]
    assert figures_of(calm, totals(burst))[P99] == words.BUCKETS_US[0]
    assert P99 not in figures_of(calm, totals(calm))  # nothing was asked
    assert P99 not in figures_of(burst, {})  # the first report: of how long it is nobody knows
    anew = timed(3)
    assert figures_of(anew, totals(burst))[P99] == words.BUCKETS_US[0]


async def test_an_alert_is_stored_under_our_id(core: Core, intake: AgentMessages) -> None:
    """An agent that sends the same id twice cannot stop its own stream; one row says how often."""
    told = m.Alert(
        alert_id=bytes(16),
        code=words.AlertCode.LOCKOUT,
        severity=words.Severity.WARNING,
        raised_at=1,
        subject=bytes(16),
        count=3,
    )
    for _ in range(2):
        [event] = await take(core, intake.effect_of(told))
        assert event.topic is Topic.ALERT
    [found] = await alerts(core)
    assert (found.count, "agent v1 has locked out" in found.message) == (6, True)


@pytest.mark.parametrize("code", sorted(set(words.AlertCode) - {words.AlertCode.UNSEALED}))
async def test_every_alert_of_an_agent_has_a_text(
    core: Core, intake: AgentMessages, code: words.AlertCode
) -> None:
    """It names the agent; what is a condition has its own severity, whatever the agent says."""
    told = m.Alert(
        alert_id=bytes(16),
        code=code,
        severity=words.Severity.INFO,
        raised_at=1,
        subject=bytes(16),
        count=1,
    )
    await take(core, intake.effect_of(told))
    [found] = await alerts(core)
    assert "v1" in found.message
    assert "_" not in found.message.replace("store.foreign_write", "")
    if code not in REPORTED:
        assert found.severity is Severity.INFO
    else:
        assert found.severity is not Severity.INFO


async def test_an_opening_by_break_glass_is_an_alert(core: Core, intake: AgentMessages) -> None:
    """An agent calls it unsealed, critical; any other unsealing is the end of an alert."""
    for severity in (words.Severity.INFO, words.Severity.CRITICAL):
        told = m.Alert(
            alert_id=bytes(16),
            code=words.AlertCode.UNSEALED,
            severity=severity,
            raised_at=1,
            subject=bytes(16),
            count=1,
        )
        await take(core, intake.effect_of(told))
    [found] = await alerts(core)
    assert (found.code, found.severity) == ("break_glass", Severity.CRITICAL)
    assert "break-glass" in found.message


async def test_an_alert_names_what_it_is_about(core: Core, intake: AgentMessages) -> None:
    """By the agent's own random id: people are told, and each thing is an alert of its own."""
    told = m.Alert(
        alert_id=bytes(16),
        code=words.AlertCode.SECRET_EXPIRING,
        severity=words.Severity.WARNING,
        raised_at=1,
        subject=bytes(15) + b"\x0f",
        count=1,
    )
    await take(core, intake.effect_of(told))
    [found] = await alerts(core)
    assert found.subject == "0000000000000000000000000000000f"
    assert found.message == f"a secret of agent v1 expires soon (id {found.subject})"
    [notice] = await core.store.read(lambda tx: notices.oldest_notices(tx, 9))
    assert notice.key == f"secret_expiring/v1/{found.subject}"


async def test_a_seal_is_critical_whatever_its_agent_calls_it(
    core: Core, intake: AgentMessages, world: FakeWorld
) -> None:
    """Agents of before call it information, of which no channel is told."""
    told = m.Alert(
        alert_id=bytes(16),
        code=words.AlertCode.SEALED,
        severity=words.Severity.INFO,
        raised_at=world.now() // 10**6,
        subject=bytes(16),
        count=1,
    )
    await take(core, intake.effect_of(told))
    [found] = await alerts(core)
    assert (found.code, found.severity, str(found.state)) == ("sealed", Severity.CRITICAL, "firing")


async def test_a_log_that_grows_is_offered_its_cosignature(
    core: Core, intake: AgentMessages
) -> None:
    """Each newer one supersedes the one before."""
    await take(core, intake.effect_of(checkpoint(3)))
    [event] = await take(core, intake.effect_of(checkpoint(7, 3)))
    row = await link(core)
    assert (row.checkpoint, row.checkpoint_id, event.subject) == (7, 2, 2)


async def test_a_stale_proof_is_answered_with_what_to_prove_from(
    core: Core, intake: AgentMessages
) -> None:
    """The agent that missed our last line gets it again."""
    await take(core, intake.effect_of(checkpoint(3)))
    await take(core, intake.effect_of(checkpoint(7, 2)))
    row = await link(core)
    assert (row.checkpoint, row.checkpoint_id) == (3, 2)


@pytest.mark.parametrize(
    ("later", "code"),
    [
        (checkpoint(5), "audit_rollback"),
        (checkpoint(9, 7, seed="other"), "audit_fork"),
        (checkpoint(9, 7, vault="second"), "audit_fork"),
    ],
)
async def test_a_log_that_contradicts_is_an_alarm_at_both_ends(
    core: Core, intake: AgentMessages, later: m.AuditCheckpoint, code: str
) -> None:
    """Once: then a person must look, and nothing is cosigned until then."""
    await take(core, intake.effect_of(checkpoint(7)))
    before = await link(core)
    await take(core, intake.effect_of(later))
    await take(core, intake.effect_of(later))
    assert [alert.code for alert in await alerts(core)] == [code]
    waiting = await core.store.read(
        lambda tx: links.waiting_messages(tx, "acme", "v1", after=0, limit=9)
    )
    assert [row.name for row in waiting] == ["notification"]
    assert (await link(core)).checkpoint == before.checkpoint


@pytest.mark.parametrize("name", [AgentName("acme", "v2"), AgentName("globex", "v1")])
async def test_two_enrolments_that_split_one_log_are_an_alarm_of_both(
    core: Core, intake: AgentMessages, name: AgentName
) -> None:
    """Each is told of the other; across organizations only that there is one."""
    await take(core, intake.effect_of(checkpoint(7)))
    await take(core, intake.effect_of(checkpoint(7, seed="other")), name)
    await take(core, intake.effect_of(checkpoint(8, seed="third")), name)
    [first], [second] = await alerts(core), await alerts(core, name)
    assert {(each.code, each.severity) for each in (first, second)} == {
        ("audit_fork", Severity.CRITICAL)
    }
    assert first.id != second.id
    if name.org == "acme":
        assert ("v2" in first.message, "v1" in second.message) == (True, True)
    else:
        for alert, foreign in ((first, "globex"), (second, "acme")):
            assert "not of this organization" in alert.message
            assert foreign not in alert.message
            assert "7" not in alert.message
    assert (await link(core, name)).checkpoint == 0


async def test_each_that_shows_another_history_is_an_alarm_of_its_own(
    core: Core, intake: AgentMessages
) -> None:
    """None takes the place of the one before; those of other organizations are not told apart."""
    await take(core, intake.effect_of(checkpoint(7)))
    others = [AgentName("acme", "v2"), AgentName("acme", "v3")]
    for n, name in enumerate((*others, AgentName("globex", "v1"), AgentName("globex", "v2"))):
        await take(core, intake.effect_of(checkpoint(7, seed=f"other{n}")), name)
    found = {alert.subject: alert for alert in await alerts(core)}
    assert {subject: alert.count for subject, alert in found.items()} == {
        "v2": 1, "v3": 1, "other organization": 2,
    }  # fmt: skip
    assert "not of this organization" in found["other organization"].message
    for name in others:
        assert f"agent {name.vault} " in found[name.vault].message
        [alert] = await alerts(core, name)
        assert alert.subject == "v1"


async def test_an_agent_that_enrols_again_is_told_where_to_prove_from(
    core: Core, intake: AgentMessages
) -> None:
    """It gets what was cosigned for it under its old name; nothing is cosigned for the new one."""
    name = AgentName("other", "v9")
    await take(core, intake.effect_of(checkpoint(3)))
    await take(core, intake.effect_of(checkpoint(7)), name)
    batch = await core.store.read(
        lambda tx: read_outbox(tx, *name, after=0, limit=9, sign=core.witness.cosignature_line)
    )
    [entry] = batch.entries
    offered = codec.decode_payload(entry.name, entry.payload)
    assert isinstance(offered, m.CheckpointCosignature)
    assert (offered.size, offered.root) == (3, checkpoint(3).root)
    seen = await core.store.read(lambda tx: audit_records.get_checkpoint(tx, *name))
    assert seen is not None
    assert (seen.size, seen.fault, seen.note) == (0, "", checkpoint(7).note)
    await take(core, intake.effect_of(checkpoint(7, 3)), name)
    seen = await core.store.read(lambda tx: audit_records.get_checkpoint(tx, *name))
    assert seen is not None
    assert seen.size == 7
    assert await alerts(core, name) == []


async def test_a_checkpoint_that_disagrees_with_itself_is_an_alarm(
    core: Core, intake: AgentMessages
) -> None:
    """The signed note counts; a message that says something else is not believed."""
    good = checkpoint(7)
    lying = msgspec.structs.replace(good, size=8)
    await take(core, intake.effect_of(lying))
    assert [alert.code for alert in await alerts(core)] == ["checkpoint_invalid"]
    assert await core.store.read(lambda tx: audit_records.get_checkpoint(tx, "acme", "v1")) is None


async def bundled(core: Core, world: FakeWorld) -> bytes:
    """The agent should have an (empty) bundle; its hash."""
    terms = BundleTerms(PolicyKey(KEY), 10**18)
    wanted = {"v1": {"none": 1}}

    def change(tx: Tx) -> bytes:
        policies.add_version(tx, PolicyVersion("acme", "none", 1, {"name": "none"}, "", "x", 1))
        [row], _ = assign_bundles(tx, terms, "acme", wanted, now=world.now())
        return row.digest

    return await core.store.write(change)


async def outcome(core: Core) -> tuple[Outcome, int, int]:
    """Of the bundle: outcome, version applied, version wanted."""
    row = await core.policies.policies.get_assignment("acme", "v1")
    assert row is not None
    return row.outcome, row.applied, row.version


def registration(version: int, digest: bytes) -> m.Registration:
    """Says what the agent enforces."""
    return m.Registration(
        release="1.2.3",
        platform=words.Platform.LINUX_ARM64,
        backend=words.Backend.POSTGRESQL,
        key_holder=words.KeyHolder.SHAMIR,
        started_at=9,
        policy_version=version,
        policy_hash=digest,
        audit_size=1,
    )


def status(version: int, digest: bytes) -> m.PolicyStatus:
    """Says that the agent has applied it."""
    return m.PolicyStatus(
        version=version,
        bundle_hash=digest,
        phase=words.PolicyPhase.APPLIED,
        reason=words.PolicyReason.NONE,
        narrowed=0,
        at=1,
    )


async def test_a_registration_is_kept_as_facts(core: Core, intake: AgentMessages) -> None:
    """Only what the link's lists know."""
    await greet(core, intake, registration(0, bytes(32)))
    found = await core.agents.registry.get_agent("acme", "v1")
    assert found.facts["release"] == "1.2.3"
    assert found.facts["key_holder"] == "shamir"


async def test_a_registration_settles_what_was_not_heard(
    core: Core, intake: AgentMessages, world: FakeWorld
) -> None:
    """An agent that applied a bundle while we were restored from a backup says so by its hash."""
    digest = await bundled(core, world)
    [event] = await greet(core, intake, registration(1, digest))
    assert event.topic is Topic.POLICY
    assert await outcome(core) == (Outcome.APPLIED, 1, 1)
    assert await greet(core, intake, registration(1, digest)) == []


@pytest.mark.parametrize("version", [1, 5])
async def test_an_agent_that_is_ahead_gets_a_version_above_its_own(
    core: Core, intake: AgentMessages, world: FakeWorld, version: int
) -> None:
    """Also when it has another bundle of the same version: ours comes from an older copy."""
    await bundled(core, world)
    world.advance(60)
    await greet(core, intake, registration(version, b"x" * 32))
    found, _, wanted = await outcome(core)
    assert found is Outcome.WANTED
    assert wanted > version + 1


ABSURD = (2**63 - 1, 2**63 - 2, 2**53, 1_000_002)
"""Versions that no control plane can have issued to an agent whose bundle is the first."""


@pytest.mark.parametrize("version", ABSURD)
@pytest.mark.parametrize("by", ["registration", "status"])
async def test_an_agent_that_says_what_was_never_issued_has_not_applied_its_bundle(
    core: Core, intake: AgentMessages, world: FakeWorld, version: int, by: str
) -> None:
    """It is unknown what it has; an alert that counts up once a day; what it says later counts."""
    digest = await bundled(core, world)
    await greet(core, intake, registration(1, digest))
    for _ in range(2):
        if by == "registration":
            await greet(core, intake, registration(version, b"x" * 32))
        else:
            await take(core, intake.effect_of(status(version, b"x" * 32)))
        row = await core.policies.policies.get_assignment_state("acme", "v1")
        assert row is not None
        assert (row.outcome, row.reason, row.applied) == (Outcome.UNKNOWN, "not_issued", 1)
        await greet(core, intake, registration(0, bytes(32)))  # sealed: it knows nothing
    [alert] = await alerts(core)
    assert (alert.code, alert.severity) == ("policy_not_issued", Severity.CRITICAL)
    await greet(core, intake, registration(1, digest))
    assert await outcome(core) == (Outcome.APPLIED, 1, 1)
    await greet(core, intake, registration(version, b"x" * 32))
    assert [found.count for found in await alerts(core)] == [1]
    for count in ([2], [1, 2]):  # a person who acknowledges it ends it: the next is another one
        world.advance(86_401)
        await greet(core, intake, registration(1, digest))
        await greet(core, intake, registration(version, b"x" * 32))
        assert [found.count for found in await alerts(core)] == count
        await core.agents.alerts.acknowledge_alert("acme", alert.id, "acme/ann")


async def test_to_refuse_an_absurd_version_says_nothing(
    core: Core, intake: AgentMessages, world: FakeWorld
) -> None:
    """The agent has what it had before."""
    digest = await bundled(core, world)
    await greet(core, intake, registration(1, digest))
    told = replace(status(2**62, b"x" * 32), phase=words.PolicyPhase.REFUSED)
    await take(core, intake.effect_of(told))
    assert await outcome(core) == (Outcome.APPLIED, 1, 1)


async def test_an_agent_that_went_back_has_not_applied_its_bundle_any_more(
    core: Core, intake: AgentMessages, world: FakeWorld
) -> None:
    """Its database came from a backup; one that says 0 may just be sealed."""
    await bundled(core, world)
    world.advance(60)
    await greet(core, intake, registration(5, b"x" * 32))
    row = await core.policies.policies.get_assignment_state("acme", "v1")
    assert row is not None
    await greet(core, intake, registration(row.version, row.digest))
    assert (await outcome(core))[0] is Outcome.APPLIED
    await greet(core, intake, registration(0, bytes(32)))
    assert (await outcome(core))[0] is Outcome.APPLIED
    await greet(core, intake, registration(5, b"x" * 32))
    assert await outcome(core) == (Outcome.WANTED, 5, row.version)


async def test_the_bundles_of_a_vaults_nodes_are_not_offered_in_turn(
    core: Core, intake: AgentMessages, world: FakeWorld
) -> None:
    """They share one database: the agent whose bundle another one's has replaced says version 0.

    One that has no bundle at all is offered its own again, and so is a node of another vault.
    """
    await enrolled(core, world, "v2")
    terms = BundleTerms(PolicyKey(KEY), 10**18)

    def assign(tx: Tx) -> dict[str, bytes]:
        policies.add_version(tx, PolicyVersion("acme", "none", 1, {"name": "none"}, "", "x", 1))
        wanted = {"v1": {"none": 1}, "v2": {"none": 1}}
        rows, _ = assign_bundles(tx, terms, "acme", wanted, now=world.now())
        for vault in wanted:
            agents.put_vault_id(tx, "acme", vault, "shared")
        return {row.vault: row.digest for row in rows}

    digests = await core.store.write(assign)
    ends = LinkStore(core.store, core.bus, intake, core.witness, world)

    async def offers(digest: bytes) -> int:
        newest = (await ends.open_link(NAME)).newest
        said = intake.registration_of(NAME, registration(0, digest), newest)
        [events] = await core.store.write(lambda tx: intake.apply_registrations(tx, [said]))
        return len(events)

    await greet(core, intake, registration(1, digests["v1"]))
    assert await offers(digests["v2"]) == 0
    assert await offers(digests["v1"]) == 1  # its own, by an enrolment before
    assert await offers(bytes(32)) == 1
    assert await offers(b"x" * 32) == 1
    await core.store.write(lambda tx: agents.put_vault_id(tx, "acme", "v2", "another"))
    assert await offers(digests["v2"]) == 1


async def test_what_was_received_only_changes_nothing(
    core: Core, intake: AgentMessages, world: FakeWorld
) -> None:
    """Applied or refused is what counts."""
    digest = await bundled(core, world)
    told = m.PolicyStatus(
        version=1,
        bundle_hash=digest,
        phase=words.PolicyPhase.RECEIVED,
        reason=words.PolicyReason.NONE,
        narrowed=0,
        at=1,
    )
    assert await take(core, intake.effect_of(told)) == []
    assert await outcome(core) == (Outcome.WANTED, 0, 1)


@pytest.mark.parametrize(
    ("digest", "phase", "expected"),
    [
        (None, words.PolicyPhase.APPLIED, (Outcome.APPLIED, "", 1)),
        (b"x" * 32, words.PolicyPhase.APPLIED, (Outcome.FAILED, "other_bundle", 0)),
        (b"x" * 32, words.PolicyPhase.REFUSED, (Outcome.FAILED, "none", 0)),
    ],
)
async def test_another_bundle_is_not_shown_as_ours(
    core: Core, intake: AgentMessages, world: FakeWorld, digest: bytes | None,
    phase: words.PolicyPhase, expected: tuple[Outcome, str, int],
) -> None:  # fmt: skip
    """An agent that says it applied one of this number, under another hash, has not applied it."""
    told = m.PolicyStatus(
        version=1, bundle_hash=await bundled(core, world), phase=phase,
        reason=words.PolicyReason.NONE, narrowed=0, at=1,
    )  # fmt: skip
    await take(core, intake.effect_of(replace(told, bundle_hash=digest or told.bundle_hash)))
    row = await core.policies.policies.get_assignment_state("acme", "v1")
    assert row is not None
    assert (row.outcome, row.reason, row.applied) == expected


async def test_a_result_of_nobodys_command_is_nothing(core: Core, intake: AgentMessages) -> None:
    """An agent cannot answer for another one, or for what was never asked."""
    told = m.CommandResult(command_id=b"c" * 16, outcome=words.CommandOutcome.DONE, at=1)
    assert await take(core, intake.effect_of(told)) == []
    row = AgentCommand("acme", told.command_id.hex(), "v2", "send_metrics", "ann", 1, 2**62, "", 0)
    await core.store.write(lambda tx: links.put_command(tx, row))
    assert await take(core, intake.effect_of(told)) == []
    assert await core.store.read(lambda tx: links.get_command(tx, "acme", row.id)) == row


async def test_an_agent_chooses_no_moments_for_its_figures(
    core: Core, intake: AgentMessages, world: FakeWorld
) -> None:
    """One in ten seconds, in order; what it brings from weeks offline is taken all the same."""
    now = world.now() // 10**6
    week = 7 * 86_400_000
    for until, taken in (
        (0, 0),  # 1970
        (now - week, 1), (now - week, 1), (now - week - 60_000, 1), (now - week + 9_999, 1),
        (now - week + 60_000, 2), (now, 3), (now - 60_000, 3), (2**63 - 1, 4), (now, 4),
    ):  # fmt: skip
        await take(
            core, intake.effect_of(replace(metrics(reads=1), until=until // 10_000 * 10_000))
        )
        found = await core.agents.metrics.query_samples(
            "acme", "v1", "reads", resolution=3600, since=0, until=2**40
        )
        assert sum(sample.count for sample in found) == taken


async def test_a_command_was_not_done_in_the_future(
    core: Core, intake: AgentMessages, world: FakeWorld
) -> None:
    """A time that no database holds, nor anybody can be shown, would stop the agent's stream."""
    row = AgentCommand("acme", (b"c" * 16).hex(), "v1", "send_metrics", "ann", 1, 2**62, "", 0)
    await core.store.write(lambda tx: links.put_command(tx, row))
    told = m.CommandResult(command_id=b"c" * 16, outcome=words.CommandOutcome.DONE, at=2**63 - 1)
    await take(core, intake.effect_of(told))
    found = await core.store.read(lambda tx: links.get_command(tx, "acme", row.id))
    assert found is not None
    assert (found.outcome, found.done_at) == ("done", world.now())


async def test_an_agent_fills_no_disk_with_alerts(
    core: Core, intake: AgentMessages, world: FakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So many of a kind within a day, the last says so; other kinds are heard, and the next day."""
    monkeypatch.setattr(module, "MOST_ALERTS", 3)

    subjects = iter(range(1, 99))

    async def say(code: words.AlertCode, times: int = 1) -> None:
        for _ in range(times):
            said = m.Alert(
                alert_id=bytes(16), code=code, severity=words.Severity.INFO,
                raised_at=world.now() // 10**6, subject=next(subjects).to_bytes(16), count=1,
            )  # fmt: skip
            await take(core, intake.effect_of(said))
            world.advance(1)

    first, second = list(words.AlertCode)[:2]
    await say(first, 5)
    assert ["last" in alert.message for alert in await alerts(core)] == [True, False, False]
    await say(second)
    assert len(await alerts(core)) == 4
    world.advance(86_400)
    await say(first)
    assert len(await alerts(core)) == 5
