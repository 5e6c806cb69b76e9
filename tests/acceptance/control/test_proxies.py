"""People behind a proxy: each has the own address on the trail and in the list of sessions."""

import json
from pathlib import Path

import pytest

from actors import SystemWorld
from control.ca.directory import CaDirectory
from tests.acceptance.agent import own_folder, running
from tests.acceptance.control.plane import API, Plane, served_plane


def behind(folder: Path, *proxies: str, header: str = "x-forwarded-for") -> Plane:
    """A control plane that believes these, not started."""
    CaDirectory(folder / "ca").create_authority(folder / "root", "Here", SystemWorld().now())
    settings = {
        "server": {
            "listen": "127.0.0.1:0",
            "tls": {"enabled": False},
            "proxies": {"addresses": proxies, "header": header},
        },
        "database": {"url": f"sqlite:///{folder}/control.db"},
        "keys": {"folder": str(folder / "keys")},
    }
    file = folder / "control.yaml"
    file.write_text(json.dumps(settings))
    return served_plane(file)


@pytest.mark.parametrize(
    ("proxies", "header", "said", "seen"),
    [
        ((), "x-forwarded-for", {"X-Forwarded-For": "198.51.100.7"}, "127.0.0.1"),
        (("10.0.0.1",), "x-forwarded-for", {"X-Forwarded-For": "198.51.100.7"}, "127.0.0.1"),
        (("127.0.0.1",), "x-forwarded-for", {"X-Forwarded-For": "6.6.6.6, 198.51.100.7"},
         "198.51.100.7"),
        (("127.0.0.1",), "x-forwarded-for", {"Forwarded": "for=6.6.6.6"}, "127.0.0.1"),
        (("127.0.0.0/30",), "forwarded",
         {"Forwarded": 'for=6.6.6.6, for="[2001:db8::7]:4711"', "X-Forwarded-For": "6.6.6.6"},
         "2001:db8::7"),
    ],
)  # fmt: skip
def test_who_signs_in_is_where_the_proxy_saw_them(
    proxies: tuple[str, ...], header: str, said: dict[str, str], seen: str
) -> None:
    """And nowhere else, whatever the browser sends itself; nobody is believed by default."""
    with own_folder() as folder:
        plane = behind(folder, *proxies, header=header)
        with running(plane):
            plane.sign_in()
            told = {**said, "Content-Type": "application/json"}
            bad = {"organization": "platform", "name": "admin", "password": "wrong"}
            with plane.client(plane.token) as client:
                assert client.call("POST", f"{API}sessions", bad, headers=told).status == 401
                new = {"role": "viewer", "ttl": 60}
                assert client.call("POST", f"{API}tokens", new, headers=told).status == 201
            events = plane.want(200, "GET", "organizations/platform/audit?limit=20")
            of = {e["operation"]: e["ip"] for e in reversed(events)}
            assert (of["sessions.login"], of["tokens.create_token"]) == (seen, seen)
