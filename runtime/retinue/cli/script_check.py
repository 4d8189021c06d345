"""Agents → whether this machine can confine the scripts of their skills."""

from collections.abc import Sequence

from retinue.agent import Agent
from retinue.cli.examination import Check
from retinue.errors import ToolError
from retinue.run.sandbox.plan import LAYERS
from retinue.run.sandbox.process import missing_layers
from retinue.run.skill_scripts import may_run


async def scripts(agents: Sequence[Agent]) -> list[Check]:
    """The layers of the sandbox; nothing where no skill's scripts may be run."""
    able = [skill for agent in agents for skill in agent.skills if may_run(skill)]
    if not able:
        return []
    try:
        missing = await missing_layers()
    except ToolError as error:
        return [Check("scripts", "sandbox", "failed", str(error))]
    there = ", ".join(layer for layer in LAYERS if layer not in missing)
    if not missing:
        return [Check("scripts", "sandbox", "ok", f"it has all layers: {there}")]
    listed = ", ".join(f"{layer} ({why})" for layer, why in missing.items())
    detail = f"it has {there}, and lacks {listed}"
    more = {"missing": dict(missing)}
    if any(skill.strict for skill in able):
        return [Check("scripts", "sandbox", "failed", f"{detail}; strict skills run none", more)]
    return [Check("scripts", "sandbox", "warning", detail, more)]
