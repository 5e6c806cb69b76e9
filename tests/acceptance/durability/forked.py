"""`python -m loadtests.durability` with agents that are forked (`warm`)."""

import sys

from loadtests.agent_process import Agent
from loadtests.durability.__main__ import main
from tests.acceptance.durability import warm

if __name__ == "__main__":
    Agent.spawn, Agent.verify = warm.spawn, warm.verify
    sys.exit(main())
