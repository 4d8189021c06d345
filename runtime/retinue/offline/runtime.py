"""Agents → the runtime of them, or of their offline twins."""

from collections.abc import Iterable

from retinue.agent import Agent
from retinue.offline import MODELS as OFFLINE_MODELS
from retinue.offline import twin
from retinue.run.approvals import Approvals
from retinue.run.models import MODELS
from retinue.run.runtime import Runtime
from retinue.run.sessions import Sessions


def runtime_for(
    agents: Iterable[Agent],
    *,
    offline: bool,
    patience: float = 20.0,
    sessions: Sessions | None = None,
    approvals: Approvals | None = None,
) -> Runtime:
    """Not open yet. `patience` (seconds), `sessions` and `approvals` are as `Runtime` has them."""
    return Runtime(
        [twin(agent) for agent in agents] if offline else agents,
        models={**MODELS, **OFFLINE_MODELS},
        patience=patience,
        sessions=sessions,
        approvals=approvals,
    )
