"""The nodes on the database, and the end of one whose machine is gone for good."""

from dataclasses import dataclass
from typing import Protocol

from vault import operations
from vault.handlers.handler import Call, Handler, Handlers, handler_table
from vault.model.operation import Capability
from vault.model.payloads import Nothing
from vault.model.records import NodeRow
from vault.model.results import KnownNode


class Nodes(Protocol):
    """Documented at `vault.seal.nodes.KnownNodes`."""

    async def list(self) -> list[KnownNode]:
        """All of them."""
        ...

    async def forget(self, node: str, /) -> NodeRow:
        """Remove one, and return it. Raises `NotFoundError` and `ConflictError`."""
        ...


@dataclass(frozen=True)
class NodeHandlers:
    """The handlers of `sys.nodes.*`."""

    nodes: Nodes

    def handlers(self) -> Handlers:
        """The operations this file serves."""
        return handler_table(
            Handler(
                operations.LIST_NODES,
                run=self.list,
                capability=Capability.LIST,
                audit_response=lambda nodes: {"count": len(nodes)},
            ),
            Handler(
                operations.FORGET_NODE,
                run=self.forget,
                capability=Capability.SUDO,
                mutates=True,
                audit_response=lambda row: {"name": row.name, "checkpoint": row.checkpoint},
            ),
        )

    async def list(self, _: Call[Nothing]) -> list[KnownNode]:
        """All nodes by id."""
        return await self.nodes.list()

    async def forget(self, call: Call[Nothing]) -> NodeRow:
        """Remove a node that does not run; the end of its log goes on the audit log."""
        return await self.nodes.forget(call.canonical_name)
