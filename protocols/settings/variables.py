"""What the environment of a command may have: the names that say where to go, and as whom.

The control plane's settings are variables with the same beginning; these are none of them.
"""

from typing import Final

NAMES: Final = ("ADDR", "TOKEN", "CACERT", "CLIENT_CERT", "CLIENT_KEY")
AGENT: Final = "FREEHOLD_"
PLANE: Final = "FREEHOLD_CONTROL_"
COMMANDS: Final = frozenset(prefix + name for prefix in (AGENT, PLANE) for name in NAMES)
"""For commands; to a process that reads its settings they say nothing."""
