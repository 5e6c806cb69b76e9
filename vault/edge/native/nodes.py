"""`/api/v1/system/nodes`: the machines whose agents share the database."""

from msgspec import Struct

from protocols.instant import rfc3339_or_none
from vault import operations
from vault.edge.dialect import Dialect
from vault.edge.native.endpoint import Endpoints, system_folder, system_path
from vault.edge.request import Request
from vault.model.name import canonical_name
from vault.model.payloads import Nothing
from vault.model.results import KnownNode

nodes = Endpoints("nodes", "The machines whose agents share the database.")


class NodeBody(Struct, frozen=True, kw_only=True):
    """A node. `answers`: it is the one that sent this; `last_seen` is null after an orderly stop.

    On a database of its own a node does not say when it was seen.
    """

    id: str
    name: str
    audit_log: str
    version: str
    running: bool
    answers: bool
    started_at: str | None
    last_seen: str | None

    @classmethod
    def of(cls, node: KnownNode) -> "NodeBody":
        """From the row."""
        row = node.row
        return cls(
            id=row.id,
            name=row.name,
            audit_log=row.place,
            version=row.version,
            running=node.is_running,
            answers=node.answers,
            started_at=rfc3339_or_none(row.started),
            last_seen=rfc3339_or_none(row.heartbeat),
        )


class NodeList(Struct, frozen=True):
    """All nodes by id."""

    nodes: list[NodeBody]


@nodes.add("GET", "system/nodes", "List the nodes", returns=NodeList)
async def list_(dialect: Dialect, request: Request) -> NodeList:
    found = await dialect.run_operation(
        request, operations.LIST_NODES, system_folder("nodes"), Nothing()
    )
    return NodeList(nodes=[NodeBody.of(node) for node in found])


@nodes.add(
    "DELETE", "system/nodes/{id}",
    "Forget a node that does not run: nobody asks for its audit log any more",
    status=204, errors=(409,),
)  # fmt: skip
async def forget(dialect: Dialect, request: Request, node_id: str) -> None:
    path = system_path("nodes", canonical_name(node_id, "id"))
    await dialect.run_operation(request, operations.FORGET_NODE, path, Nothing())
