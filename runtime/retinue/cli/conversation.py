"""Events of a run → a terminal: the answer on standard output, the steps on standard error."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.markdown import Markdown

from retinue.run.events import (
    Compacted,
    Event,
    RunFinished,
    TextDelta,
    ToolFinished,
    ToolProgressed,
    ToolStarted,
)

_LONGEST_STEP = 160


class Transcript:
    """Shows a run as it goes. On a terminal the answer is rendered Markdown; else plain text."""

    def __init__(self) -> None:
        self._out = Console(highlight=False, soft_wrap=True)
        self._err = Console(stderr=True, highlight=False, style="dim", soft_wrap=True)

    async def show(self, events: AsyncGenerator[Event, None]) -> RunFinished:
        """Show every event; the last one is returned."""
        return await (self._rendered if self._out.is_terminal else self._plain)(events)

    async def _plain(self, events: AsyncGenerator[Event, None]) -> RunFinished:
        async with aclosing(events):
            async for event in events:
                if isinstance(event, TextDelta):
                    self._out.file.write(event.text)
                    self._out.file.flush()
                elif isinstance(event, RunFinished):
                    self._out.file.write("\n")
                    return event
                self._step(event)
        raise AssertionError("a run ends with RunFinished")

    async def _rendered(self, events: AsyncGenerator[Event, None]) -> RunFinished:
        text = ""
        with Live(console=self._out, refresh_per_second=8, vertical_overflow="visible") as live:
            async with aclosing(events):
                async for event in events:
                    if isinstance(event, TextDelta):
                        text += event.text
                        live.update(Markdown(text))
                    elif isinstance(event, RunFinished):
                        return event
                    self._step(event)
        raise AssertionError("a run ends with RunFinished")

    def _step(self, event: Event) -> None:
        if isinstance(event, Compacted):
            self._tell(event.summary)
        elif isinstance(event, ToolStarted):
            self._tell(f"→ {event.call.name} {event.call.arguments}")
        elif isinstance(event, ToolProgressed):
            self._tell(f"  {event.call.name}: {event.line}")
        elif isinstance(event, ToolFinished):
            mark = "✗" if event.result.is_error else "✓"
            self._tell(f"{mark} {event.call.name} {event.seconds:.2f} s")

    def _tell(self, line: str) -> None:
        short = line if len(line) <= _LONGEST_STEP else line[: _LONGEST_STEP - 1] + "…"
        self._err.print(short, markup=False)


class JsonTranscript:
    """A run as one JSON object: answer, steps, usage."""

    def __init__(self) -> None:
        self._steps: list[dict[str, Any]] = []

    async def show(self, events: AsyncGenerator[Event, None]) -> RunFinished:
        """Take every event; the last one is returned. What a run did that goes on is kept."""
        async with aclosing(events):
            async for event in events:
                if isinstance(event, ToolFinished):
                    self._steps.append(_step_json(event))
                elif isinstance(event, RunFinished):
                    return event
        raise AssertionError("a run ends with RunFinished")

    def text(self, end: RunFinished) -> str:
        """The object, where that was the end."""
        return json.dumps(_run_json(end, self._steps), indent=2, ensure_ascii=False)


def _step_json(event: ToolFinished) -> dict[str, Any]:
    return {
        "tool": event.call.name,
        "arguments": event.call.arguments,
        "result": event.result.structured or event.result.text,
        "is_error": event.result.is_error,
        "seconds": round(event.seconds, 3),
    }


def _answer(event: RunFinished) -> str:
    """What the model said last; a run that a limit stopped may end with a tool's result."""
    said = (m.content for m in reversed(event.messages) if m.role == "assistant" and m.content)
    return next(said, "")


def _run_json(event: RunFinished, steps: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "answer": _answer(event),
        "steps": steps,
        "finish_reason": event.reason,
        "cause": event.cause,
        "turns": event.turns,
        "usage": {
            "input_tokens": event.usage.input_tokens,
            "output_tokens": event.usage.output_tokens,
        },
    }
