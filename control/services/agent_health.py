"""How agents say that they are: on record, and the alerts that begin and end with it.

An agent that is sealed, serves nothing or has something wrong with it has an alert for as long as
it says so, whether that began while it was linked or before it came.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from actors import World
from control.model.agents import Health, Life
from control.model.conditions import REFUSING, REPORTED, SEALED, alert_message
from control.model.records import Alert, Severity
from control.services import agent_registry
from control.services.alerts import alert_event
from control.services.event_bus import Event, Topic
from control.services.organization_batches import run_by_organization
from control.store import agents, alerts
from control.store.rows import Tx
from protocols.link.vocabulary import WARNINGS
from protocols.pki.names import AgentName

_BY_HEALTH: Final = frozenset({SEALED, REFUSING})


class HealthReport(NamedTuple):
    """What an agent says: `alerts` fire from now on, what fires of `over` ends."""

    name: AgentName
    health: Health
    sync: str
    alerts: tuple[Alert, ...]
    over: frozenset[str]
    now: int


def health_report(
    name: AgentName, health: str, sync: str, codes: frozenset[str] | None, world: World
) -> HealthReport:
    """What follows of a heartbeat and of the `Conditions` before it, if the agent has any.

    A sealed agent cannot look at its audit log or its keys: what it said of them stands.
    """
    word = Health(health)
    if word is Health.SERVING and codes:
        word = Health.DEGRADED
    fires = (codes or frozenset()) & REPORTED - _BY_HEALTH
    fires |= {str(word)} & _BY_HEALTH
    known = _BY_HEALTH if codes is None or word is Health.SEALED else REPORTED | _BY_HEALTH
    now = world.now()
    made = tuple(_alert(name, code, world.new_id(), now) for code in sorted(fires))
    return HealthReport(name, word, sync, made, frozenset(known - fires), now)


def record_health(tx: Tx, said: Sequence[HealthReport]) -> list[Sequence[Event]]:
    """Put on record what is new; of each what is to be published."""

    def note(tx: Tx, org: str, places: Sequence[int]) -> list[Sequence[Event]]:
        return _record_organization(tx, org, [said[place] for place in places])

    return run_by_organization(tx, [each.name for each in said], note)


def _record_organization(tx: Tx, org: str, said: Sequence[HealthReport]) -> list[Sequence[Event]]:
    now = said[0].now
    vaults = [each.name.vault for each in said]
    rows = [row for row in agents.get_agents(tx, org, vaults) if row.life is Life.ACTIVE]
    before = {row.vault: row.health for row in rows}
    agent_registry.record_facts(
        tx, org, {each.name.vault: {"sync": each.sync} for each in said}, now=now
    )
    other = {
        each.name.vault: each.health
        for each in said
        if before.get(each.name.vault, each.health) is not each.health
    }
    agents.put_health(tx, org, other)
    fires = (alert for each in said if each.name.vault in before for alert in each.alerts)
    found = alerts.fire_alerts(tx, *fires, repeat=False)
    for over in {each.over for each in said}:
        some = [each.name.vault for each in said if each.over == over]
        found += alerts.resolve_alerts(tx, org, over, some, now=now)
    events: dict[str, list[Event]] = {vault: [] for vault in vaults}
    for vault, health in other.items():
        events[vault].append(Event(Topic.HEALTH, org, vault, str(health)))
    for alert in found:
        events[alert.vault].append(alert_event(alert))
    return [events[vault] for vault in vaults]


def _alert(name: AgentName, code: str, identifier: str, now: int) -> Alert:
    return Alert(
        id=identifier,
        org=name.org,
        vault=name.vault,
        code=code,
        severity=Severity.WARNING if code in WARNINGS else Severity.CRITICAL,
        message=alert_message(code, name.vault),
        at=now,
        acknowledged_by="",
        acknowledged_at=0,
        last_at=now,
    )
