"""What can go wrong between us and a tool server, in words that name no secret."""

from retinue.errors import RetinueError


class LinkError(RetinueError):
    """The server can't be reached or is lost; `str` is one clause for `problem`.

    `delivered` is False only where the server certainly did not see the request.
    """

    def __init__(self, problem: str, *, delivered: bool = True) -> None:
        super().__init__(problem)
        self.delivered = delivered


def clip(text: str, limit: int = 300) -> str:
    """The text on one line, without control characters, in at most `limit` characters."""
    flat = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * limit]).split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"
