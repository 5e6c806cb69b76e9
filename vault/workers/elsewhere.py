"""The one signal that a request is not for a worker to answer."""


class Elsewhere(BaseException):  # a signal, not an error
    """This request is the leader's, or this one of its operations.

    Raised before anything has happened of it, in the task of the request; of one of several only
    within the door, which asks him for it. Not an `Exception`, as
    `trio.Cancelled` is not: neither a refusal nor a fault, and nobody on the way may take it for
    one and put it on record.
    """
