"""A deployment, a tool server or an agent elsewhere → every reference in it."""

from collections.abc import Iterator
from itertools import chain

from retinue.agent import Databricks, Http, RemoteAgent, Stdio, ToolServer
from retinue.route import Deployment
from retinue.values import Ref, Template, Text


def references(holder: Deployment | ToolServer | RemoteAgent) -> list[Ref]:
    """Each once, in the order of the keys."""
    texts = _of_model(holder) if isinstance(holder, Deployment) else _reached(holder.transport)
    if isinstance(holder, RemoteAgent):
        texts = chain(texts, [holder.api_key])
    found = (part for text in texts if isinstance(text, Template) for part in text.parts)
    return list(dict.fromkeys(part for part in found if isinstance(part, Ref)))


def _of_model(deployment: Deployment) -> Iterator[Text | None]:
    yield from (deployment.api_base, deployment.api_key, deployment.region)
    yield from (value for _, value in deployment.headers)


def _reached(transport: Http | Stdio | Databricks) -> Iterator[Text | None]:
    if isinstance(transport, Stdio):
        yield from transport.args
        yield from (value for _, value in transport.env)
    elif isinstance(transport, Http):
        yield transport.url
        yield from (value for _, value in transport.headers)
    else:
        yield transport.target
