"""The ports of a run of tools/run.sh."""

from loadtests.process import free_port

OF_A_RUN = (0, 1, 100, 101)  # what it listens on, from its PORT on


def port_for_a_run() -> int:
    """A PORT for it."""
    return free_port(OF_A_RUN)
