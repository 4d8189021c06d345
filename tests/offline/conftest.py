"""The real server process, and the same rows to check it against."""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from mcp import Client, StdioServerParameters

BAKEHOUSE = Path(__file__).parents[2] / "samples" / "bakehouse"


@dataclass(frozen=True)
class Asker:
    """A client of a running server. Calls block; the session lives in the portal's thread."""

    portal: BlockingPortal
    client: Client

    @property
    def tools(self) -> Sequence[Any]:
        return self.portal.call(self.client.list_tools).tools

    def call(self, name: str, **arguments: Any) -> Any:
        full = next(tool.name for tool in self.tools if tool.name.startswith(name))
        return self.portal.call(self.client.call_tool, full, arguments)

    def ask(self, query: str, conversation: str | None = None) -> dict[str, Any]:
        extra = {"conversation_id": conversation} if conversation else {}
        result = self.call("query_space_", query=query, **extra)
        assert not result.is_error, result.content[0].text
        assert json.loads(result.content[0].text) == result.structured_content
        return result.structured_content

    def poll(self, reply: dict[str, Any]) -> dict[str, Any]:
        ids = {"conversation_id": reply["conversationId"], "message_id": reply["messageId"]}
        return self.call("poll_response_", **ids).structured_content


def started(*arguments: str) -> Iterator[Asker]:
    process = StdioServerParameters(
        command=sys.executable, args=["-m", "retinue.offline.genie", str(BAKEHOUSE), *arguments]
    )
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(Client(process)) as client,
    ):
        yield Asker(portal, client)


@pytest.fixture(scope="module")
def genie() -> Iterator[Asker]:
    yield from started()


@pytest.fixture(scope="module")
def patient_genie() -> Iterator[Asker]:
    """A server whose every answer has to be polled."""
    yield from started("--wait", "0")


@pytest.fixture(scope="session")
def truth() -> Iterator[Any]:
    """The seed's rows in a database that no code under test has touched."""
    # Imported here: held by a conftest, it would be reported as leaked when pytest exits.
    import duckdb

    connection = duckdb.connect(":memory:")
    connection.execute("ATTACH ':memory:' AS samples")
    connection.execute((BAKEHOUSE / "seed.sql").read_text("utf-8"))
    yield connection
    connection.close()


def query_of(reply: dict[str, Any]) -> dict[str, Any]:
    """The one query attachment of a completed reply."""
    assert reply["status"] == "COMPLETED", reply
    (query,) = reply["content"]["queryAttachments"] or [pytest.fail(str(reply["content"]))]
    return query


def rows_of(reply: dict[str, Any]) -> list[tuple[Any, ...]]:
    response = query_of(reply)["statement_response"]
    return [tuple(map(comparable, row)) for row in response["result"]["data_array"]]


def comparable(cell: Any) -> Any:
    """A cell as a number of two decimals where it is one, else as text."""
    try:
        return Decimal(str(cell)).quantize(Decimal("0.01"), ROUND_HALF_UP)
    except ArithmeticError:
        return None if cell is None else str(cell)
