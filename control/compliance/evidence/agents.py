"""Agents: whether they are heard, their certificates, what holds their keys, what was cut off."""

from collections.abc import Mapping
from typing import Final

from control.ca.ledger import Issued
from control.compliance import proofs
from control.compliance.evidence.common import Span, evidence, plural, recorded, share
from control.model.agents import Agent, Life, Presence
from control.model.compliance import Evidence, Proof, ReportedProof, Result
from control.store import compliance_reads as reads
from control.store.rows import Tx
from protocols.instant import SECOND
from protocols.link.vocabulary import KeyHolder

LONGEST: Final = 48 * 3600 * SECOND
"""Of a certificate; agents get them for a day."""
APART: Final = frozenset({KeyHolder.SHAMIR, KeyHolder.PKCS11, KeyHolder.CLOUD})
"""Holders that keep the root key off the agent's own disk."""


def collect(tx: Tx, span: Span) -> list[Evidence]:
    """All that there is about agents."""
    everybody = reads.agents_of(tx, span.org)
    active = [agent for agent in everybody if agent.life is Life.ACTIVE]
    newest = reads.newest_certificates(tx, span.org)
    return [
        _presence(active),
        _certificates(span, active, newest),
        _keys(active),
        _releases(active),
        _revocations(tx, span, everybody),
    ]


def _said(agent: Agent, name: str) -> ReportedProof:
    value = str(agent.facts.get(name, ""))
    return ReportedProof(vault=agent.vault, name=name, value=value, at=agent.changed_at)


def _seen(agent: Agent) -> ReportedProof:
    value = str(agent.presence)
    return ReportedProof(vault=agent.vault, name="presence", value=value, at=agent.last_seen)


def _presence(active: list[Agent]) -> Evidence:
    silent = [a for a in active if a.presence in (Presence.OFFLINE, Presence.UNKNOWN)]
    return evidence(
        "agents.presence",
        "Agents are heard",
        share(len(active) - len(silent), len(active)),
        f"{len(active) - len(silent)} of {plural(len(active), 'active agent')} were heard lately.",
        figures={"active": len(active), "silent": len(silent)},
        wrong=[_seen(agent) for agent in silent],
        fine=[_seen(agent) for agent in active if agent not in silent],
        exceptions=[agent.vault for agent in silent],
    )


def _certificates(span: Span, active: list[Agent], newest: Mapping[str, Issued]) -> Evidence:
    wrong: dict[str, list[Proof]] = {}
    fine: list[Proof] = []
    for agent in active:
        issued = newest.get(agent.vault)
        if issued is not None and _counts(issued, span.now):
            fine.append(proofs.certificate(issued))
        else:
            wrong[agent.vault] = [proofs.certificate(issued)] if issued else []
    return evidence(
        "agents.certificates",
        "Agents and control plane know each other by certificates",
        share(len(fine), len(active)),
        f"{len(fine)} of {plural(len(active), 'active agent')} have a certificate that is "
        "valid now and short-lived. The link is TLS 1.3 with certificates at both ends; nothing "
        "else is let in.",
        figures={"active": len(active), "valid": len(fine)},
        wrong=[proof for found in wrong.values() for proof in found],
        fine=fine,
        exceptions=wrong,
    )  # fmt: skip


def _counts(issued: Issued, now: int) -> bool:
    within = issued.not_before <= now < issued.not_after
    short = issued.not_after - issued.not_before <= LONGEST
    return within and short and issued.revoked_at is None


def _keys(active: list[Agent]) -> Evidence:
    told = [agent for agent in active if agent.facts.get("key_holder")]
    apart = [agent for agent in told if agent.facts["key_holder"] in APART]
    beside = [agent for agent in told if agent not in apart]
    result = Result.NOT_EVIDENCED
    if told:
        result = Result.MET if len(apart) == len(active) else Result.PARTLY
    silent = len(active) - len(told)
    return evidence(
        "agents.keys",
        "Secrets are encrypted, and the root key is kept apart",
        result,
        "Every value is sealed with AES-256-GCM under a key of its own, which the root key wraps. "
        f"{len(apart)} of {plural(len(active), 'agent')} keep the root key in shares, in "
        f"hardware or with a key service; {len(beside)} in a file on the agent's machine.",
        figures={"active": len(active), "apart": len(apart), "file": len(beside), "silent": silent},
        wrong=[_said(agent, "key_holder") for agent in beside],
        fine=[_said(agent, "key_holder") for agent in apart],
        exceptions=[agent.vault for agent in active if agent not in apart],
        lacking=f"{plural(silent, 'agent')} never said what holds the key." if silent else "",
    )  # fmt: skip


def _releases(active: list[Agent]) -> Evidence:
    told = [agent for agent in active if agent.facts.get("release")]
    releases = sorted({str(agent.facts["release"]) for agent in told})
    result = Result.NOT_EVIDENCED
    if told:
        result = Result.MET if len(releases) == 1 and len(told) == len(active) else Result.PARTLY
    return evidence(
        "agents.releases",
        "Agents run one known release",
        result,
        f"{plural(len(releases), 'release')} among {plural(len(told), 'agent')}: "
        f"{', '.join(releases[:10]) or 'none told'}.",
        figures={"active": len(active), "told": len(told), "releases": len(releases)},
        fine=[_said(agent, "release") for agent in told],
        lacking="Agents say their own release; the host it runs on is not looked at.",
    )


def _revocations(tx: Tx, span: Span, everybody: list[Agent]) -> Evidence:
    revoked = reads.revoked_certificates(tx, span.org, span.since, span.until)
    done, total = recorded(
        tx, span, "agents.lock", "agents.retire", "sessions.end", "tokens.revoke",
        phase="outcome", result="ok",
    )  # fmt: skip
    locked = [a.vault for a in everybody if a.life is Life.LOCKED]
    return evidence(
        "agents.revocations",
        "Whoever is compromised is cut off",
        Result.MET if total or revoked else Result.NOT_EVIDENCED,
        f"{plural(total, 'cut')} on the trail and {plural(len(revoked), 'certificate')} revoked in "
        f"the period; {plural(len(locked), 'agent')} locked now.",
        figures={"cuts": total, "revoked": len(revoked), "locked": len(locked)},
        wrong=done,
        fine=[proofs.certificate(issued) for issued in revoked],
        total=total + len(revoked),
        lacking="" if total or revoked else "Nothing was cut off, so nothing shows that it works.",
    )  # fmt: skip
