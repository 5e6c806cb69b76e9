"""Logins on their way through a provider; the way itself is tests/acceptance/control/test_oidc."""

from urllib.parse import parse_qs, urlsplit

import pytest

from actors.testing import FakeWorld
from control.authn import federation
from control.authn.federation import AuthorizationResponse
from control.core import Core
from control.errors import AuthenticationError, NotFoundError
from control.model.identity import Terms
from control.store import identities
from tests.unit.control.authn.test_oidc_provider import Idp, idp

__all__ = ["idp"]
OWN = "https://plane.example"


async def begun(core: Core, idp: Idp, ip: str = "") -> tuple[dict[str, list[str]], str]:
    """What the browser takes to the provider, and its cookie."""
    await core.federation.federation.configure_provider(
        "acme", idp.issuer, "freehold", "secret", Terms()
    )
    made = await core.federation.federation.begin_login("acme", OWN, ip=ip)
    return parse_qs(urlsplit(made.url).query), made.browser


async def test_what_the_browser_takes_along(core: Core, idp: Idp) -> None:
    """PKCE by S256; nothing that would be worth stealing is kept as it is."""
    query, browser = await begun(core, idp)
    assert query["code_challenge_method"] == ["S256"]
    assert query["redirect_uri"] == [f"{OWN}/api/v1/oidc/callback"]
    [state], [nonce] = query["state"], query["nonce"]
    assert len({state, nonce, browser, query["code_challenge"][0]}) == 4
    flow = await core.federation.federation.take_flow(
        AuthorizationResponse(state, "c", "", ""), browser
    )
    assert state.encode() not in flow.state
    assert flow.verifier not in str(query)


async def test_a_state_is_good_once_and_for_ten_minutes(
    core: Core, idp: Idp, world: FakeWorld
) -> None:
    """And for the browser that began, whose attempt is over by another's."""
    query, browser = await begun(core, idp)
    back = AuthorizationResponse(query["state"][0], "c", "", "")
    with pytest.raises(AuthenticationError, match="oidc_state"):
        await core.federation.federation.take_flow(back, "another")
    with pytest.raises(AuthenticationError, match="oidc_state"):
        await core.federation.federation.take_flow(back, browser)
    query, browser = await begun(core, idp)
    world.advance(600)
    with pytest.raises(AuthenticationError, match="oidc_state"):
        await core.federation.federation.take_flow(
            AuthorizationResponse(query["state"][0], "c", "", ""), browser
        )


async def test_another_provider_does_not_answer_for_it(core: Core, idp: Idp) -> None:
    """RFC 9207: the code is not even taken there."""
    query, browser = await begun(core, idp)
    back = AuthorizationResponse(query["state"][0], "c", "", "https://other.example")
    flow = await core.federation.federation.take_flow(back, browser)
    before = list(idp.asked)
    with pytest.raises(AuthenticationError, match="oidc_issuer"):
        await core.federation.federation.finish_login(flow, back)
    assert idp.asked == before


async def test_logins_under_way_are_bounded(
    core: Core, idp: Idp, world: FakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who only begins cannot fill the database; what expired makes room."""
    monkeypatch.setattr(federation, "MAX_FLOWS", 3)
    for _ in range(5):
        await begun(core, idp)
    assert await core.store.read(lambda tx: identities.count_flows(tx, "acme")) == 3
    world.advance(601)
    await core.federation.federation.begin_login("acme", OWN)
    assert await core.store.read(lambda tx: identities.count_flows(tx, "acme")) == 1


async def test_who_begins_many_shuts_out_nobody(
    core: Core, idp: Idp, world: FakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their own oldest gives way, from whichever address of their network; others come and end."""
    monkeypatch.setattr(federation, "MAX_FLOWS", 4)
    first, browser = await begun(core, idp, "192.0.2.1")
    many = []
    for each in range(9):
        world.advance(1)
        many.append(await begun(core, idp, f"2001:db8::{each + 1}"))
    late, other = await begun(core, idp, "192.0.2.2")
    for query, cookie in ((first, browser), (late, other), many[-1]):
        await core.federation.federation.take_flow(
            AuthorizationResponse(query["state"][0], "c", "", ""), cookie
        )
    for query, cookie in many[:-2]:
        with pytest.raises(AuthenticationError, match="oidc_state"):
            await core.federation.federation.take_flow(
                AuthorizationResponse(query["state"][0], "c", "", ""), cookie
            )


async def test_to_leave_the_provider_too(core: Core, idp: Idp) -> None:
    """Where it has such a place; of an organization without one there is nothing."""
    await begun(core, idp)
    assert await core.federation.federation.logout_url("acme", OWN) == ""
    await core.federation.federation.remove_provider("acme")
    with pytest.raises(NotFoundError):
        await core.federation.federation.logout_url("acme", OWN)
    with pytest.raises(NotFoundError):
        await core.federation.federation.remove_provider("acme")
