"""A Genie tool's reply → Markdown: the figures in a sentence, the rows, the SQL, how it matched."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from retinue.run.ports import Tool

NOTICE = (
    "*offline/analyst: a deterministic stand-in, not a language model; "
    "figures come from the tool that was asked.*"
)
SHOWN_ROWS = 20
_NEAREST = "The nearest questions that I can answer"
_NUMERIC = {
    "DECIMAL",
    "DOUBLE",
    "FLOAT",
    "REAL",
    "BIGINT",
    "INTEGER",
    "INT",
    "LONG",
    "HUGEINT",
    "SMALLINT",
}
_UNFINISHED = {
    "SUBMITTED", "FETCHING_METADATA", "FILTERING_CONTEXT", "ASKING_AI", "PENDING_WAREHOUSE",
    "EXECUTING_QUERY", "IN_PROGRESS",
}  # fmt: skip
# Numbers that name something; a thousands separator would spoil them.
_NAMES = re.compile(r"(?:^|_)(?:year|hour|id|code)$|ID$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Column:
    """A result column; `numeric` ones are figures, the others name the row."""

    name: str
    numeric: bool


@dataclass(frozen=True, slots=True)
class Reply:
    """What a Genie tool answered, in either of the spellings that managed servers use."""

    status: str
    conversation_id: str
    message_id: str
    texts: tuple[str, ...]
    suggestions: tuple[str, ...]
    queries: tuple[Mapping[str, Any], ...]
    error: str

    @classmethod
    def read(cls, text: str) -> "Reply | None":
        """The reply in a tool's result, or None where the text is something else."""
        try:
            body = json.loads(text)
        except ValueError:
            return None
        if not isinstance(body, dict) or "status" not in body:
            return None
        content = body.get("content")
        content = content if isinstance(content, dict) else {}
        error = body.get("error")
        return cls(
            status=str(body["status"]).upper(),
            conversation_id=_first(body, "conversationId", "conversation_id"),
            message_id=_first(body, "messageId", "message_id", "responseId", "response_id"),
            texts=tuple(_texts(content.get("textAttachments"), body.get("final_answer"))),
            suggestions=tuple(_texts(content.get("suggestedQuestions"))),
            queries=tuple(q for q in content.get("queryAttachments") or () if isinstance(q, dict)),
            error=str(error.get("error", "")) if isinstance(error, dict) else str(error or ""),
        )

    @property
    def unfinished(self) -> bool:
        """Whether it has to be polled; a completed reply without content isn't ready either."""
        empty = self.status == "COMPLETED" and not (self.texts or self.queries)
        return self.status in _UNFINISHED or empty

    @property
    def refused(self) -> bool:
        return self.status == "COMPLETED" and not self.queries


def _first(body: Mapping[str, Any], *names: str) -> str:
    return next((str(body[name]) for name in names if body.get(name)), "")


def _texts(*values: object) -> Iterable[str]:
    for value in values:
        for item in value if isinstance(value, list) else [value]:
            text = item.get("content") if isinstance(item, dict) else item
            if isinstance(text, str) and text:
                yield text


def as_markdown(reply: Reply | None, raw: str, tool: str) -> str:
    """The whole answer, with the notice that no model wrote it."""
    if reply is None and raw.endswith(NOTICE):  # a sub-agent's, which another stand-in wrote
        return raw
    if reply is None:
        body = (
            f"The tool `{tool}` did not give an answer that I can read. It said:\n\n{_quoted(raw)}"
        )
    elif reply.unfinished:
        body = (
            f"`{tool}` has not finished yet (status {reply.status}). "
            "I have no figures to show; ask again in a moment."
        )
    elif reply.queries:
        body = "\n\n".join([_query(query) for query in reply.queries] + list(reply.texts))
    elif reply.refused:
        body = "\n\n".join([*reply.texts, *_suggested(_NEAREST, reply.suggestions)])
    else:
        body = (
            f"`{tool}` could not answer (status {reply.status}).\n\n{_quoted(reply.error or raw)}"
        )
    return f"{body}\n\n{NOTICE}"


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}" for line in text[:2_000].splitlines() or [""])


def _suggested(heading: str, questions: Sequence[str]) -> list[str]:
    return [f"{heading}:\n" + "\n".join(f"- {q}" for q in questions)] if questions else []


def _query(query: Mapping[str, Any]) -> str:
    columns, rows, total, cut = _result(query.get("statement_response"))
    title = str(query.get("title") or "Result")
    parts = [_headline(title, columns, rows, total)]
    if rows:
        parts.append(_table(columns, rows[:SHOWN_ROWS]))
    if total > SHOWN_ROWS:
        parts.append(f"{SHOWN_ROWS} of {total:,} rows are shown.")
    if cut:
        parts.append("There are more rows than the query returned: don't sum these.")
    parts.append(f"```sql\n{query.get('query', '')}\n```")
    if query.get("description"):
        parts.append(str(query["description"]))
    return "\n\n".join(parts)


Rows = Sequence[Sequence[str | None]]


def _result(statement: object) -> tuple[tuple[Column, ...], Rows, int, bool]:
    """Columns, rows, the number of rows, and whether some were left out, of a response."""
    body = statement if isinstance(statement, dict) else {}
    manifest = body.get("manifest") or {}
    described = (manifest.get("schema") or {}).get("columns") or []
    columns = tuple(Column(str(c.get("name")), _is_figure(c)) for c in described)
    rows = (body.get("result") or {}).get("data_array") or []
    total = int(manifest.get("total_row_count") or len(rows))
    return columns, rows, total, bool(manifest.get("truncated"))


def _is_figure(column: Mapping[str, Any]) -> bool:
    return column.get("type_name") in _NUMERIC and not _NAMES.search(str(column.get("name")))


def _headline(title: str, columns: Sequence[Column], rows: Rows, total: int) -> str:
    if not rows or all(cell is None for c, cell in zip(columns, rows[0], strict=False)):
        return f"**{title}**: nothing is recorded."
    if total <= 3:
        return f"**{title}**: {'; '.join(_sentence(columns, row) for row in rows)}."
    figure = next((n for n, c in enumerate(columns) if c.numeric), None)
    if figure is None:
        return f"**{title}**: {total:,} rows."
    best = max(rows, key=lambda row: _number(row[figure]))
    name = columns[figure].name.replace("_", " ")
    where = ", ".join(str(cell) for c, cell in zip(columns, best, strict=False) if not c.numeric)
    value = _shown(columns[figure], best[figure])
    return f"**{title}**: {total:,} rows; the highest {name} is {value} ({where})."


def _sentence(columns: Sequence[Column], row: Sequence[str | None]) -> str:
    """A row in words: "Sakura Oven: revenue 5,411.55"."""
    names = [str(cell) for c, cell in zip(columns, row, strict=False) if not c.numeric]
    figures = [
        f"{c.name.replace('_', ' ')} {_shown(c, cell)}"
        for c, cell in zip(columns, row, strict=False)
        if c.numeric and cell is not None
    ]
    return ": ".join(part for part in (", ".join(names), ", ".join(figures)) if part)


def _number(cell: str | None) -> Decimal:
    try:
        return Decimal(cell or "-Infinity")
    except InvalidOperation:
        return Decimal("-Infinity")


def _shown(column: Column, cell: str | None) -> str:
    if cell is None:
        return ""
    value = _number(cell) if column.numeric else None
    if value is not None and value.is_finite():
        return f"{value:,f}"
    return cell


def _table(columns: Sequence[Column], rows: Rows) -> str:
    lines = [
        _line(c.name for c in columns),
        _line("---:" if c.numeric else "---" for c in columns),
        *(_line(_shown(c, cell) for c, cell in zip(columns, row, strict=False)) for row in rows),
    ]
    return "\n".join(lines)


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(re.sub(r"[|\r\n]+", " ", cell) for cell in cells) + " |"


def introduction(tools: Sequence[Tool], asked: Tool | None, *, tools_off: bool) -> str:
    """What this is and what can be done with it, where there is no question to pass on."""
    parts = ["I am `offline/analyst`: a deterministic stand-in. No language model is running here."]
    if tools_off:
        parts.append("Tools are switched off for this request, so I have nothing to answer with.")
    elif asked is None:
        parts.append("No tool of this agent takes questions in plain words, so I can't answer.")
    else:
        parts.append(f"I pass questions on to `{asked.name}`.")
        parts += _suggested("Questions to start with", _examples(asked.description))
    if tools:
        parts.append("Tools:\n" + "\n".join(_listed(tool) for tool in tools))
    return "\n\n".join(parts)


def _examples(description: str) -> list[str]:
    _, found, listed = description.partition("Example questions: ")
    # After the last one, the description may go on.
    ends = (re.sub(r"(?<=\?)\s.*", "", text.strip(), flags=re.DOTALL) for text in listed.split(";"))
    return [text for text in ends if text] if found else []


def _listed(tool: Tool) -> str:
    summary = tool.description.strip().partition("\n")[0]
    summary = summary if len(summary) <= 120 else summary[:119] + "…"
    names = _choices(tool) if tool.name.endswith("load_skill") else []
    skills = f" Skills: {', '.join(names)}." if names else ""
    return f"- `{tool.name}`: {summary}{skills}"


def _choices(tool: Tool) -> list[str]:
    """The values a tool's arguments may take: of `load_skill`, the skills."""
    properties = tool.parameters.get("properties")
    found = properties.values() if isinstance(properties, dict) else ()
    listed = [p.get("enum") for p in found if isinstance(p, dict)]
    return [str(name) for names in listed if isinstance(names, list) for name in names]
