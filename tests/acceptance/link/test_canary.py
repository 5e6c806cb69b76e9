"""Values planted with two agents, searched for in all that their control plane could have of them.

The frames as they were sent, its database, logs and memory: nothing of a secret is there, neither
its value nor its name, in no spelling. That the search sees is shown by what may be there.
"""

import json
import random
import string
from functools import partial
from pathlib import Path
from typing import Any, Final

from tests.acceptance.agent import Agent, running, served_agent
from tests.acceptance.control.plane import Plane, dev_plane
from tests.acceptance.link.leaks import files, found, frames, memory
from tests.acceptance.link.test_agent import enrolled, initialised, link, opened, pushed, until

CHANCE: Final = random.Random(11)  # noqa: S311  # chance of a test, not a key
NAMES: Final = ("canaryone", "canarytwo")
WIDE: Final = {"effect": "allow", "paths": ["*"], "capabilities": ["*"]}
CALM: Final = ("heartbeat_interval", "metrics_interval", "checkpoint_interval", "usage_interval")


def planted() -> str:
    """A text that is nowhere by chance."""
    return "Zq" + "".join(CHANCE.choices(string.ascii_letters + string.digits, k=22))


def agent_of(folder: Path, name: str) -> Agent:
    """Not started; it tells all that an owner can have it tell, as often as it can."""
    (folder / name).mkdir()
    ceiling = folder / f"{name}.json"
    ceiling.write_text(json.dumps({"rules": [WIDE]}))
    section: dict[str, Any] = {
        "enabled": True,
        "ceiling": str(ceiling),
        "share_usage": "opaque",
        "share_replays": "opaque",
        **dict.fromkeys(CALM, "1s"),
    }
    return served_agent(folder / name, {"control_plane": section})


def lived(agent: Agent) -> dict[str, str]:
    """What a client does in a vault's life, by texts that are returned."""
    call, hidden = agent.call, {}

    def hide(what: str) -> str:
        hidden[what] = planted()
        return hidden[what]

    opened(agent, initialised(agent))
    hidden["root token"] = agent.token
    mount = hide("mount")
    call("POST", f"/v1/sys/mounts/{mount}", {"type": "kv", "options": {"version": "2"}})
    path = f"/v1/{mount}/data/{hide('folder')}/{hide('name')}"
    for what in ("value", "second value"):
        body = {"data": {hide(f"key of the {what}"): hide(what)}}
        assert call("POST", path, body).status == 200
    assert call("GET", path).status == 200
    meta = {"custom_metadata": {hide("tag"): hide("tag's value")}}
    assert call("POST", path.replace("/data/", "/metadata/"), meta).status == 204
    made = call("POST", "/v1/auth/token/create", {"policies": ["reader"]}).json["auth"]
    hidden["token"] = made["client_token"]
    call("GET", path, token=hidden["token"])
    call("GET", path, token=hide("wrong token"))
    call("GET", f"/v1/{mount}/data/{hide('name that is not there')}")
    return hidden


def told_all(agent: Agent) -> bool:
    """Whether it has said all kinds of things of itself by now."""
    status = link(agent)
    said = frames(agent.folder / "uplink")
    words = (b"usage", b"metrics", b"audit_checkpoint", b"policy_status", b"heartbeat")
    return (
        status["cosigned_size"] > 0
        and status["policy_version"] == 1
        and all(word in said for word in words)
    )


def test_no_planted_value_of_two_agents_reaches_their_control_plane(folder: Path) -> None:
    """Neither in what each has sent nor in what the control plane keeps, says or remembers."""
    (folder / "plane").mkdir()
    plane: Plane = dev_plane(folder / "plane")
    agents = {name: agent_of(folder, name) for name in NAMES}
    hidden: dict[str, str] = {}
    leaks: set[str] = set()
    seen: set[str] = set()
    shown = {name: name for name in NAMES}
    with running(plane):
        plane.sign_in()
        plane.organization("acme")
        for name, agent in agents.items():
            enrolled(plane, name, "--config", str(agent.folder / "vault.yaml"))
            agent.start()
        try:
            for name, agent in agents.items():
                mine = lived(agent)
                hidden |= {f"{what} of {name}": value for what, value in mine.items()}
            pushed(plane, "reader", {"rules": [WIDE]})
            for agent in agents.values():
                until(partial(told_all, agent))
            look = partial(_look, leaks, seen, hidden, shown)
            for name, agent in agents.items():
                look(f"the frames of {name}", [frames(agent.folder / "uplink")])
            look("memory", memory(plane))
        finally:
            for agent in agents.values():
                agent.stop()
    look("files", files(plane.folder))
    assert len(hidden) == 2 * 13
    assert leaks == set()
    for name in NAMES:
        for where in (f"the frames of {name}", "memory", "files"):
            assert f"{name} in {where}, clear" in seen


def _look(
    leaks: set[str],
    seen: set[str],
    hidden: dict[str, str],
    shown: dict[str, str],
    where: str,
    contents: Any,
) -> None:
    for content in contents:
        leaks |= found(hidden, where, [content])
        seen |= found(shown, where, [content])
