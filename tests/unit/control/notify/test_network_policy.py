"""Where people may have us connect to, and where not."""

from ipaddress import ip_address

import pytest

from control.errors import ValidationError
from control.notify.errors import (
    UNREACHABLE,
    DeliveryError,
    PermanentDeliveryError,
    TransientDeliveryError,
)
from control.notify.network_policy import NetworkPolicy
from protocols.outbound import Resolver, embedded_ipv4, resolve_host

PUBLIC = NetworkPolicy()
WITHIN = [
    "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "0.0.0.0", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fc00::1",
    "fec0::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe", "2002:7f00:1::1", "2002:a01:203::1", "2001:db8::1",
    "2002:5db8:d70e::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2",
]  # fmt: skip


def answering(*addresses: str) -> Resolver:
    """A resolver with this answer."""

    async def answer(host: str, port: int) -> list[str]:
        return list(addresses)

    return answer


@pytest.mark.parametrize("address", WITHIN)
async def test_what_is_within_is_not_reached(address: str) -> None:
    """By number or by name, also where IPv6 hides an IPv4 address."""
    assert not PUBLIC.is_allowed(ip_address(address))
    with pytest.raises(PermanentDeliveryError):
        await PUBLIC.resolve_address(address, 443, answering())
    with pytest.raises(TransientDeliveryError):
        await PUBLIC.resolve_address("a.example", 443, answering(address))
    with pytest.raises(TransientDeliveryError):  # one of many is enough to refuse
        await PUBLIC.resolve_address("a.example", 443, answering("93.184.215.14", address))


async def test_public_addresses() -> None:
    """The first one is what is connected to; nobody asks a second time."""
    found = await PUBLIC.resolve_address(
        "a.example", 443, answering("93.184.215.14", "2606:4700::1")
    )
    assert found == "93.184.215.14"
    for one in ("2606:4700::1", "64:ff9b::102:304", "::ffff:1.2.3.4"):
        assert PUBLIC.is_allowed(ip_address(one))
    assert await PUBLIC.resolve_address("2606:4700::1", 443, answering()) == "2606:4700::1"
    with pytest.raises(TransientDeliveryError):
        await PUBLIC.resolve_address("a.example", 443, answering())


async def test_networks_of_the_settings() -> None:
    """What they name is allowed, and no more."""
    reach = NetworkPolicy(private=("10.1.0.0/16", "fc00::/64"))
    assert await reach.resolve_address("10.1.9.9", 443, answering()) == "10.1.9.9"
    assert await reach.resolve_address("fc00::9", 443, answering()) == "fc00::9"
    for other in ("10.2.0.1", "127.0.0.1", "fc00:1::1"):
        with pytest.raises(PermanentDeliveryError):
            await reach.resolve_address(other, 443, answering())


def test_embedded() -> None:
    """Mapped and NAT64; else nothing."""
    for text, inner in (
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("64:ff9b::102:304", "1.2.3.4"),
    ):
        assert str(embedded_ipv4(ip_address(text))) == inner
    assert embedded_ipv4(ip_address("2606:4700::1")) is None
    assert embedded_ipv4(ip_address("1.2.3.4")) is None


@pytest.mark.parametrize(
    "url",
    [
        "http://a.example/", "ftp://a.example/", "https:///x", "https://u:p@a.example/", "",
        "https://a.example/#f", "https://a.example/ x", "https://a.example\\@b.example/",
        "https://a.example:99999/", "https://a.example/\n", f"https://a.example/{'x' * 2048}",
        "https://[::1/", "https://" + "a" * 64 + ".example/",
    ],
)  # fmt: skip
def test_what_is_no_address(url: str) -> None:
    """One rule for all that is odd."""
    with pytest.raises(ValidationError):
        PUBLIC.parse_url(url)


def test_a_place() -> None:
    """Taken apart, and named again without the usual port."""
    place = PUBLIC.parse_url("https://A.example:8443/x/y?q=1")
    assert place == ("https", "a.example", 8443, "/x/y?q=1")
    assert place.host_header == "a.example:8443"
    assert PUBLIC.parse_url("https://a.example").host_header == "a.example"
    assert PUBLIC.parse_url("https://[2606:4700::1]:444/").host_header == "[2606:4700::1]:444"
    assert NetworkPolicy(development=True).parse_url("http://127.0.0.1:8000/").port == 8000


def test_mail_servers() -> None:
    """TLS, and the ports of mail: the rest is no mail server, but a way to look around."""
    PUBLIC.check_mail("a.example", 587, plain=False)
    NetworkPolicy(development=True).check_mail("localhost", 1025, plain=True)
    for host, port, plain in (("a.example", 587, True), ("a.example", 22, False), ("", 25, False)):
        with pytest.raises(ValidationError):
            PUBLIC.check_mail(host, port, plain=plain)


async def test_without_tls_only_this_machine_is_asked() -> None:
    """In development too, and though the address would be allowed with TLS."""
    reach = NetworkPolicy(private=("10.0.0.0/8",), development=True)
    assert await reach.resolve_address("127.0.0.1", 80, resolve_host, plain=True) == "127.0.0.1"
    for host in ("10.0.0.1", "8.8.8.8"):
        assert await reach.resolve_address(host, 443, resolve_host) == host
        with pytest.raises(PermanentDeliveryError, match="without TLS"):
            await reach.resolve_address(host, 80, resolve_host, plain=True)


async def test_the_systems_resolver() -> None:
    """Numbers are their own names."""
    assert await resolve_host("127.0.0.1", 1) == ["127.0.0.1"]


async def test_a_name_that_does_not_resolve() -> None:
    """Another time, perhaps; also for a name that no resolver takes."""

    async def broken(host: str, port: int) -> list[str]:
        raise OSError

    with pytest.raises(TransientDeliveryError):
        await PUBLIC.resolve_address("a.example", 443, broken)


async def test_nobody_learns_which_names_there_are_within(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A name at a private address is told as one that does not exist; the log tells them apart."""

    async def broken(host: str, port: int) -> list[str]:
        raise OSError

    told = []
    for look_up in (broken, answering(), answering("10.1.2.3")):
        with pytest.raises(DeliveryError) as error:
            await PUBLIC.resolve_address("db.corp.example", 443, look_up)
        told.append((type(error.value), str(error.value)))
    assert set(told) == {(TransientDeliveryError, UNREACHABLE)}
    logged = [record.getMessage() for record in caplog.records]
    assert "does not resolve" in logged[0]
    assert "10.1.2.3" in logged[2]
