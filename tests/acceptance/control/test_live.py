"""The live feed of the process, with an agent as a process of its own at the other end."""

import json
import signal

import trio
import trio_websocket as ws

from tests.acceptance.agent import dev_agent, own_folder, running
from tests.acceptance.command import freehold
from tests.acceptance.control.browser import Browser
from tests.acceptance.control.feed import opened
from tests.acceptance.control.plane import dev_plane
from tests.acceptance.link.test_agent import enrolled

CANARY = "canary-91c2e7-value"


async def test_an_agent_is_watched_from_its_first_word_to_its_last() -> None:
    """Fleet, one agent with its actors, alerts, trail; then the agent ends, then the plane."""
    with own_folder() as folder:
        for name in ("plane", "agent"):
            (folder / name).mkdir()
        plane, agent = dev_plane(folder / "plane"), dev_agent(folder / "agent")
        with running(plane):
            plane.sign_in()
            plane.organization("acme")
            browser = Browser(plane)
            browser.login("acme", "owner")
            async with opened(browser) as feed:
                await feed.watch(1, "fleet", "acme")
                await feed.until(lambda: feed.rows.get(1) == {})
                enrolled(plane, "one", "--data-dir", str(agent.data))
                await feed.until(lambda: feed.rows[1].get("one", {}).get("life") == "active")
                with running(agent):
                    agent.call("POST", "/v1/secret/data/app", {"data": {"password": CANARY}})
                    await feed.until(lambda: feed.rows[1]["one"]["linked"])
                    await feed.until(lambda: feed.rows[1]["one"]["state"] == "online")
                    await feed.until(lambda: bool(feed.rows[1]["one"]["version"]))
                    await feed.watch(2, "agent", "acme", "one")
                    await feed.until(
                        lambda: bool(feed.rows.get(2, {}).get("tree", {}).get("nodes"))
                    )
                    sections = feed.rows[2]

                    def paths() -> list[str]:
                        return [node["path"] for node in sections["tree"]["nodes"]]

                    # `queries`, `look`, `late-changes`, `key-rewrap`, `lockouts` and others are
                    # newer than the words of the link
                    others = [
                        "agent/store/other",
                        "agent/store/other-2",
                        "agent/work/other",
                        *(f"agent/work/other-{number}" for number in range(2, 18)),
                    ]
                    await feed.until(  # some begin late
                        lambda: [path for path in paths() if "other" in path] == others
                    )
                    assert {"agent", "agent/store/writer"} <= set(paths())
                    await feed.until(  # a worker tells its counts once a second
                        lambda: feed.rows[2]["metrics"]["counters"]["requests"] >= 1
                    )
                    assert sections["certificate"]["generation"] == 1
                    assert sections["link"]["connected"] is True
                    assert CANARY not in json.dumps(feed.rows)
                await feed.until(lambda: not feed.rows[1]["one"]["linked"])
                await feed.until(lambda: feed.rows[2]["tree"]["nodes"] is None)
                plane.process.send_signal(signal.SIGTERM)
                assert await code(feed.socket) == 1012
        shown = freehold("-o", "json", "agent", "egress", "list", "--data-dir", str(agent.data),
                         "--limit", "0")  # fmt: skip
        says = [entry["says"] for entry in json.loads(shown.stdout)]
        assert any(line.startswith("glimpse") for line in says)
        assert CANARY not in shown.stdout


async def code(socket: ws.WebSocketConnection) -> int:
    """With which code it is closed."""
    with trio.fail_after(30):
        try:
            while True:
                await socket.get_message()
        except ws.ConnectionClosed:
            assert socket.closed is not None  # what is known of the end
            return int(socket.closed.code)
