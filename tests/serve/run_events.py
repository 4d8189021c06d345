"""Runs, as the events that a loop makes of them."""

from hypothesis import strategies as st

from retinue.run.events import (
    Event,
    ModelFinished,
    ReasoningDelta,
    RefusalDelta,
    RunFinished,
    TextDelta,
    ToolFinished,
    ToolResult,
    ToolStarted,
    TurnStarted,
    Usage,
)
from retinue.run.messages import ToolCall

SPENT = Usage(10, 5, cached_tokens=4, reasoning_tokens=2, cache_write_tokens=1)
CALL = ToolCall("c1", "sales__ask", '{"q": "—"}')
OTHER = ToolCall("c2", "load_skill", "{}")
THEIRS = ToolCall("c3", "weather", '{"city": "Ulm"}')
RUN = [
    TurnStarted(1),
    ReasoningDelta("h"),
    ReasoningDelta("m"),
    TextDelta("Let me "),
    TextDelta("look."),
    ModelFinished("tool_calls", SPENT),
    ToolStarted(CALL),
    ToolStarted(OTHER),
    ToolFinished(OTHER, ToolResult("no such skill", is_error=True), 0.1),
    ToolFinished(CALL, ToolResult("2"), 0.1),
    TurnStarted(2),
    TextDelta(""),
    TextDelta("It is "),
    TextDelta("2 — “zwei”\u2028."),
    ModelFinished("stop", SPENT),
    RunFinished("stop", SPENT + SPENT, 2, ()),
]


@st.composite
def runs(draw) -> list[Event]:
    """The events of any run that a loop could make."""
    deltas = st.one_of(
        st.builds(TextDelta, st.text(max_size=5)),
        st.builds(ReasoningDelta, st.text(max_size=5)),
        st.builds(RefusalDelta, st.text(max_size=5)),
    )
    names = st.text(max_size=8) | st.sampled_from(["a__b", "__", "a__", "x__y__z"])
    events: list[Event] = []
    made = 0
    for turn in range(1, draw(st.integers(1, 4)) + 1):
        events += [TurnStarted(turn), *draw(st.lists(deltas, max_size=6))]
        count = draw(st.integers(0, 3))
        calls = [
            ToolCall(f"c{made + n}", draw(names), draw(st.text(max_size=5))) for n in range(count)
        ]
        made += count
        events += map(ToolStarted, calls)
        finished = draw(st.permutations(calls))[: draw(st.integers(0, count))]
        results = st.builds(ToolResult, st.text(max_size=5), st.booleans())
        events += [ToolFinished(call, draw(results), 0.1) for call in finished]
        if len(finished) < count:
            return [*events, RunFinished("length", SPENT, turn, (), "timeout")]
    theirs = tuple(ToolCall(f"t{n}", draw(names), "{}") for n in range(draw(st.integers(0, 2))))
    reason = draw(st.sampled_from(["stop", "length", "content_filter"]))
    return [*events, RunFinished("tool_calls" if theirs else reason, SPENT, 1, (), calls=theirs)]
