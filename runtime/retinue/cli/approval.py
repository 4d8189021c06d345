"""The questions of a paused run → what the person at the terminal says to them."""

import sys

import typer

from retinue.run.approval import Answer, Answers
from retinue.run.approval_text import pretty, shown
from retinue.run.consent import reading
from retinue.run.events import ApprovalRequested, RunFinished


def answers_at_terminal(end: RunFinished) -> Answers:
    """Ask on standard error, read on standard input. Nobody there, or no clear yes, is a no.

    Other words than yes or no are told to the model.
    """
    return Answers(given=tuple(_answer(one) for one in end.approvals))


def _answer(one: ApprovalRequested) -> Answer:
    about = " ".join(shown(one.about).split())
    lines = [f"{one.agent} would call {one.call.name}", about, pretty(one.call.arguments)]
    typer.echo("\n".join(line for line in lines if line), err=True)
    typer.echo("Allow this call once? [yes/NO] ", err=True, nl=False)
    line = sys.stdin.readline()
    if not line:
        typer.echo("nobody answers: it is not called", err=True)
    words = line.strip()
    said = reading(words)
    return Answer(one.id, said == "yes", reason=words if said == "other" else "")
