"""What an address says that a resource names, and that is no agent's."""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from kube_operator.agents import AgentIdentity, AgentSession
from kube_operator.errors import AgentError

IDENTITY = AgentIdentity("https://vault", "", "kubernetes", "app", "vault", "team", "default")


class Api:
    """Issues tokens of service accounts."""

    async def create(self, *_arguments: Any, **_more: Any) -> Any:
        """One."""
        return {"status": {"token": "of an account"}}


@pytest.mark.parametrize("answer", ["<html>", "[]", '{"token": 1}'])
async def test_a_login_that_is_answered_by_something_else(answer: str) -> None:
    """It is that resource's error, not the end of the operator."""
    answers: Iterator[httpx2.Response] = iter([httpx2.Response(200, text=answer)])
    transport = httpx2.MockTransport(lambda _: next(answers))
    api: Any = Api()
    async with httpx2.AsyncClient(base_url=IDENTITY.address, transport=transport) as http:
        session = AgentSession(IDENTITY, http, api)
        with pytest.raises(AgentError, match="not one of a Freehold agent"):
            await session.wait_for_changes("", (), 0)
