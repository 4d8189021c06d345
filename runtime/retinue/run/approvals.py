"""A run that stops at a call its user has to agree to ⇄ the questions, and the run that goes on."""

import logging
import pathlib
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from retinue.agent import Agent
from retinue.errors import RequestError
from retinue.run.approval import Answer, Answers, Asked, Path, Paused, Resumed, Waiting, asked, mark
from retinue.run.approval_ids import (
    MOST_QUESTIONS,
    ApprovalIds,
    Bound,
    Id,
    new_key,
    read_id,
)
from retinue.run.caller import Caller
from retinue.run.events import ApprovalRequested, RunFinished
from retinue.run.messages import Message

log = logging.getLogger(__name__)

VALID_FOR = 900
"""Seconds in which a question can be answered."""

Clock = Callable[[], float]


class Approvals(Protocol):
    """Keeps paused runs, by key, and knows which were answered. Times are in Unix seconds."""

    async def keep(self, key: str, paused: Paused, expires: int) -> None:
        """Keep the run until then; or less long, where there is no room."""

    async def find(self, key: str) -> Paused | None:
        """The run, if it is kept here and neither spent nor expired."""

    async def spend(self, key: str, expires: int) -> bool:
        """Let the key be used this once: False for one that was. Atomic.

        Raises StoreDownError and StoreError where nobody can tell: it may be tried again.
        """


class ApprovalsInMemory:
    """Of one process, so that what another one has paused isn't found here.

    It forgets the oldest runs beyond `most` or beyond `characters` of text in all of them. What was
    answered is known to all processes that have the same folder `spent`, which has to be there.
    """

    def __init__(
        self,
        *,
        most: int = 1_000,
        characters: int = 50_000_000,
        clock: Clock = time.time,
        spent: pathlib.Path | None = None,
    ) -> None:
        self._folder = spent
        self._most = most
        self._characters = characters
        self._clock = clock
        self._kept: OrderedDict[str, tuple[Paused, int, int]] = OrderedDict()
        self._size = 0
        self._spent: OrderedDict[str, int] = OrderedDict()

    async def keep(self, key: str, paused: Paused, expires: int) -> None:
        size = _characters(paused)
        self._kept[key] = (paused, expires, size)
        self._size += size
        while self._kept and (
            len(self._kept) > self._most
            or self._size > self._characters
            or self._is_past(next(iter(self._kept.values()))[1])
        ):
            self._forget(next(iter(self._kept)))

    async def find(self, key: str) -> Paused | None:
        paused, expires, _ = self._kept.get(key, (None, 0, 0))
        return None if self._is_past(expires) else paused

    async def spend(self, key: str, expires: int) -> bool:
        if key in self._spent or not self._is_first(key):
            return False
        # Spent keys are few and short: an id has to be real before its key comes here.
        while self._spent and self._is_past(next(iter(self._spent.values()))):
            past, _ = self._spent.popitem(last=False)
            if self._folder:
                (self._folder / past).unlink(missing_ok=True)
        self._spent[key] = expires
        if key in self._kept:
            self._forget(key)
        return True

    def _is_first(self, key: str) -> bool:
        if self._folder is None:
            return True
        try:
            (self._folder / key).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def _forget(self, key: str) -> None:
        self._size -= self._kept.pop(key)[2]

    def _is_past(self, expires: int) -> bool:
        return expires <= self._clock()


def _characters(paused: Paused) -> int:
    messages = (*paused.messages, *paused.results, *paused.handed, *paused.before)
    own = sum(len(repr(message)) for message in messages)
    return own + sum(_characters(w.within) for w in paused.waiting if w.within)


class ApprovalGate:
    """Puts the questions of a paused run, and lets it go on with the answers to them.

    An answer counts for the principal who was asked, for the same call of the same version of the
    agent, within 15 minutes and once. Every question and every answer is logged, without
    arguments. `approvals` may be changed by who serves.
    """

    def __init__(
        self, key: bytes, approvals: Approvals | None = None, clock: Clock = time.time
    ) -> None:
        self._ids = ApprovalIds(key)
        self._clock = clock
        self.approvals = approvals or ApprovalsInMemory(clock=clock)

    async def ask(
        self, agent: Agent, heard: Sequence[Message], end: RunFinished, caller: Caller
    ) -> RunFinished:
        """The end of a paused run with its questions; `heard` is the conversation it was given."""
        if end.paused is None:
            raise ValueError("the run is not paused")
        paused = replace(end.paused, heard=mark(heard[-1]))
        key, expires = new_key(), int(self._clock()) + VALID_FOR
        # What is beyond is not asked about, and so not called.
        every = list(asked(paused))[:MOST_QUESTIONS]
        approvals = []
        for number, one in enumerate(every):
            bound = Bound(caller.principal, agent.name, agent.digest, one.agent, one.call)
            approval = self._ids.make(key, number, expires, bound)
            approvals.append(ApprovalRequested(approval, one.call, one.about, one.agent, expires))
            _tell("requested", key, bound)
        await self.approvals.keep(key, paused, expires)
        return replace(end, paused=paused, approvals=tuple(approvals))

    async def resume(
        self, agent: Agent, conversation: Sequence[Message], answers: Answers, caller: Caller
    ) -> tuple[tuple[Message, ...], Resumed | None]:
        """The conversation and the run that goes on after it.

        Where the answers are to no question that is open, it is the conversation as it is, and no
        run; where the request has nothing else to go on with, RequestError. Raises what `spend`
        does.
        """
        try:
            resumed = await self._resumed(agent, answers, caller)
        except _RefusedError as why:
            _log_refusal(agent, caller, why)
            if answers.param is None:
                return tuple(conversation), None
            raise RequestError(
                f"'{answers.param}' answers no question that is open: it was answered before, it "
                "has expired, or it was put to someone else. Ask again.",
                param=answers.param,
                code="approval_not_found",
            ) from None
        kept = conversation[: len(conversation) - answers.drop]
        said = tuple(conversation[len(conversation) - answers.said :]) if answers.said else ()
        if resumed.paused.heard:
            kept = _until(kept, resumed.paused.heard)
        return tuple(kept), replace(resumed, said=said)

    async def _resumed(self, agent: Agent, answers: Answers, caller: Caller) -> Resumed:
        """Spend the answers. Raises _RefusedError where they are to no open question."""
        read = [_read(answer) for answer in answers.given]
        first = read[0]
        if first.expires <= self._clock():
            raise _RefusedError("expired")
        paused = await self.approvals.find(first.key)
        every = list(asked(paused)) if paused else None
        run = paused or _made_of(answers, agent)
        allowed: set[Path] = set()
        reasons: dict[Path, str] = {}
        told = []
        for one, answer in zip(read, answers.given, strict=True):
            if (one.key, one.expires) != (first.key, first.expires):
                raise _RefusedError("answers to several questions at once")
            call = _kept(every, one) if every else _told(answer, agent)
            bound = Bound(caller.principal, agent.name, agent.digest, call.agent, call.call)
            if not self._ids.fits(one, bound):
                raise _RefusedError("put to someone else, or for another call")
            told.append(("given" if answer.approve else "denied", bound))
            if answer.approve:
                allowed.add(call.path)
            elif answer.reason:
                reasons[call.path] = answer.reason
        if not await self.approvals.spend(first.key, first.expires):
            raise _RefusedError("answered before")
        for what, bound in told:
            _tell(what, first.key, bound)
        return Resumed(run, frozenset(allowed), reasons=reasons)


class _RefusedError(Exception):
    """Answers to no question that is open, and why."""


def _read(answer: Answer) -> Id:
    found = read_id(answer.id)
    if found is None:
        raise _RefusedError("not an id")
    return found


def _kept(every: Sequence[Asked], one: Id) -> Asked:
    """The question, of a run that is kept here."""
    if one.number >= len(every):
        raise _RefusedError("not an id of this run")
    return every[one.number]


def _told(answer: Answer, agent: Agent) -> Asked:
    """The question as the request tells of it: enough for a call of the agent's own."""
    if answer.call is None:
        raise _RefusedError("the run is not kept here")
    return Asked((answer.id,), agent.name, replace(answer.call, id=answer.id), "")


def _made_of(answers: Answers, agent: Agent) -> Paused:
    """A run that another process has paused, as far as it is known: the calls alone."""
    calls = tuple(replace(one.call, id=one.id) for one in answers.given if one.call)
    asking = Message("assistant", answers.lead, tool_calls=calls)
    return Paused(agent=agent.name, messages=(asking,), waiting=tuple(map(Waiting, calls)))


def _until(conversation: Sequence[Message], heard: str) -> Sequence[Message]:
    """The conversation without what the paused run has added to it: it has that itself."""
    for n in range(len(conversation) - 1, -1, -1):
        if mark(conversation[n]) == heard:
            return conversation[: n + 1]
    users = [n for n, message in enumerate(conversation) if message.role == "user"]
    return conversation[: users[-1] + 1] if users else conversation


def _log_refusal(agent: Agent, caller: Caller, why: Exception) -> None:
    log.warning("approval refused: agent=%s principal=%r: %s", agent.name, caller.principal, why)


def _tell(what: str, key: str, bound: Bound) -> None:
    log.info(
        "approval %s: run=%s principal=%r agent=%s asks=%s tool=%s arguments_sha256=%s",
        what,
        key,
        bound.principal,
        bound.agent,
        bound.asks,
        bound.call.name,
        bound.arguments,
    )
