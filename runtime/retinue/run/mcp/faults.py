"""What can go wrong between us and a tool server, in words that name no secret."""

from retinue.errors import RetinueError, ToolError


class LinkError(RetinueError):
    """The server can't be reached or is lost; `str` is one clause for `problem`.

    `delivered` is False only where the server certainly did not see the request.
    """

    def __init__(self, problem: str, *, delivered: bool = True) -> None:
        super().__init__(problem)
        self.delivered = delivered


class LostAnswerError(ToolError):
    """A call's answer is lost, and the session goes on: it may have taken effect."""


class BusyError(ToolError):
    """The server refused the call for now, and did not run it; `wait` is in seconds."""

    def __init__(self, message: str, wait: float) -> None:
        super().__init__(message)
        self.wait = wait


def clip(text: str, limit: int = 300) -> str:
    """The text on one line, without control characters, in at most `limit` characters."""
    flat = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * limit]).split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"
