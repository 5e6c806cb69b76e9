"""What `agent dev` does not give away, by one process and by several."""

import subprocess
from pathlib import Path

import pytest

from tests.acceptance.agent import dev_agent, own_folder, running, write_token


def test_a_foreign_host_gets_nothing(workers: int, folder: Path) -> None:
    """Else a page whose name was pointed at this machine could use the agent (DNS rebinding)."""
    with running(dev_agent(folder, workers=workers)) as agent:
        for path in ("/", "/v1/sys/health", "/v1/sys/seal-status", "/api/v1/tokens/self"):
            refused = agent.call("GET", path, headers={"Host": "evil.example:8200"})
            assert refused.status == 421, path
        told = refused.json
        assert told["code"] == "host_not_local"
        assert told["request_id"]
        assert agent.call("GET", "/v1/sys/health", headers={"Host": "localhost"}).status == 200
        upgrade = (
            b"GET /api/v1/live HTTP/1.1\r\nHost: evil.example\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade, close\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        assert agent.exchange(upgrade).status == 421


def test_the_root_token_is_random_and_in_a_file_of_its_owner(workers: int, folder: Path) -> None:
    """It is on no command line, and the next start finds the same."""
    agent = dev_agent(folder, workers=workers)
    agent.first = None
    with running(agent):
        file = agent.data / "root-token"
        assert file.stat().st_mode & 0o777 == 0o600
        agent.token = file.read_text().strip()
        assert len(agent.token) >= 43
        assert agent.call("GET", "/v1/auth/token/lookup-self").status == 200
        assert agent.call("GET", "/v1/auth/token/lookup-self", token="root").status == 403
        shown = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
        assert agent.token not in shown.stdout
        assert agent.token not in agent.output()
    with running(agent):
        assert agent.call("GET", "/v1/auth/token/lookup-self").status == 200


def test_a_former_root_token_ends(workers: int, folder: Path) -> None:
    """With what was made by it."""
    agent = dev_agent(folder, workers=workers)
    with running(agent):
        former = agent.token
        made = agent.call("POST", "/v1/auth/token/create", {"policies": ["root"]})
        child = made.json["auth"]["client_token"]
        orphan = agent.call("POST", "/v1/auth/token/create-orphan", {"policies": ["default"]})
        other = orphan.json["auth"]["client_token"]
        body = {"policies": ["root"], "ttl": "24h"}
        lasting = agent.call("POST", "/v1/auth/token/create-orphan", body)
        root = lasting.json["auth"]["client_token"]
    agent.token = "another-root-token"
    write_token(agent.data / "root-token", agent.token)
    with running(agent):
        assert agent.call("GET", "/v1/auth/token/lookup-self").status == 200
        assert agent.call("GET", "/v1/auth/token/lookup-self", token=former).status == 403
        assert agent.call("GET", "/v1/auth/token/lookup-self", token=child).status == 403
        assert agent.call("GET", "/v1/auth/token/lookup-self", token=root).status == 403
        assert agent.call("GET", "/v1/auth/token/lookup-self", token=other).status == 200


@pytest.mark.parametrize(("mode", "text"), [(0o644, "long-enough"), (0o600, "abc"), (0o600, "")])
def test_a_token_file_that_is_not_private_or_holds_none_is_refused(mode: int, text: str) -> None:
    """By its name, with what to do."""
    with own_folder() as folder:
        agent = dev_agent(folder)
        file = agent.data / "root-token"
        write_token(file, text)
        file.chmod(mode)
        assert str(file) in agent.refused_start()
