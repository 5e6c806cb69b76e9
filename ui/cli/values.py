"""What a program gets of secrets."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Values:
    """What a program gets. `versions`: which of each secret that is."""

    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    versions: Mapping[str, int] = field(default_factory=dict)

    def differs(self, other: "Values") -> bool:
        """Whether a program would notice."""
        return (self.variables, self.files) != (other.variables, other.files)
