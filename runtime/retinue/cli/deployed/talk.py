"""A conversation → events of a deployed agent's answer, by the client that asks models."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import aiohttp
import orjson

from retinue.cli.deployed.app import DeployedApp, DeployedError
from retinue.cli.deployed.told import told, unreachable
from retinue.errors import UsageError
from retinue.route import Deployment
from retinue.run.events import Event, ModelFinished, RunFinished, TextDelta
from retinue.run.messages import Message
from retinue.run.models.direct import DirectModel
from retinue.run.ports import ModelRequest
from retinue.run.references import environment
from retinue.run.workspace import Workspace
from retinue.values import Ref, Template

_TOKEN = Ref("env", "DATABRICKS_TOKEN")
_TIMEOUT = aiohttp.ClientTimeout(total=60, connect=10)
_LONGEST_LIST = 2**20


class Talk:
    """One agent of an app; `agent` is by default the one that the app serves first."""

    def __init__(self, app: DeployedApp, agent: str) -> None:
        self.agent = agent
        self._token = ""
        deployment = Deployment(
            model=f"openai/{agent}", api_base=f"{app.url}/api/v1", api_key=Template((_TOKEN,))
        )
        self._model = DirectModel(deployment, lambda ref: self._token if ref == _TOKEN else "")

    @classmethod
    async def open(cls, app: DeployedApp, agent: str | None) -> "Talk":
        """Ask the app whom it serves.

        Raises DeployedError where another than the app answers, UsageError for a wrong name.
        """
        names = await served(app)
        if agent is not None and agent not in names:
            raise UsageError(f"the app '{app.name}' doesn't serve '{agent}': {', '.join(names)}")
        return cls(app, agent or names[0])

    async def run(self, conversation: Sequence[Message]) -> AsyncGenerator[Event, None]:
        """As `Runtime.run`: text, and RunFinished at the end. Raises ModelError."""
        signed = await (await Workspace.find(environment())).headers()
        self._token = signed["Authorization"].removeprefix("Bearer ")
        said: list[str] = []
        async with aclosing(
            self._model.stream(ModelRequest(messages=tuple(conversation)))
        ) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    said.append(event.text)
                    yield event
                elif isinstance(event, ModelFinished):
                    answer = Message("assistant", "".join(said))
                    yield RunFinished(event.reason, event.usage, 1, (answer,))

    async def aclose(self) -> None:
        """Close its connections."""
        await self._model.aclose()


async def served(app: DeployedApp) -> tuple[str, ...]:
    """The agents that an app serves. Raises DeployedError where another than the app answers."""
    signed = await (await Workspace.find(environment())).headers()
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT, trust_env=True) as session,
            session.get(
                f"{app.url}/api/v1/models", headers=signed, allow_redirects=False
            ) as answer,
        ):
            body = await answer.content.read(_LONGEST_LIST)
            problem = told(answer.status, answer.content_type, body, app.name)
            names = () if problem else tuple(str(one["id"]) for one in orjson.loads(body)["data"])
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError, TypeError):
        problem, names = unreachable(app.name), ()
    if problem or not names:
        why = problem or unreachable(app.name)
        raise DeployedError(why.message, passing=why.status >= 500)
    return names
