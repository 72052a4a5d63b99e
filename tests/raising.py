"""Functions that raise in another process, which imports no test for them."""

from symbl_aio import AppendBlockedError, ClientClosedError, NotFoundError


class Unreadable(Exception):
    """As of many libraries: pickle writes it, and cannot read it."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} {two}")


def raise_not_found(number: int) -> None:
    raise NotFoundError(404, f"no such job {number}", "<body>", where="GET /v1/job/1")


def raise_unreadable() -> None:
    error = ClientClosedError("closed")
    error.__cause__ = Unreadable("one", "two")
    raise AppendBlockedError("blocked", error)
