"""The shapes that messages are read into, made ready before there are threads.

msgspec finds out what is in a `Struct` when one is read for the first time, and has it in place
before it is complete (`StructInfo_Convert` in its `_core.c`, up to 0.23 at least). A second thread
that reads the same shape meanwhile follows a null pointer, and the process is gone.

So it is with dataclasses, named tuples, typed dicts and structs with parameters; what of these is
in a `Struct` is made ready with it, so none of them is to be read by itself.
"""

from collections.abc import Iterator

import msgspec

_READY: set[type[msgspec.Struct]] = set()


def prepare_structs(package: str = "") -> None:
    """Make ready every `Struct` that is loaded; what is ready already takes no time.

    To be called by a process before its second thread, and again by whoever loads more of them,
    before anybody reads those; then they are all below `package`. Raises `TypeError` or `NameError`
    for a shape that cannot be read.
    """
    for shape in _below(msgspec.Struct):
        if shape not in _READY and shape.__module__.startswith(package):
            msgspec.msgpack.Decoder(shape)
            _READY.add(shape)


def _below(shape: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    for each in shape.__subclasses__():
        yield each
        yield from _below(each)
