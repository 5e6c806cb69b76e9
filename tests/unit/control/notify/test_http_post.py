"""A POST goes where it may, ends in time, and is told by its status."""

from collections.abc import Iterator

import pytest

from control.notify import http_post
from control.notify.errors import DeliveryError, PermanentDeliveryError, TransientDeliveryError
from control.notify.http_post import HttpPoster
from control.notify.network_policy import NetworkPolicy
from tests.unit.control.notify.receiving import (
    Authority,
    Receiver,
    endless,
    receiver,
    silence,
    status,
)

NAME = "hooks.example"
OURS = NetworkPolicy(development=True)


async def here(host: str, port: int) -> list[str]:
    """Every name is this machine's."""
    return ["127.0.0.1"]


@pytest.fixture
def hook() -> Iterator[Receiver]:
    """Without TLS."""
    with receiver() as made:
        yield made


@pytest.fixture
def poster() -> HttpPoster:
    """That may reach this machine."""
    return HttpPoster(OURS, here, Authority().trust())


async def test_taken(poster: HttpPoster, hook: Receiver) -> None:
    """Body, path and headers as given; the host by its own name."""
    await poster.post(hook.url("localhost"), b"{}", {"X-A": "1"})
    ((path, headers, body),) = hook.requests
    assert (path, body, headers["x-a"]) == ("/hook?x=1", b"{}", "1")
    assert headers["host"] == f"localhost:{hook.port}"


async def test_statuses(poster: HttpPoster, hook: Receiver) -> None:
    """5xx, 404, 408 and 429 are tried again, as late as asked; other 4xx and redirects are not."""
    for code in (500, 503, 404, 408):
        hook.answers = [status(code)]
        with pytest.raises(TransientDeliveryError, match=str(code)):
            await poster.post(hook.url(), b"", {})
    hook.answers = [status(429, Retry_After="120")]
    with pytest.raises(TransientDeliveryError) as caught:
        await poster.post(hook.url(), b"", {})
    assert caught.value.retry_after == 120
    for code in (400, 401, 403, 410, 413):
        hook.answers = [status(code)]
        with pytest.raises(PermanentDeliveryError, match=str(code)):
            await poster.post(hook.url(), b"", {})


async def test_redirects_are_refused(poster: HttpPoster, hook: Receiver) -> None:
    """One request alone: what it is sent on to is not asked."""
    with receiver() as other:
        hook.answers = [status(307, Location=other.url())]
        with pytest.raises(PermanentDeliveryError, match="redirects"):
            await poster.post(hook.url(), b"secret", {})
        assert (len(hook.requests), other.requests) == (1, [])


async def test_silence_has_an_end(
    poster: HttpPoster, hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is waited for longer than that."""
    monkeypatch.setattr(http_post, "SECONDS", 0.3)
    hook.answers = [silence]
    with pytest.raises(TransientDeliveryError):
        await poster.post(hook.url(), b"", {})


async def test_an_answer_without_end_is_not_read(poster: HttpPoster, hook: Receiver) -> None:
    """Its status was enough."""
    hook.answers = [endless]
    await poster.post(hook.url(), b"", {})


async def test_the_certificate_is_for_the_name(hook: Receiver) -> None:
    """TLS to the address that was looked at, proven for the name that was given."""
    authority = Authority()
    poster = HttpPoster(OURS, here, authority.trust())
    with receiver(authority.server(NAME)) as made:
        await poster.post(made.url(NAME), b"", {})
        assert made.requests[0][1]["host"] == f"{NAME}:{made.port}"
        with pytest.raises(TransientDeliveryError, match="certificate"):
            await poster.post(made.url("other.example"), b"", {})
        assert len(made.requests) == 1


async def test_private_addresses_are_not_asked(hook: Receiver) -> None:
    """Without development this machine is nobody's webhook, by whichever name."""
    poster = HttpPoster(NetworkPolicy(), here, Authority().trust())
    for name in (NAME, "127.0.0.1", "localhost"):
        with pytest.raises(DeliveryError):
            await poster.post(f"https://{name}:{hook.port}/", b"", {})
    assert not hook.requests


async def test_nothing_private_by_plain_http(hook: Receiver) -> None:
    """Development means this machine, not every plain host."""

    async def away(host: str, port: int) -> list[str]:
        return ["93.184.215.14"]

    with pytest.raises(PermanentDeliveryError, match="TLS"):
        await HttpPoster(OURS, away, Authority().trust()).post("http://far.example/", b"", {})


async def test_too_long_is_not_sent(poster: HttpPoster, hook: Receiver) -> None:
    """A bound of our own."""
    with pytest.raises(PermanentDeliveryError, match="too long"):
        await poster.post(hook.url(), bytes(http_post.MAX_BODY + 1), {})
    assert not hook.requests
