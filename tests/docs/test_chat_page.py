"""The page on chat completions lists every field that the server reads, and no other."""

import re
from pathlib import Path

from retinue.serve.wire.chat_request import ChatCompletionRequest

PAGE = Path(__file__).parents[2] / "docs" / "chat.md"


def test_every_request_field_is_in_the_table():
    table = PAGE.read_text().partition("## Every request field")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", table, re.MULTILINE)
    assert [field for field, _ in rows] == list(dict.fromkeys(field for field, _ in rows))
    assert {field for field, _ in rows} == set(ChatCompletionRequest.model_fields)
