"""A `Deployment` → a `Model` through LiteLLM. The only importer of litellm."""

import asyncio
import importlib
import logging
import os
import re
from collections.abc import AsyncGenerator, Awaitable, Mapping
from contextlib import aclosing, suppress
from typing import Any, TypeVar
from urllib.parse import urlsplit

from retinue.errors import MissingReferenceError, ModelError
from retinue.route import Deployment
from retinue.run.events import ModelEvent
from retinue.run.models.answer import Answer
from retinue.run.models.direct.answered import Source, answered
from retinue.run.models.direct.providers import PROVIDERS
from retinue.run.models.faults import model_error
from retinue.run.models.left_out import ASIDES, LeftOut
from retinue.run.models.litellm_request import Dialect, arguments
from retinue.run.models.wire import Body, Wire
from retinue.run.ports import Lookup, ModelRequest
from retinue.run.references import resolved
from retinue.run.workspace import Workspace
from retinue.values import Ref

log = logging.getLogger(__name__)

T = TypeVar("T")

# Seconds.
_ABANDONED = 3600.0

# The providers that take an HTTP client of ours; the others bring OpenAI's.
_TAKE_CLIENT = frozenset(
    {"anthropic", "bedrock", "databricks", "gemini", "ollama", "ollama_chat", "vertex_ai"}
)

# Arguments that LiteLLM's refusals speak of without meaning the request's.
_STRUCTURE = frozenset({"drop_params", "messages", "model", "stream", "timeout"})
_LISTED = re.compile(r"support parameters: \[(.*?)\]")
_WORD = re.compile(r"\w+")

# LiteLLM's own variables for Databricks; empty where nothing is set: then the workspace is asked.
_OWN_BASE = Ref("env", "DATABRICKS_API_BASE", default="")
_OWN_KEY = Ref("env", "DATABRICKS_API_KEY", default="")


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
    # It would send the app's own secret to wherever a Databricks route points, at every call, and
    # then use the key that the route has.
    databricks = importlib.import_module("litellm.llms.databricks.common_utils")
    databricks.DatabricksBase._get_oauth_m2m_token = _no_token  # noqa: SLF001
    # OpenAI's library would follow redirects, and show nobody what comes in.
    client = importlib.import_module("retinue.run.models.litellm_client")
    litellm.aclient_session = litellm.aclient_session or client.open_session()
    # Its log quotes what providers answer.
    for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    return litellm


def _no_token(*_: Any) -> str:
    return ""


_IMPORTS: dict[asyncio.AbstractEventLoop, asyncio.Task[Any]] = {}


async def _imported() -> Any:
    """`import_litellm` in one thread for all who wait: the others are there to find addresses."""
    loop = asyncio.get_running_loop()
    task = _IMPORTS.get(loop)
    if task is None:
        task = _IMPORTS[loop] = loop.create_task(asyncio.to_thread(import_litellm))
        task.add_done_callback(lambda _: _IMPORTS.pop(loop, None))
    return await asyncio.shield(task)


class LiteLLMModel:
    """One deployment. What its address and key refer to is looked up at each call.

    A setting of the route's that the provider doesn't take is left out, and the log says so once;
    a caller's is an error that names it.
    """

    def __init__(self, deployment: Deployment, lookup: Lookup) -> None:
        self._deployment = deployment
        self._lookup = lookup
        self._litellm: Any = None
        self._client: Any = None
        self._dialect = Dialect.of(deployment.model, {})
        self._workspace: Workspace | None = None
        self._left_out = LeftOut(deployment.model)

    async def warm(self) -> None:
        """Import litellm in a thread, so that the first call needn't wait for it. Idempotent."""
        if self._litellm is None:
            self._litellm = await _imported()
            self._dialect = Dialect.of(self._deployment.model, self._known())

    def _known(self) -> Mapping[str, Any]:
        """What LiteLLM's list says of the model; nothing of one that isn't on it."""
        with suppress(Exception):
            found: Mapping[str, Any] = self._litellm.get_model_info(self._deployment.model)
            return found
        return {}

    async def aclose(self) -> None:
        """Close the connections of our own; LiteLLM keeps others for the whole process."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """As `retinue.run.ports.Model.stream`."""
        await self.warm()
        wire = Wire()
        try:
            upstream = await self._told(self._asked(request, wire), wire)
            async with aclosing(self._events(request, upstream, wire)) as events:
                async for event in events:
                    yield event
        finally:
            await wire.hang_up()

    def _events(
        self, request: ModelRequest, upstream: Any, wire: Wire
    ) -> AsyncGenerator[ModelEvent, None]:
        """An answer on OpenAI's wire is read here: LiteLLM passes over what it can't read in it."""
        if self._dialect.provider not in PROVIDERS or not wire.has_chat_completion:
            return self._translated(upstream, wire)

        async def ask(_: ModelRequest) -> Source:
            return Body(wire.response, lambda step, started: self._told(step, wire, started))

        return answered(ask, request, self._deployment.model)

    async def _translated(self, upstream: Any, wire: Wire) -> AsyncGenerator[ModelEvent, None]:
        answer = Answer()
        async with aclosing(self._chunks(upstream, wire)) as chunks:
            async for chunk in chunks:
                for event in answer.take(chunk):
                    yield event
        for event in answer.end():
            yield event

    async def _chunks(self, upstream: Any, wire: Wire) -> AsyncGenerator[Any, None]:
        started = False
        try:
            while (chunk := await self._told(anext(upstream, None), wire, started)) is not None:
                if wire.overran:
                    _end_by_length(chunk)
                yield chunk
                started = True
            # It makes up a finish reason for a stream that has none: one that was cut off.
            finished = upstream.received_finish_reason or upstream.intermittent_finish_reason
            model = self._deployment.model
            if not finished or wire.was_cut:
                raise ModelError("truncated", f"the answer of '{model}' was cut off")
            if wire.is_malformed:
                raise ModelError("truncated", f"'{model}' wrote what its provider can't read")
        finally:
            await upstream.aclose()

    async def _asked(self, request: ModelRequest, wire: Wire) -> Any:
        """LiteLLM's stream, with its request sent. Refused settings of the route are left out."""
        while True:
            arguments = await self._arguments(request)
            wire.watch()
            try:
                return await self._litellm.acompletion(**arguments)
            except self._litellm.UnsupportedParamsError as refusal:
                refused = _named(str(refusal), arguments)
            self._left_out.note(refused, request.optional)

    async def _told(self, step: Awaitable[T], wire: Wire, started: bool = False) -> T:
        """The step's result. Raises ModelError for whatever else happens."""
        model = self._deployment.model
        try:
            return await step
        except ModelError:
            raise
        except MissingReferenceError as missing:
            raise ModelError("auth", f"the model '{model}' can't be reached: {missing}") from None
        except Exception as error:  # noqa: BLE001 - litellm raises what its providers' clients do
            if wire.fault is not None:
                raise wire.fault from None
            # Not chained: the provider's text, which may quote a key, ends here.
            status = getattr(error, "status_code", None)
            log.debug("'%s' failed: %s, status %s", model, type(error).__name__, status)
            raise self._fault(error, wire, started=started) from None

    def _fault(self, error: Exception, wire: Wire, *, started: bool) -> ModelError:
        refusal = wire.refusal(self._deployment.model)
        # LiteLLM knows more kinds of refusals, but not these.
        if refusal and (refusal.permanent or wire.redirected):
            return refusal
        missing = () if self._deployment.api_key or started else self._missing_variables()
        return model_error(error, self._deployment.model, started=started, missing=missing)

    def _missing_variables(self) -> tuple[str, ...]:
        """The environment variables that litellm would have read this route's key from."""
        found = self._litellm.validate_environment(model=self._deployment.model)
        return tuple(name for name in found["missing_keys"] if "KEY" in name or "TOKEN" in name)

    async def _arguments(self, request: ModelRequest) -> dict[str, Any]:
        made = arguments(request, self._dialect)
        for name in self._left_out.names & (request.optional | ASIDES):
            made.pop(name, None)
        made |= await self._place(request.user_token)
        made |= {
            "model": self._deployment.model,
            "stream": True,
            "stream_options": {"include_usage": True},
            # Deadlines are kept above; this one only stops a call that nobody waits for any more.
            "timeout": _ABANDONED,
            # It would leave out in silence what a provider doesn't take.
            "drop_params": False,
            # Retries are decided above, where the deadline and what was already sent are known.
            "num_retries": 0,
            "max_retries": 0,
        }
        if self._dialect.provider in _TAKE_CLIENT:
            if self._client is None:
                client = importlib.import_module("retinue.run.models.litellm_client")
                self._client = client.open_client()
            made["client"] = self._client
        return made

    async def _place(self, user_token: str | None) -> dict[str, Any]:
        """Where the call goes and with what key: `api_base`, `api_key`, region and headers."""
        own = self._deployment
        given = {"api_base": own.api_base, "api_key": own.api_key}
        if own.region is not None:
            if self._dialect.region is None:
                raise ModelError("not_supported", f"'{own.model}' has no regions to choose from")
            given[self._dialect.region] = own.region
        found: dict[str, Any] = {
            k: resolved(text, self._lookup) for k, text in given.items() if text is not None
        }
        if own.provider == "databricks" and (own.auth == "user" or "api_key" not in found):
            found |= await self._workspace_place(found.get("api_base"), user_token)
        if own.headers:
            found["extra_headers"] = {k: resolved(v, self._lookup) for k, v in own.headers}
        return found

    async def _workspace_place(self, base: str | None, user_token: str | None) -> dict[str, str]:
        """A Databricks address and a token for it, which goes to no host but the workspace's."""
        # Left alone, litellm would look for credentials itself, and block the event loop.
        by_user = self._deployment.auth == "user"
        if by_user and user_token is None:
            model = self._deployment.model
            raise ModelError("auth", f"'{model}' is asked as the caller, whose token is missing")
        key, own_base = self._lookup(_OWN_KEY), self._lookup(_OWN_BASE)
        if key and not by_user:
            return {"api_key": key} | ({"api_base": base or own_base} if base or own_base else {})
        if self._workspace is None:
            self._workspace = await Workspace.find(self._lookup)
        host = self._workspace.url
        if base is not None and urlsplit(base)[:2] != urlsplit(host)[:2]:
            raise MissingReferenceError(
                "its address is not the workspace's that is logged in to: give it an api_key"
            )
        token = user_token
        if not by_user:
            headers = await self._workspace.headers()
            token = headers.get("Authorization", "").removeprefix("Bearer ")
        return {"api_base": base or f"{host}/serving-endpoints", "api_key": token or ""}


def _end_by_length(chunk: Any) -> None:
    for choice in chunk.choices or ():
        if choice.finish_reason:
            choice.finish_reason = "length"


def _named(refusal: str, arguments: Mapping[str, Any]) -> frozenset[str]:
    """Which of the arguments LiteLLM's refusal names: `parameters: ['a', 'b']`, or words."""
    listed = _LISTED.search(refusal)
    words = _WORD.findall(listed.group(1) if listed else refusal)
    return frozenset(words) & arguments.keys() - _STRUCTURE
