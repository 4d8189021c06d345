"""A run that waits for its user's word: what it has done, the calls it asks about, what is said."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256

from retinue.run.messages import ImagePart, Message, ToolCall

Path = tuple[str, ...]
"""The ids of the calls that lead to one: those of sub-agents, then its own."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A call without an answer: it waits for the user's word itself, or a run under it does.

    `about` is the tool's description.
    """

    call: ToolCall
    about: str = ""
    within: "Paused | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Paused:
    """A run that stands still. All of it is plain data, so it can be kept anywhere.

    `agent` is whose run it is. `messages` are its own so far; the last one has the calls of its
    last turn, some of which have `results`, with `images` by id, and the others are `waiting`.
    `handoff` is the agent that goes on after them. Where the conversation was handed over to
    `agent`, `handed` are the messages which that put after it, and `before` those of the agents
    before. `heard` is the `mark` of the conversation's last message.
    """

    agent: str = ""
    messages: tuple[Message, ...] = ()
    results: tuple[Message, ...] = ()
    images: tuple[tuple[str, tuple[ImagePart, ...]], ...] = ()
    waiting: tuple[Waiting, ...] = ()
    handoff: str | None = None
    handed: tuple[Message, ...] = ()
    before: tuple[Message, ...] = ()
    heard: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """One call that a paused run, or a run under it, asks about. `agent` is whose call it is."""

    path: Path
    agent: str
    call: ToolCall
    about: str


def asked(paused: Paused) -> Iterator[Asked]:
    """Every call that is asked about, in an order that stays."""
    for waiting in paused.waiting:
        call = waiting.call
        if waiting.within is None:
            yield Asked((call.id,), paused.agent, call, waiting.about)
            continue
        for below in asked(waiting.within):
            yield Asked((call.id, *below.path), below.agent, below.call, below.about)


def mark(message: Message) -> str:
    """What a message is known by when it is sent again."""
    told = repr((message.role, message.content, message.parts))
    return sha256(told.encode("utf-8", "replace")).hexdigest()


@dataclass(frozen=True, slots=True)
class Resumed:
    """A paused run that goes on. What isn't among the `allowed` isn't called.

    `reasons` are the user's, by path, where some were given; `said` is what the user says beside
    the answer.
    """

    paused: Paused
    allowed: frozenset[Path] = frozenset()
    said: tuple[Message, ...] = ()
    reasons: Mapping[Path, str] | None = None

    @property
    def agreed(self) -> frozenset[str]:
        """The ids of the run's own calls that are allowed."""
        return frozenset(path[0] for path in self.allowed if len(path) == 1)

    def under(self, waiting: Waiting) -> "Resumed | None":
        """The run under a call that goes on with it."""
        if waiting.within is None:
            return None
        first = waiting.call.id
        return Resumed(
            waiting.within,
            frozenset(path[1:] for path in self.allowed if path[0] == first),
            reasons={p[1:]: why for p, why in (self.reasons or {}).items() if p[0] == first},
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request says to one question: `id` is the question's.

    `call` is the call as the request tells of it, where it does; it is believed only where the
    question's id fits it.
    """

    id: str
    approve: bool
    call: ToolCall | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What a request says to the questions that the last answer ended with.

    The last `drop` messages of the conversation are those questions and what was said to them; of
    these the last `said` are for the model to read. With `lead`, the text of the message that
    asked, calls can be made from the answers alone. `param` is where the first stands in a request
    that holds nothing else to go on with: there an answer to nothing is an error, and else it is
    what it is, a message.
    """

    given: tuple[Answer, ...]
    drop: int = 0
    said: int = 0
    lead: str = ""
    param: str | None = None
