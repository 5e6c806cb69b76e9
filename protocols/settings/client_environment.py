"""What the environment of a command may have: the names that say where to go, and as whom.

The control plane's settings are variables with the same beginning; these are none of them.
"""

from typing import Final

NAMES: Final = ("ADDR", "TOKEN", "CACERT", "CLIENT_CERT", "CLIENT_KEY")
AGENT_PREFIX: Final = "FREEHOLD_"
CONTROL_PREFIX: Final = "FREEHOLD_CONTROL_"
CLIENT_VARIABLES: Final = frozenset(
    prefix + name for prefix in (AGENT_PREFIX, CONTROL_PREFIX) for name in (*NAMES, "CONFIG")
)
"""For commands; to a process that reads its settings they say nothing. `CONFIG`: where its file is,
for the Procfile and for `control.asgi`."""
