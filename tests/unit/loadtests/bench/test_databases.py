"""loadtests.bench.databases: what stands beside the servers' own storage."""

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from loadtests.bench.databases import BalancedAgents, FreeholdOnPostgresql, OpenBaoOnPostgresql
from loadtests.servers import certify


def database(folder: Path) -> Any:
    """A server that is never asked."""
    return SimpleNamespace(
        folder=folder, empty=lambda: "postgresql://u@h/shared", make_database=lambda: "baos"
    )


def test_haproxy_takes_the_deployed_file_with_the_agents_addresses(tmp_path: Path) -> None:
    """Without a warning, and each agent believes it and has the same database."""
    certify(tmp_path)
    servers = BalancedAgents(tmp_path, database(tmp_path))
    command = servers.command()
    checked = subprocess.run([*command, "-c"], capture_output=True, text=True, check=False)
    assert (checked.returncode, "WARN" in checked.stderr.upper()) == (0, False), checked.stderr
    deployed = Path(command[2]).read_text()
    for agent in servers.agents:
        assert f"127.0.0.1:{agent.port} source " in deployed
        agent.command()
        settings = (agent.folder / "vault.yaml").read_text()
        assert "postgresql://u@h/shared" in settings
        assert all(address in deployed for address in agent.proxies)
        assert 'addresses: ["127.0.0.5"]' in settings


def test_both_kinds_have_their_data_in_the_database(tmp_path: Path) -> None:
    """And no balancer is believed where there is none."""
    agent = FreeholdOnPostgresql(tmp_path, "postgresql://u@h/own")
    agent.command()
    settings = (tmp_path / "vault.yaml").read_text()
    assert "storage: {type: postgresql" in settings
    assert "proxies" not in settings
    bao = OpenBaoOnPostgresql(tmp_path, database(tmp_path))
    assert 'storage "postgresql"' in bao.storage()
    assert f"/baos?host={tmp_path}" in bao.storage()
