"""A question → trusted SQL, or the reason why there is none and what could be asked instead."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from retinue.offline.genie.ask import Ask, RefusedError
from retinue.offline.genie.grammar import read
from retinue.offline.genie.leaning import check
from retinue.offline.genie.lexicon import Lexicon
from retinue.offline.genie.nearest import Nearest
from retinue.offline.genie.periods import Calendar
from retinue.offline.genie.plan import plan
from retinue.offline.genie.space import Question, Space
from retinue.offline.genie.words import MAX_WORDS, stems, words


@dataclass(frozen=True, slots=True)
class Answer:
    """SQL to run. `matched` says how it was found, `notes` what was assumed; `ask` is kept for
    the next question of the conversation.
    """

    sql: str
    title: str
    matched: str
    notes: tuple[str, ...] = ()
    ask: Ask | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """No trusted SQL: why, and which questions there are answers to."""

    reason: str
    nearest: tuple[str, ...]


class Matcher:
    """A space with its values and dates, ready for questions. Pure: the same question and the same
    previous one give the same answer.
    """

    def __init__(
        self, space: Space, values: Mapping[str, Iterable[str]], calendar: Calendar
    ) -> None:
        self._space = space
        self._calendar = calendar
        self._lexicon = Lexicon(space, values)
        self._trusted = {
            stems(phrase): question
            for question in space.questions
            if question.sql
            for phrase in (question.ask, *question.also)
        }
        self._nearest = Nearest([question.ask for question in space.questions])

    def match(self, question: str, previous: Ask | None = None) -> Answer | Refusal:
        """The answer to `question`, which may lean on `previous`."""
        trusted = self._trusted.get(stems(question))
        try:
            if trusted:
                return self._curated(trusted)
            ask = self._read(question, previous)
            made = plan(ask, self._space)
        except RefusedError as error:
            return Refusal(str(error), self._nearest.to(question))
        return Answer(made.sql, made.title, f"template ({made.shape})", made.notes, ask)

    def _read(self, question: str, previous: Ask | None) -> Ask:
        said = words(question)
        if len(said) > MAX_WORDS:
            raise RefusedError(f"the question is too long; at most {MAX_WORDS} words are read")
        check([word.text for word in said], alone=previous is None)
        return read(
            said,
            space=self._space,
            lexicon=self._lexicon,
            calendar=self._calendar,
            previous=previous,
        )

    def _curated(self, question: Question) -> Answer:
        notes = (question.reading,) if question.reading else ()
        try:
            ask = self._read(question.ask, None)
        except RefusedError:
            ask = None
        title = question.ask.rstrip("?")
        return Answer(question.sql or "", title, f'trusted question "{question.ask}"', notes, ask)
