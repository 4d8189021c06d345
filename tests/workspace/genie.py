"""Genie's REST API: a conversation whose answer has to be polled for.

Shapes: https://docs.databricks.com/api/workspace/genie
"""

from typing import Any

from aiohttp import web

from workspace.fake import Caller, RefusedError, Workspace, fields
from workspace.space_rules import broken_rules


class Genie:
    """Spaces by id, each with the rows that every question gets. The first poll is too early."""

    def __init__(self, workspace: Workspace, **spaces: list[list[str]]) -> None:
        self.spaces = spaces
        self.serialized: dict[str, str] = {}
        self._messages: dict[str, dict[str, Any]] = {}
        api = r"/api/2\.0/genie/spaces"
        message = f"{api}/[^/]+/conversations/[^/]+/messages"
        workspace.on("GET", api, self._list)
        workspace.on("POST", api, self._create)
        workspace.on("GET", f"{api}/[^/]+", self._get)
        workspace.on("POST", f"{api}/[^/]+/start-conversation", self._start)
        workspace.on("POST", message, self._start)
        workspace.on("GET", f"{message}/[^/]+", self._poll)
        workspace.on("GET", f"{message}/[^/]+/attachments/[^/]+/query-result", self._result)

    def _space(self, request: web.Request) -> str:
        space = request.path.split("/")[5]
        if space not in self.spaces:
            raise RefusedError(404, "RESOURCE_DOES_NOT_EXIST", "no such Genie space")
        return space

    async def _list(self, _request: web.Request, _caller: Caller) -> web.Response:
        return web.json_response({"spaces": [{"space_id": s, "title": s} for s in self.spaces]})

    async def _create(self, request: web.Request, _caller: Caller) -> web.Response:
        needed = {"title": str, "warehouse_id": str, "serialized_space": str}
        body = await fields(request, needed, description=str, parent_path=str)
        if broken := broken_rules(body["serialized_space"]):
            raise RefusedError(400, "INVALID_PARAMETER_VALUE", broken[0])
        space = f"01ef{len(self.spaces) + 1:028x}"
        self.spaces[space] = []
        self.serialized[space] = body["serialized_space"]
        return web.json_response({"space_id": space, "title": body["title"]})

    async def _get(self, request: web.Request, _caller: Caller) -> web.Response:
        space = self._space(request)
        told = {"space_id": space, "title": space, "warehouse_id": "w1"}
        if request.query.get("include_serialized_space") == "true":
            told["serialized_space"] = self.serialized[space]
        return web.json_response(told)

    async def _start(self, request: web.Request, _caller: Caller) -> web.Response:
        space = self._space(request)
        content = (await fields(request, {"content": str}))["content"]
        number = f"m{len(self._messages) + 1}"
        found = request.path.split("/")
        conversation = found[7] if len(found) > 7 else f"c-{number}"
        message = {
            "id": number, "message_id": number, "conversation_id": conversation,
            "space_id": space, "content": content, "status": "SUBMITTED",
        }  # fmt: skip
        self._messages[number] = message
        if len(found) > 7:
            return web.json_response(message)
        ids = {"conversation_id": conversation, "message_id": number}
        return web.json_response({**ids, "conversation": {"id": conversation}, "message": message})

    async def _poll(self, request: web.Request, _caller: Caller) -> web.Response:
        self._space(request)
        message = self._messages.get(request.path.split("/")[9])
        if message is None or message["conversation_id"] != request.path.split("/")[7]:
            raise RefusedError(404, "RESOURCE_DOES_NOT_EXIST", "no such message")
        if message["status"] == "SUBMITTED":
            message["status"] = "EXECUTING_QUERY"
        else:
            message["status"] = "COMPLETED"
            query = {"query": "SELECT 1", "statement_id": "s1"}
            message["attachments"] = [{"attachment_id": "a1", "query": query}]
        return web.json_response(message)

    async def _result(self, request: web.Request, _caller: Caller) -> web.Response:
        rows = self.spaces[self._space(request)]
        columns = [{"name": f"c{n}", "type_name": "STRING"} for n in range(len(rows[0]))]
        statement = {
            "status": {"state": "SUCCEEDED"},
            "manifest": {"schema": {"columns": columns}},
            "result": {"data_array": rows},
        }
        return web.json_response({"statement_response": statement})
