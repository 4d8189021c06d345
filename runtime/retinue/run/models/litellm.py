"""A `Deployment` → a `Model` through LiteLLM. The only importer of litellm."""

import asyncio
import importlib
import logging
import os
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from typing import Any, TypeVar

from retinue.agent import Deployment, JsonValue, Ref
from retinue.errors import MissingReferenceError, ModelError
from retinue.run.events import ModelEvent
from retinue.run.messages import Message
from retinue.run.models.answer import Answer
from retinue.run.models.faults import model_error
from retinue.run.ports import Lookup, ModelRequest, Tool, ToolChoice
from retinue.run.references import resolved
from retinue.run.workspace import Workspace

log = logging.getLogger(__name__)

T = TypeVar("T")

# Seconds.
_ABANDONED = 3600.0

# Settings that would change where a call goes, fake its answer or start litellm's own retries.
_NOT_SETTINGS = frozenset(
    {"base_url", "client", "custom_llm_provider", "fallbacks", "metadata", "mock_response", "n"}
)

# Empty where nothing is set: then the workspace is asked.
_OWN = {
    "api_base": Ref("env", "DATABRICKS_API_BASE", default=""),
    "api_key": Ref("env", "DATABRICKS_API_KEY", default=""),
}


def import_litellm() -> Any:
    """The module, made quiet and honest, without a request to anyone; seconds the first time."""
    # It would fetch its price map, and read a .env from wherever the process was started.
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    os.environ["LITELLM_MODE"] = "PRODUCTION"
    # Not at the top: it costs seconds, and only routes that need it should pay them.
    litellm: Any = importlib.import_module("litellm")
    litellm.telemetry = False
    litellm.suppress_debug_info = True
    # Where a provider sends no usage it would tokenise the whole conversation to invent one.
    litellm.disable_token_counter = True
    # Answers may repeat themselves; it would call 100 equal chunks an error.
    litellm.REPEATED_STREAMING_CHUNK_LIMIT = 10**9
    # Its log quotes what providers answer.
    for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    return litellm


class LiteLLMModel:
    """One deployment. What `api_base` and `api_key` refer to is looked up at each call."""

    def __init__(self, deployment: Deployment, lookup: Lookup) -> None:
        self._deployment = deployment
        self._lookup = lookup
        self._litellm: Any = None
        self._workspace: Workspace | None = None

    async def warm(self) -> None:
        """Import litellm in a thread, so that the first call needn't wait for it. Idempotent."""
        if self._litellm is None:
            self._litellm = await asyncio.to_thread(import_litellm)

    async def aclose(self) -> None:
        """Nothing to release: litellm keeps its connections for the whole process."""

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """As `retinue.run.ports.Model.stream`."""
        answer = Answer()
        async with aclosing(self._chunks(request)) as chunks:
            async for chunk in chunks:
                for event in answer.take(chunk):
                    yield event
        for event in answer.end():
            yield event

    async def _chunks(self, request: ModelRequest) -> AsyncGenerator[Any, None]:
        await self.warm()
        arguments = await self._told(self._arguments(request))
        upstream = await self._told(self._litellm.acompletion(**arguments))
        started = False
        try:
            while (chunk := await self._told(anext(upstream, None), started)) is not None:
                yield chunk
                started = True
            # It makes up a finish reason for a stream that has none: one that was cut off.
            if not (upstream.received_finish_reason or upstream.intermittent_finish_reason):
                raise ModelError(
                    "truncated", f"the answer of '{self._deployment.model}' was cut off"
                )
        finally:
            await upstream.aclose()

    async def _told(self, step: Awaitable[T], started: bool = False) -> T:
        """The step's result. Raises ModelError for whatever else happens."""
        model = self._deployment.model
        try:
            return await step
        except ModelError:
            raise
        except MissingReferenceError as missing:
            raise ModelError("auth", f"the model '{model}' can't be reached: {missing}") from None
        except Exception as error:  # noqa: BLE001 - litellm raises what its providers' clients do
            # Not chained: the provider's text, which may quote a key, ends here.
            status = getattr(error, "status_code", None)
            log.debug("'%s' failed: %s, status %s", model, type(error).__name__, status)
            raise self._fault(error, started=started) from None

    def _fault(self, error: Exception, *, started: bool) -> ModelError:
        missing = () if self._deployment.api_key or started else self._missing_variables()
        return model_error(error, self._deployment.model, started=started, missing=missing)

    def _missing_variables(self) -> tuple[str, ...]:
        """The environment variables that litellm would have read this route's key from."""
        found = self._litellm.validate_environment(model=self._deployment.model)
        return tuple(name for name in found["missing_keys"] if "KEY" in name or "TOKEN" in name)

    async def _arguments(self, request: ModelRequest) -> dict[str, Any]:
        given = request.settings.items()
        arguments: dict[str, Any] = {k: v for k, v in given if k not in _NOT_SETTINGS}
        arguments |= await self._address()
        arguments |= {
            "model": self._deployment.model,
            "messages": [_message(message) for message in request.messages],
            "stream": True,
            "stream_options": {"include_usage": True},
            # Deadlines are kept above; this one only stops a call that nobody waits for any more.
            "timeout": _ABANDONED,
            # A setting that the provider doesn't know is left out, so that routes share settings.
            "drop_params": True,
            # Retries are decided above, where the deadline and what was already sent are known.
            "num_retries": 0,
            "max_retries": 0,
        }
        if request.tools:
            arguments["tools"] = [_tool(tool) for tool in request.tools]
            arguments["tool_choice"] = _choice(request.tool_choice)
        return arguments

    async def _address(self) -> dict[str, str]:
        """`api_base` and `api_key`, where the route or the Databricks workspace gives them."""
        own = self._deployment
        given = {"api_base": own.api_base, "api_key": own.api_key}
        address = {k: resolved(text, self._lookup) for k, text in given.items() if text is not None}
        if own.provider == "databricks" and not address:
            return self._own_address() or await self._workspace_address()
        return address

    def _own_address(self) -> dict[str, str]:
        """What litellm's own variables for Databricks say; nothing without a key."""
        found = {name: self._lookup(ref) for name, ref in _OWN.items()}
        return {k: value for k, value in found.items() if value} if found["api_key"] else {}

    async def _workspace_address(self) -> dict[str, str]:
        # Left alone, litellm would look for credentials itself, and block the event loop.
        if self._workspace is None:
            self._workspace = await Workspace.find(self._lookup)
        headers = await self._workspace.headers()
        token = headers.get("Authorization", "").removeprefix("Bearer ")
        return {"api_base": f"{self._workspace.url}/serving-endpoints", "api_key": token}


def _choice(choice: ToolChoice) -> JsonValue:
    if isinstance(choice, str):
        return choice
    return {"type": "function", "function": {"name": choice.name}}


def _message(message: Message) -> dict[str, Any]:
    made: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        made["content"] = message.content or None
        made["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments or "{}"},
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        made["tool_call_id"] = message.tool_call_id
    if message.name is not None:
        made["name"] = message.name
    return made


def _tool(tool: Tool) -> dict[str, JsonValue]:
    function: dict[str, JsonValue] = {
        "name": tool.name,
        "description": tool.description,
        "parameters": dict(tool.parameters),
    }
    if tool.strict:
        function["strict"] = True
    return {"type": "function", "function": function}
