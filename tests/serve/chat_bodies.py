"""Bodies of chat requests, and pieces of them."""

import json

PIXEL = "data:image/png;base64,iVBORw0KGgo="
PDF = "data:application/pdf;base64,JVBERi0="
USER = {"role": "user", "content": "hi"}
EMPTY = {"type": "object", "properties": {}}
FUNCTION = {"type": "function", "function": {"name": "add"}}
CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}


def body(**fields) -> bytes:
    return json.dumps({"messages": [USER], **fields}).encode()


def said(*parts, role: str = "user") -> dict:
    return {"role": role, "content": [*parts]}
