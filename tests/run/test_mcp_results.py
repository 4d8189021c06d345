"""Every kind of content → text that a model can read."""

from mcp.types import CallToolResult

from retinue.run.events import ToolResult
from retinue.run.mcp.results import capped, tool_result
from retinue.run.mcp.secrets import Secrets
from retinue.run.references import environment

LINK = {"type": "resource_link", "name": "plan", "uri": "file:///plan.md"}
TEXT_FILE = {"type": "resource", "resource": {"uri": "file:///a.txt", "text": "inside"}}
BLOB = {"type": "resource", "resource": {"uri": "file:///a.bin", "blob": "AAAA"}}
SECRETS = Secrets(environment({}))
SECRETS.note('hunter2-"hunter2"', "${env.THE_KEY}")
AUDIO = {"type": "audio", "data": "AAAAAA==", "mimeType": "audio/wav"}


def made(*content: object, **more: object) -> ToolResult:
    return tool_result(CallToolResult.model_validate({"content": content, **more}), SECRETS)


def test_text_comes_first_and_the_rest_is_noted() -> None:
    result = made(AUDIO, {"type": "text", "text": "one"}, LINK, TEXT_FILE, BLOB)
    assert result.text.splitlines() == [
        "one",
        "inside",
        "[audio: audio/wav, 4 bytes, not shown]",
        "[resource: plan at file:///plan.md]",
        "[resource: file:///a.bin, binary, not shown]",
    ]


def test_structured_content_is_read_where_there_is_no_text() -> None:
    rows = {"rows": [{"city": "Oslo"}]}
    assert made(structuredContent=rows).text == '{"rows":[{"city":"Oslo"}]}'
    both = made({"type": "text", "text": "one row"}, structuredContent=rows)
    assert both == ToolResult("one row", structured=rows)


def test_structured_content_that_is_too_large_is_left_to_the_text() -> None:
    result = made(structuredContent={"rows": ["x" * 100] * 30_000})
    assert result.structured is None
    assert "characters left out" in result.text


def test_nothing_and_errors() -> None:
    assert made().text == "(the tool returned nothing)"
    assert made({"type": "text", "text": "no"}, isError=True) == ToolResult("no", is_error=True)


def test_capping_keeps_both_ends() -> None:
    assert capped("abcdefgh", 8) == "abcdefgh"
    assert capped("abcdefghijkl", 8) == "abcdef\n[… 4 characters left out …]\nkl"


def test_what_a_server_quotes_of_our_secrets_is_taken_out() -> None:
    said = 'the key hunter2-"hunter2" is old'
    assert made({"type": "text", "text": said}).text == "the key ${env.THE_KEY} is old"
    result = made(structuredContent={"rows": [{said: said, "n": 1}]})
    kept = "the key ${env.THE_KEY} is old"
    assert result.structured == {"rows": [{kept: kept, "n": 1}]}
    assert "hunter2" not in result.text
    assert "hunter2" not in made({"type": "text", "text": said * 20_000}).text
