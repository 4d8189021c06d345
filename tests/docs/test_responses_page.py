"""The page on responses lists every field that the server reads and every item it knows."""

import re
from pathlib import Path

from retinue.serve.wire.responses_input import PASSED_OVER, TAKEN
from retinue.serve.wire.responses_request import CreateResponseRequest

PAGE = Path(__file__).parents[2] / "docs" / "responses.md"


def table(heading: str) -> str:
    return PAGE.read_text().partition(f"## {heading}")[2].partition("\n## ")[0]


def test_every_request_field_is_in_the_table():
    fields = re.findall(r"^\| `(\w+)` \| .+ \|$", table("Every request field"), re.MULTILINE)
    assert len(fields) == len(set(fields))
    assert set(fields) == set(CreateResponseRequest.model_fields)


def test_every_item_of_an_input_is_in_the_table():
    firsts = re.findall(r"^\| (`.+?) \| .+ \|$", table("Input"), re.MULTILINE)
    named = {name for cell in firsts for name in re.findall(r"`([\w:]+)`", cell)}
    assert named == {*TAKEN, *PASSED_OVER, "anyone:anything", "item_reference"}
