"""Cubbyholes and wrapped answers: who may ask. The rules are `vault.authn.cubbyhole`'s."""

from dataclasses import dataclass

from msgspec import Struct

from vault import operations
from vault.authn.cubbyhole import Cubbyholes, WrappedAnswer
from vault.errors import NotFoundError
from vault.handlers.handler import Call, Handler, Handlers, handler_table
from vault.model.operation import Capability
from vault.model.payloads import KeepValue, Nothing, TokenSelector, UnwrapAnswer, WrapAnswer
from vault.model.results import UnwrappedAnswer

ROOT = "cubbyhole/"


@dataclass(frozen=True)
class CubbyholeHandlers:
    """The handlers of `cubbyhole.*` and `wrapping.*`.

    An entry is the caller's own, whoever the caller is: its path says nothing of whose.
    """

    cubbyholes: Cubbyholes

    def handlers(self) -> Handlers:
        """The operations this file serves. Each caller may fill a cubbyhole: so many a second."""
        update = Capability.UPDATE
        return handler_table(
            Handler(
                operations.READ_CUBBYHOLE,
                run=self.read,
                capability=Capability.READ,
                is_self_service=True,
            ),
            Handler(
                operations.LIST_CUBBYHOLE,
                run=self.list_,
                capability=Capability.LIST,
                is_self_service=True,
                audit_response=lambda found: {"count": len(found)},
            ),
            Handler(
                operations.WRITE_CUBBYHOLE,
                run=self.write,
                capability=update,
                mutates=True,
                is_self_service=True,
                audit_request=_size,
            ),
            Handler(
                operations.DELETE_CUBBYHOLE,
                run=self.delete,
                capability=Capability.DELETE,
                mutates=True,
                is_self_service=True,
            ),
            Handler(
                operations.WRAP_VALUE,
                run=self.wrap_value,
                capability=update,
                is_self_service=True,  # every token may, and each leaves a row for as long as asked
            ),
            Handler(
                operations.WRAP_ANSWER,
                run=self.wrap,
                capability=update,
                mutates=True,
                audit_request=_about_answer,
                audit_response=_about,
            ),
            Handler(
                operations.UNWRAP,
                run=self.unwrap,
                capability=update,
                mutates=True,
                audit_request=_nothing,
                audit_response=_about_unwrapped,
            ),
            Handler(
                operations.UNWRAP_OWN,
                run=self.unwrap_own,
                capability=None,
                mutates=True,
                is_self_service=True,
                audit_response=_about_unwrapped,
            ),
            Handler(
                operations.REWRAP,
                run=self.rewrap,
                capability=update,
                mutates=True,
                audit_request=_nothing,
                audit_response=_about,
            ),
            Handler(
                operations.LOOK_UP_WRAPPING,
                run=self.look_up,
                capability=None,
                anonymous=True,
                audit_request=_nothing,
                audit_response=_about,
            ),
        )

    async def read(self, call: Call[Nothing]) -> bytes:
        """What the caller's token keeps there."""
        return await self.cubbyholes.read(_text(call), call.op.path)

    async def list_(self, call: Call[Nothing]) -> list[str]:
        """What lies in a folder of the caller's; folders below it end with a slash."""
        folder = call.op.path.removeprefix(ROOT)
        paths = [path.removeprefix(ROOT) for path in await self.cubbyholes.list_(_text(call))]
        rests = [path.removeprefix(folder) for path in paths if path.startswith(folder)]
        found = {f"{first}{slash}" for first, slash, _ in (rest.partition("/") for rest in rests)}
        if not found:
            raise NotFoundError("folder_empty", "nothing lies in this folder")
        return sorted(found)

    async def write(self, call: Call[KeepValue]) -> None:
        """Keep a value with the caller's token."""
        await self.cubbyholes.write(_text(call), call.op.path, call.payload.value)

    async def delete(self, call: Call[Nothing]) -> None:
        """Forget it."""
        await self.cubbyholes.delete(_text(call), call.op.path)

    async def wrap_value(self, _: Call[Nothing]) -> None:
        """Whether the caller may have values of its own wrapped: its dialect does it."""

    async def wrap(self, call: Call[WrapAnswer]) -> WrappedAnswer:
        """Keep an answer for whoever unwraps it."""
        asked = call.payload
        return await self.cubbyholes.wrap(
            asked.content, asked.ttl, asked.creation_path, asked.accessor
        )

    async def unwrap(self, call: Call[UnwrapAnswer]) -> UnwrappedAnswer:
        """The answer behind another token than the caller's."""
        about, content = await self.cubbyholes.unwrap(call.payload.token)
        return UnwrappedAnswer(accessor=about.accessor, content=content)

    async def unwrap_own(self, call: Call[Nothing]) -> UnwrappedAnswer:
        """The answer behind the caller's own token, which is good for nothing else."""
        about, content = await self.cubbyholes.unwrap(_text(call))
        return UnwrappedAnswer(accessor=about.accessor, content=content)

    async def rewrap(self, call: Call[UnwrapAnswer]) -> WrappedAnswer:
        """Another token for the answer."""
        return await self.cubbyholes.rewrap(call.payload.token)

    async def look_up(self, call: Call[TokenSelector]) -> WrappedAnswer:
        """What a wrapping token stands for: whoever has its text could unwrap it."""
        return await self.cubbyholes.look_up(call.payload.token)


def _text(call: Call[object]) -> str:
    return call.op.credential or ""


def _nothing(_: Struct) -> None:
    """Of a request that is the text of a token, nothing is on record."""


def _size(asked: KeepValue) -> object:
    return {"bytes": len(asked.value)}


def _about_answer(asked: WrapAnswer) -> object:
    return {"creation_path": asked.creation_path, "ttl": asked.ttl}


def _about(made: WrappedAnswer) -> object:
    return {"accessor": made.accessor, "creation_path": made.creation_path}


def _about_unwrapped(found: UnwrappedAnswer) -> object:
    return {"accessor": found.accessor}
