"""Characters that text for people must not hold: they show nothing, or not where they stand.

To be put between the brackets of a pattern's class. Unicode 15, Bidirectional Class and General
Category `Cf`: bidirectional controls make text read in another order than it has ("Trojan Source",
CVE-2021-42574), characters without width make two names look alike.
"""

from typing import Final

CONTROLS: Final = r"\x00-\x1f\x7f-\x9f"
BREAKS: Final = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"
"""The same without tab and line ends."""
HIDDEN: Final = r"\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
JOINERS: Final = r"\u200c\u200d"
"""Without width too, but part of some scripts and of emoji: not for names, fine in prose."""
