"""What the Genie API asks of a space's body, written down apart from what makes one.

Source: https://docs.databricks.com/aws/en/genie/conversation-api
"""

import json
import re
from collections.abc import Iterator
from typing import Any

_ID = re.compile(r"[0-9a-f]{32}")
_TEXTS = {"question", "sql", "content", "description", "synonyms"}
_KEYS = {
    "": {"version", "config", "data_sources", "instructions"},
    "config": {"sample_questions"},
    "data_sources": {"tables"},
    "instructions": {
        "text_instructions",
        "example_question_sqls",
        "join_specs",
        "sql_snippets",
    },
    "sql_snippets": {"measures", "expressions"},
    "sample_questions": {"id", "question"},
    "text_instructions": {"id", "content"},
    "example_question_sqls": {"id", "question", "sql"},
    "join_specs": {"id", "left", "right", "sql"},
    "left": {"identifier", "alias"},
    "right": {"identifier", "alias"},
    "measures": {"id", "alias", "display_name", "sql", "synonyms"},
    "expressions": {"id", "alias", "display_name", "sql"},
    "tables": {"identifier", "description", "column_configs"},
    "column_configs": {
        "column_name",
        "synonyms",
        "enable_format_assistance",
        "enable_entity_matching",
    },
}
_SORTED_BY = {"tables": "identifier", "column_configs": "column_name"}
_RELATION = re.compile(r"--rt=FROM_RELATIONSHIP_TYPE_(?:MANY|ONE)_TO_(?:MANY|ONE)--")


def broken_rules(text: str) -> list[str]:
    """Every rule that the body breaks."""
    body = json.loads(text)
    found = [*_walked(body, "")]
    found += ["it is too large"] if len(text.encode()) > 3_500_000 else []
    found += ["version is not 2"] if body["version"] != 2 else []
    found += ["no table"] if not 0 < len(body["data_sources"]["tables"]) <= 30 else []
    instructions = body["instructions"]
    found += ["more than one text"] if len(instructions["text_instructions"]) > 1 else []
    for join in instructions["join_specs"]:
        condition, relation = join["sql"]
        if not re.search(r"`\w+`\.`\w+`", condition) or not _RELATION.fullmatch(relation):
            found.append(f"a join of another form: {join['sql']}")
    ids = [*_ids(instructions)]
    found += ["two instructions have one id"] if len(ids) != len(set(ids)) else []
    return found


def _walked(value: Any, at: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key in value.keys() - _KEYS.get(at, set()):
            yield f"unknown field '{key}' in '{at}'"
        if "id" in value and not _ID.fullmatch(value["id"]):
            yield f"'{value['id']}' is no id"
        for key, below in value.items():
            if key in _TEXTS and not (
                isinstance(below, list) and all(isinstance(t, str) for t in below)
            ):
                yield f"'{key}' is no list of texts"
            yield from _walked(below, key)
    elif isinstance(value, list) and at not in _TEXTS:
        order = [entry[_SORTED_BY.get(at, "id")] for entry in value]
        if order != sorted(order):
            yield f"'{at}' is not sorted"
        for entry in value:
            yield from _walked(entry, at)
    elif isinstance(value, str) and len(value) > 25_000:
        yield f"a text of '{at}' is too long"


def _ids(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (value["id"],) if "id" in value else ()
        for below in value.values():
            yield from _ids(below)
    elif isinstance(value, list):
        for below in value:
            yield from _ids(below)
