"""A run that is to be answered → the same, its answer telling of its trace if the caller asks."""

from collections.abc import Callable
from dataclasses import replace

from starlette.types import Scope

from retinue.serve.access import record_of
from retinue.serve.exchange import Settle, Streamed, Whole, header
from retinue.serve.wire.invocations_chat import AgentChatStream
from retinue.serve.wire.trace import HEADER, TracedAnswer, TracedChunks, TracedStream, wanted


def traced(asked: Streamed | Whole, scope: Scope, *, databricks: bool = False) -> Streamed | Whole:
    """Whether the body asks for it, as Databricks' clients do, is `databricks`; MLflow's do by a
    header.
    """
    if not databricks and not wanted(header(scope, HEADER)):
        return asked
    record = record_of(scope)
    if isinstance(asked, Streamed) and isinstance(asked.wire, AgentChatStream):
        chunks = TracedChunks(asked.wire, lambda: record.trace_id, databricks=databricks)
        return replace(asked, wire=chunks)
    if isinstance(asked, Streamed):
        stream = TracedStream(asked.wire, lambda: record.trace_id)
        return replace(asked, wire=stream, settle=_then(asked.settle, stream.with_id))
    answer = TracedAnswer(asked.wire, lambda: record.trace_id, databricks=databricks)
    return replace(asked, wire=answer, settle=_then(asked.settle, answer.with_id))


def _then(settle: Settle | None, told: Callable[[bytes], bytes]) -> Settle | None:
    if settle is None:
        return None
    settled = settle

    async def both() -> bytes:
        return told(await settled())

    return both
