"""What goes into the store and comes out of it, and why something doesn't."""

from dataclasses import dataclass

from retinue.errors import RetinueError


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One response. `created_at` is in Unix seconds; the last three are JSON.

    `body` is the response as its caller sees it, `input` the items that came with the request, and
    `messages` the turn as the model sees it: what was said, called, answered and thought.
    """

    id: str
    owner: str
    agent: str
    created_at: int
    status: str
    previous_id: str | None = None
    body: str
    input: str
    messages: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """`created_at` is in Unix seconds, `metadata` JSON."""

    id: str
    created_at: int
    metadata: str


@dataclass(frozen=True, slots=True)
class Item:
    """An item and its JSON."""

    id: str
    body: str


@dataclass(frozen=True, slots=True)
class Passage:
    """A part of a conversation: the turn's `messages` as the model saw them, if it is whole, and
    else the `items` that are left of it.
    """

    messages: str | None
    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Batch:
    """Events of a stream, numbered `first` to `last`, as they are sent."""

    first: int
    last: int
    frames: bytes

    def after(self, number: int) -> bytes:
        """Those that come after the event of that number."""
        if number < self.first:
            return self.frames
        return b"\n\n".join(self.frames.split(b"\n\n")[number - self.first + 1 :])


@dataclass(frozen=True, slots=True)
class Tail:
    """What a stream has to tell; `over` when nothing will come after it."""

    over: bool
    streamed: bool
    batches: tuple[Batch, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A run to work on: `told` is the number of the last event that went out, if any did.

    `touched` runs may have done what can't be done twice.
    """

    response_id: str
    owner: str
    created_at: int
    request: str
    streamed: bool
    touched: bool = False
    attempts: int = 1
    told: int | None = None


class LostError(RetinueError):
    """The run isn't this worker's any more: it was cancelled, or somebody else has it."""


class TooLongError(RetinueError):
    """What lies before a turn is more than is ever read."""


class MissingError(RetinueError):
    """The owner has no such conversation."""


class MissingItemError(RetinueError):
    """The conversation has no such item."""


class BusyError(RetinueError):
    """Another turn is at work on the conversation."""


class FullError(RetinueError):
    """The conversation has all the items that it may have, or too many runs wait already."""
