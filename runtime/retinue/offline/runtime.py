"""Agents → the runtime of them, or of their offline twins."""

from collections.abc import Iterable

from retinue.agent import Agent
from retinue.offline import MODELS as OFFLINE_MODELS
from retinue.offline import twin
from retinue.run.models import MODELS
from retinue.run.runtime import Runtime


def runtime_for(agents: Iterable[Agent], *, offline: bool, patience: float = 20.0) -> Runtime:
    """Not open yet. `patience` is as `Runtime` has it, in seconds."""
    chosen = [twin(agent) for agent in agents] if offline else agents
    return Runtime(chosen, models={**MODELS, **OFFLINE_MODELS}, patience=patience)
