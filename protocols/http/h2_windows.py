"""What a client may still send (RFC 9113 section 6.9), and when it is told of more."""

DEFAULT_WINDOW = 65_535  # section 6.9.2, in force until our SETTINGS have arrived


class ReceiveWindow:
    """The window of a stream or of a connection, as its receiver keeps it.

    `size` is what we grant; a client that has not read our SETTINGS may go by the default.
    """

    __slots__ = ("_half", "_left", "_owed")

    def __init__(self, size: int) -> None:
        self._left = max(size, DEFAULT_WINDOW)
        self._half = max(1, size // 2)
        self._owed = 0  # used, and not granted anew

    def consume(self, size: int) -> bool:
        """`size` bytes arrived; False if that was more than was granted."""
        self._left -= size
        return self._left >= 0

    def replenish(self, size: int) -> int:
        """`size` bytes are used: by how much to open the window now, often 0.

        Half a window at a time: the client always has the other half, or we hold it unused.
        """
        self._owed += size
        if self._owed < self._half:
            return 0
        owed, self._owed = self._owed, 0
        self._left += owed
        return owed
