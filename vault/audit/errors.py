"""The first thing that is wrong with a log, and where."""


class BadLogError(Exception):
    """`file`, `line` (from 1) and `seq` say where: the record that is there or is missing there.

    For the head file, `line` is 0 and `seq` is the size that it claims, or -1.
    """

    def __init__(self, file: str, line: int, seq: int, what: str) -> None:
        super().__init__(file, line, seq, what)
        self.file = file
        self.line = line
        self.seq = seq
        self.what = what

    def __str__(self) -> str:
        """For people."""
        return f"{self.file}, line {self.line}, record {self.seq}: {self.what}"
