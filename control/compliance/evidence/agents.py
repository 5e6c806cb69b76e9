"""Evidence about agents: presence, certificates, holders of root keys, revocations."""

from collections.abc import Iterable, Sequence
from typing import Final

from control.compliance.evidence.agent_history import AgentHistory, read_agent_history
from control.compliance.evidence.assessment import (
    Period,
    assess_share,
    audit_proofs,
    describe_unknown,
    make_evidence,
    plural,
)
from control.compliance.evidence.timeline import (
    Intervals,
    Timeline,
    TimelineInterval,
    difference_of,
    intersection_of,
    longest_interval,
    state_proof,
    total_length,
    union_of,
    unknown_periods,
)
from control.model.agents import Agent, Life, State
from control.model.compliance import Evidence, Proof, ReportedProof, Result
from control.model.history import REPORTING, SILENT, Aspect
from control.store import compliance_queries as reads
from control.store.rows import Tx
from protocols.instant import DAY, HOUR
from protocols.link.vocabulary import KeyHolder

HEARTBEAT_SLACK: Final = HOUR // 4
"""Of a link without a certificate in force: an agent is heard until its silence is noticed."""
EXTERNAL_KEY_HOLDERS: Final = frozenset({KeyHolder.SHAMIR, KeyHolder.PKCS11, KeyHolder.CLOUD})
"""Holders that keep the root key off the agent's own disk."""


def collect_agents(tx: Tx, span: Period) -> list[Evidence]:
    """All evidence about agents."""
    everybody = reads.list_agents(tx, span.org)
    active = [agent for agent in everybody if agent.life is Life.ACTIVE]
    course = read_agent_history(tx, span)
    return [
        _presence(span, course, active),
        _certificates(span, course),
        _keys(active),
        _releases(active),
        _revocations(tx, span, course),
    ]


def _reported_proof(agent: Agent, name: str) -> ReportedProof:
    value = str(agent.facts.get(name, ""))
    return ReportedProof(vault=agent.vault, name=name, value=value, at=agent.changed_at)


def _presence(span: Period, course: AgentHistory, agents: Sequence[Agent]) -> Evidence:
    """Agents that are sealed or refuse everything count as they are now: they do not serve."""
    shut = {
        agent.vault: str(agent.state)
        for agent in agents
        if agent.state in (State.SEALED, State.REFUSING) and span.until >= span.now
    }
    wrong: dict[str, Timeline | None] = {}
    fine: dict[str, Timeline | None] = {}
    silence = 0
    for vault, active in course.active.items():
        line = course.presence.get(vault)
        silent = intersection_of(active, line.intervals_equal(SILENT)) if line else []
        silence += total_length(silent)
        ends = bool(active and active[-1][1] == span.end and line and line.final_value == SILENT)
        bad = line is None or ends or longest_interval(silent) > DAY or vault in shut
        (wrong if bad else fine)[vault] = line
    unsure = unknown_periods(
        line for vault, line in course.presence.items() if vault in course.active
    )
    total = len(course.active)
    return make_evidence(
        "agents.presence",
        "Agents are heard",
        assess_share(len(fine), total, unsure),
        f"{len(fine)} of {plural(total, 'agent')} that were active in the period were heard all "
        "the time but for at most a day at a stretch, and at its end; "
        f"{plural(silence // HOUR, 'hour')} of silence in all."
        + f" {plural(len(shut), 'agent')} sealed or refusing every request now." * bool(shut),
        figures={"active": total, "silent": len(wrong) - len(shut.keys() & wrong.keys()),
                 "hours_silent": silence // HOUR, "unknown": len(unsure), "shut": len(shut)},
        wrong=[state_proof(Aspect.PRESENCE, s) for s in _longest_silences(wrong.values())],
        fine=[state_proof(Aspect.PRESENCE, line.intervals[-1]) for line in fine.values() if line],
        exceptions=[f"{v}: {shut[v]}" if v in shut else v for v in wrong],
        lacking=describe_unknown(unsure),
    )  # fmt: skip


def _longest_silences(lines: Iterable[Timeline | None]) -> list[TimelineInterval]:
    """The longest silence of each agent."""
    found = []
    for line in lines:
        silent = [s for s in line.intervals if s.value == SILENT] if line else []
        found += [max(silent, key=lambda stretch: stretch.length)] if silent else []
    return found


def _certificates(span: Period, course: AgentHistory) -> Evidence:
    wrong: dict[str, list[Proof]] = {}
    fine: list[Proof] = []
    for vault, active in course.active.items():
        issued = course.certificates.get(vault, [])
        valid = union_of((c.not_before, c.ends_at) for c in issued if c.is_short_lived)
        line = course.presence.get(vault)
        needed = intersection_of(active, line.intervals_equal(REPORTING)) if line else active
        bare = total_length(difference_of(needed, valid))
        ends = bool(active) and active[-1][1] == span.end
        if bare > HEARTBEAT_SLACK or not issued or (ends and not _holds_at(valid, span.end)):
            wrong[vault] = [issued[-1].proof] if issued else []
        else:
            fine += [certificate.proof for certificate in issued[-1:]]
    unsure = unknown_periods(
        line for vault, line in course.issuing.items() if vault in course.active
    )
    total = len(course.active)
    return make_evidence(
        "agents.certificates",
        "Agents and control plane know each other by certificates",
        assess_share(len(fine), total, unsure),
        f"{len(fine)} of {plural(total, 'agent')} that were active in the period had a valid, "
        "short-lived certificate whenever they were heard, and at its end. "
        f"{sum(map(len, course.certificates.values()))} were in use. The link is TLS 1.3 with "
        "certificates at both ends; nothing else is let in.",
        figures={"active": total, "valid": len(fine), "unknown": len(unsure)},
        wrong=[proof for found in wrong.values() for proof in found],
        fine=fine,
        exceptions=wrong,
        lacking=describe_unknown(unsure),
    )  # fmt: skip


def _holds_at(times: Intervals, instant: int) -> bool:
    return any(since < instant <= until for since, until in times)


def _keys(active: list[Agent]) -> Evidence:
    told = [agent for agent in active if agent.facts.get("key_holder")]
    apart = [agent for agent in told if agent.facts["key_holder"] in EXTERNAL_KEY_HOLDERS]
    beside = [agent for agent in told if agent not in apart]
    result = Result.NOT_EVIDENCED
    if told:
        result = Result.MET if len(apart) == len(active) else Result.PARTLY
    silent = len(active) - len(told)
    return make_evidence(
        "agents.keys",
        "Secrets are encrypted, and the root key is kept apart",
        result,
        "Every value is sealed with AES-256-GCM under a key of its own, which the root key wraps. "
        f"{len(apart)} of {plural(len(active), 'agent')} keep the root key in shares, in "
        f"hardware or with a key service; {len(beside)} in a file on the agent's machine.",
        figures={"active": len(active), "apart": len(apart), "file": len(beside), "silent": silent},
        wrong=[_reported_proof(agent, "key_holder") for agent in beside],
        fine=[_reported_proof(agent, "key_holder") for agent in apart],
        exceptions=[agent.vault for agent in active if agent not in apart],
        lacking=f"{plural(silent, 'agent')} never said what holds the key." if silent else "",
    )  # fmt: skip


def _releases(active: list[Agent]) -> Evidence:
    told = [agent for agent in active if agent.facts.get("release")]
    releases = sorted({str(agent.facts["release"]) for agent in told})
    result = Result.NOT_EVIDENCED
    if told:
        result = Result.MET if len(releases) == 1 and len(told) == len(active) else Result.PARTLY
    return make_evidence(
        "agents.releases",
        "Agents run one known release",
        result,
        f"{plural(len(releases), 'release')} among {plural(len(told), 'agent')}: "
        f"{', '.join(releases[:10]) or 'none told'}.",
        figures={"active": len(active), "told": len(told), "releases": len(releases)},
        fine=[_reported_proof(agent, "release") for agent in told],
        lacking="Agents say their own release; the host it runs on is not looked at.",
    )


def _revocations(tx: Tx, span: Period, course: AgentHistory) -> Evidence:
    revoked = [
        certificate
        for issued in course.certificates.values()
        for certificate in issued
        if span.since <= certificate.revoked_at < span.until
    ]
    done, total = audit_proofs(
        tx, span, "agents.lock", "agents.retire", "sessions.end", "tokens.revoke",
        phase="outcome", result="ok",
    )  # fmt: skip
    locked = [line.subject for line in course.life.values() if line.final_value == Life.LOCKED]
    return make_evidence(
        "agents.revocations",
        "Whoever is compromised is cut off",
        Result.MET if total or revoked else Result.NOT_EVIDENCED,
        f"{plural(total, 'cut')} on the trail and {plural(len(revoked), 'certificate')} revoked in "
        f"the period; {plural(len(locked), 'agent')} locked at its end.",
        figures={"cuts": total, "revoked": len(revoked), "locked": len(locked)},
        wrong=done,
        fine=[certificate.proof for certificate in revoked],
        total=total + len(revoked),
        lacking="" if total or revoked else "Nothing was cut off, so nothing shows that it works.",
    )  # fmt: skip
