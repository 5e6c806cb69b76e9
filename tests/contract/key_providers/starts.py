"""From an agent's start to unsealed, by each kind of seal, and whether reads care which it is.

Agents of one worker on one machine, in turns: each start is of the next kind, and so are three
seconds of reads, by one client. SoftHSM, OpenBao, moto and servers that speak Google's and Azure's
protocols stand for the real ones, so a network's latency is to be added. `make seal-starts`
(STARTS=5).
"""

import argparse
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final

from loadtests.agent_process import Agent, Client, served_agent
from tests.support.aws_kms import aws_kms
from tests.support.cloud_servers import AzureKeyVault, GoogleKms, serving
from tests.support.softhsm import Token
from tests.support.transit import KEY, transit

STARTS: Final = 5
READ_SECONDS: Final = 3.0
SECRET: Final = "/v1/secret/data/a"


@dataclass
class Kind:
    """A way to keep the root key, and what was measured: seconds; CPU microseconds of a read."""

    name: str
    encryption: Mapping[str, Any]
    environment: Mapping[str, str] = field(default_factory=dict)
    starts: list[float] = field(default_factory=list)
    reads: list[float] = field(default_factory=list)

    def agent(self, folder: Path) -> Agent:
        """With a vault that has one secret; it runs."""
        folder.mkdir()
        server = {"listen": "127.0.0.1:0", "tls": {"enabled": False}, "workers": 1}
        agent = served_agent(folder, {"server": server, "encryption": self.encryption})
        agent.environment.update(self.environment)
        agent.start()
        with Client(agent.port, "") as client:
            kind = "secret" if self.encryption["key_management"] == "file" else "recovery"
            body = {f"{kind}_shares": 1, f"{kind}_threshold": 1}
            agent.token = client.call("PUT", "/v1/sys/init", body).json["root_token"]
        with Client(agent.port, agent.token) as client:
            mount = {"type": "kv", "options": {"version": "2"}}
            assert client.call("POST", "/v1/sys/mounts/secret", mount).status == 204
            assert client.call("POST", SECRET, {"data": {"a": 1}}).status == 200
        agent.stop()
        return agent

    def measure(self, agent: Agent) -> None:
        """One start, and a second of reads."""
        began = time.monotonic()
        agent.start()
        with Client(agent.port, agent.token) as client:
            while client.call("GET", "/v1/sys/seal-status").json["sealed"]:
                time.sleep(0.005)
            self.starts.append(time.monotonic() - began)
            for _ in range(200):
                assert client.call("GET", SECRET).status == 200
            assert agent.process is not None
            before, ends, count = (
                _cpu_seconds(agent.process.pid),
                time.monotonic() + READ_SECONDS,
                0,
            )
            while time.monotonic() < ends:
                assert client.call("GET", SECRET).status == 200
                count += 1
            self.reads.append((_cpu_seconds(agent.process.pid) - before) / count * 1e6)
        agent.stop()


def kinds(folder: Path, stack: ExitStack) -> Iterator[Kind]:
    """Each with servers of its own."""
    yield Kind("file", {"key_management": "file", "key_file": str(folder / "root.key")})
    disk = {"name": "disk", "key_file": str(folder / "wrapping.keys")}
    yield Kind("wrapping keys in a file", {"key_management": "providers", "providers": [disk]})
    token = Token(folder / "softhsm")
    token.change_keys({"label": "root", "id": "01", "value": "11" * 32})
    hsm = token.section()
    yield Kind("PKCS#11 (SoftHSM)", hsm, {"SOFTHSM2_CONF": str(token.config)})
    openbao = stack.enter_context(transit())
    openbao.make_key()
    section = openbao.section(folder, KEY, openbao.make_token("unseal"))
    yield Kind("transit (OpenBao)", _cloud(transit=section))
    moto = stack.enter_context(aws_kms(folder / "aws"))
    moto.make_key("alias/starts")
    yield Kind("AWS KMS (moto)", _cloud(aws=moto.section("alias/starts")))
    google = GoogleKms(folder, versions=1)
    variables = stack.enter_context(serving(google, folder))
    yield Kind("Google Cloud KMS", _cloud(gcp=google.section), variables)
    (folder / "azure").mkdir()
    azure = AzureKeyVault(versions=1)
    variables = stack.enter_context(serving(azure, folder / "azure"))
    yield Kind("Azure Key Vault", _cloud(azure=azure.section), variables)
    spare = {"name": "spare", "key_file": str(folder / "spare.keys")}
    both = [{"name": "token", "hsm": hsm["hsm"]}, spare]
    section = {"key_management": "providers", "providers": both}
    yield Kind("PKCS#11 gone, then a file", section, {"SOFTHSM2_CONF": str(token.config)})


def _cpu_seconds(pid: int) -> float:
    """That the agent's process has used, without its helpers: fields 14 and 15 of proc(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _cloud(**section: Any) -> dict[str, Any]:
    return {"key_management": "cloud_kms", "cloud_kms": section}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=STARTS)
    given = parser.parse_args()
    with TemporaryDirectory(prefix="freehold-starts-") as name, ExitStack() as stack:
        folder = Path(name)
        (folder / "aws").mkdir()
        found = list(kinds(folder, stack))
        agents = [kind.agent(folder / f"agent{n}") for n, kind in enumerate(found)]
        agents[-1].environment["SOFTHSM2_CONF"] = "/nonexistent"  # its token is gone
        for _ in range(given.starts):
            for kind, agent in zip(found, agents, strict=True):
                kind.measure(agent)
    print("| seal | start to unsealed, s (least, median, most) | CPU of a read, µs (median) |")
    print("|---|---|---|")
    for kind in found:
        starts = sorted(kind.starts)
        shown = f"{starts[0]:.2f}, {median(starts):.2f}, {starts[-1]:.2f}"
        print(f"| {kind.name} | {shown} | {median(kind.reads):.0f} |")


if __name__ == "__main__":
    main()
