"""Text → Agent: YAML files become frozen agents, or a list of everything that is wrong in them."""

from retinue.compile.interpolate import CompileContext
from retinue.compile.origins import Origin
from retinue.compile.resolve import Compilation, compile_agents
from retinue.compile.schema import agent_schema, project_schema

__all__ = [
    "Compilation",
    "CompileContext",
    "Origin",
    "agent_schema",
    "compile_agents",
    "project_schema",
]
