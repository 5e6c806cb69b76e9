"""The process dies: SIGKILL."""

from pathlib import Path

from loadtests.durability.process import make_agent


class KilledAgent:
    """An agent whose process ends at once, and any workers with it; the kernel keeps its writes."""

    def __init__(self, folder: Path, workers: int = 1) -> None:
        self.agent = make_agent(folder, folder / "data", workers)

    def inject(self) -> None:
        """Kill it, from another thread."""
        self.agent.strike()

    def recover(self) -> None:
        """Wait for its end; it can be started again."""
        self.agent.kill()

    def close(self) -> None:
        """Leave nothing running."""
        self.agent.kill()


def why_not() -> str:
    """Why this machine cannot do it; it always can."""
    return ""
