"""A run that is to be answered → the same, its answer telling of its trace if the caller asks."""

from dataclasses import replace

from starlette.types import Scope

from retinue.serve.access import record_of
from retinue.serve.exchange import Streamed, Whole, header
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
        return replace(asked, wire=TracedStream(asked.wire, lambda: record.trace_id))
    answer = TracedAnswer(asked.wire, lambda: record.trace_id, databricks=databricks)
    return replace(asked, wire=answer)
