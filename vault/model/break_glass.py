"""Break-glass sets: what is asked for them, and what may be told of them."""

from msgspec import Struct


class BreakGlassState(Struct, frozen=True, kw_only=True):
    """The set in force and the uses of all sets; instants are Unix ns, 0 means never.

    `set` is empty where there is none. `set_uses` above 0: the set is spent; it opens the vault
    until another one takes its place.
    """

    set: str = ""
    shares: int = 0
    threshold: int = 0
    made_at: int = 0
    made_by: str = ""
    set_uses: int = 0
    uses: int = 0
    used_at: int = 0


class NewBreakGlassSet(Struct, frozen=True, kw_only=True):
    """A set that was made. Its shares are told once and kept nowhere."""

    state: BreakGlassState
    shares: tuple[str, ...]

    def __repr__(self) -> str:
        return f"NewBreakGlassSet(set={self.state.set!r})"


class MakeBreakGlassSet(Struct, frozen=True, kw_only=True):
    """Any `threshold` of `shares` are to open the vault. `replaces`: in the place of a set."""

    shares: int
    threshold: int
    replaces: bool = False


class BreakGlassProgress(Struct, frozen=True, kw_only=True):
    """How far an opening is. `warning`: what is left to be done by hand."""

    sealed: bool
    set: str = ""
    shares: int = 0
    threshold: int = 0
    progress: int = 0
    uses: int = 0
    used_at: int = 0
    warning: str = ""
