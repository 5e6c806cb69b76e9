"""Every topic: who may follow it, and what it is made of."""

from typing import Final, NamedTuple

from control.live.agent import AgentProjection
from control.live.alerts import AlertsProjection
from control.live.changes import ChangesProjection
from control.live.curves import CurvesProjection
from control.live.fleet import FleetProjection
from control.live.projection import ProjectionFactory
from control.live.rollouts import RolloutsProjection
from control.model.people import Role


class TopicDefinition(NamedTuple):
    """`of`: whether it is about one agent. `role`: the least that takes, as in the REST API."""

    make: ProjectionFactory
    role: Role = Role.VIEWER
    of: bool = False


TOPICS: Final = {
    "fleet": TopicDefinition(FleetProjection),
    "curves": TopicDefinition(CurvesProjection),
    "agent": TopicDefinition(AgentProjection, of=True),
    "alerts": TopicDefinition(AlertsProjection),
    "rollouts": TopicDefinition(RolloutsProjection),
    "changes": TopicDefinition(ChangesProjection, role=Role.ADMIN),
}
