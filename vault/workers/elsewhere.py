"""The one signal that a request is not for a worker to answer."""


class Elsewhere(BaseException):  # a signal, not an error
    """This request is the leader's.

    Raised before anything has happened, in the task of the request. Not an `Exception`, as
    `trio.Cancelled` is not: neither a refusal nor a fault, and nobody on the way may take it for
    one and put it on record.
    """
