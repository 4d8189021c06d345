"""A bundle and a target → what a deployment would change for people, agent by agent."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from retinue.bundle import AppPlan, Bundle
from retinue.bundle.bundles import FOLDER
from retinue.bundle.changes import Change, changes
from retinue.bundle.manifest import FILE, in_parts
from retinue.bundle.plan import MAX_RESOURCES
from retinue.cli.deployed.grants import notes, statements
from retinue.cli.deployed.shared import Key, PlannedShared, Tree, made, planned_shared
from retinue.cli.deployed.state import Deployed, State
from retinue.cli.deployed.target import Target
from retinue.cli.deployed.traps import traps
from retinue.cli.deployed.wanted import Form, declared, there, wanted
from retinue.values import JsonValue

Status = Literal["new", "changed", "unchanged", "removed"]

# Nothing of a new app is worth a line that follows from another one.
_OF_COURSE = frozenset({"agent", "command", "env", "files", "runtime", "version"})

_NOTHING: tuple[JsonValue, ...] = (None, "", [], {})


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedApp:
    """What becomes of one agent's app. `notes` and `grants` are for whoever may grant."""

    agent: str
    app: str
    status: Status
    changes: tuple[Change, ...] = ()
    resources: int = 0
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    grants: tuple[str, ...] = ()

    @property
    def crowded(self) -> bool:
        """Whether the limit of an app's resources is near."""
        return self.resources > 0.8 * MAX_RESOURCES


@dataclass(frozen=True, slots=True)
class Planned:
    """Everything for one target. `workspace` is its address; None where there was no login."""

    target: str | None
    workspace: str | None
    apps: tuple[PlannedApp, ...]
    warnings: tuple[str, ...] = ()
    shared: tuple[PlannedShared, ...] = ()

    @property
    def changes(self) -> bool:
        """Whether a deployment would change anything."""
        found = {app.status for app in self.apps} | {one.status for one in self.shared}
        return bool(found - {"unchanged"})


@dataclass(frozen=True, slots=True)
class _Site:
    """Where a bundle goes: `bundled` are the agents that it has deployed there before, `made` is
    what it makes there beside their apps.
    """

    state: State | None
    made: Mapping[Key, Tree]
    user: str = ""
    root: str | None = None
    bundled: frozenset[str] | None = None


async def planned(
    bundle: Bundle, target: Target, state: State | None, warnings: Sequence[str] = ()
) -> Planned:
    """Compare with what `state` reads; without it everything is new.

    Raises DeployedError where the workspace refuses to tell.
    """
    shared = made(bundle, target)
    site = _Site(None, shared)
    deployed = None
    if state is not None:
        user = await state.user()
        root = target.root(user)
        deployed = await state.bundled(root)
        agents = None
        if deployed is not None:
            agents = frozenset(key for kind, key in deployed if kind == "apps")
        site = _Site(state, shared, user, root, agents)
    asked = (_planned(bundle, plan, target, site) for plan in bundle.plans)
    apps = [*await asyncio.gather(*asked)]
    if bundle.whole:
        gone = sorted((site.bundled or frozenset()) - {plan.agent for plan in bundle.plans})
        apps += [PlannedApp(agent=a, app=target.app_name(a), status="removed") for a in gone]
    url = state.workspace.url if state else None
    becoming = tuple(planned_shared(shared, target, deployed, whole=bundle.whole))
    return Planned(target.name, url, tuple(apps), tuple(warnings), becoming)


async def _planned(bundle: Bundle, plan: AppPlan, target: Target, site: _Site) -> PlannedApp:
    folder = f"{FOLDER}/{plan.agent}"
    manifest = json.loads(bundle.generated[f"{folder}/source/{FILE}"])
    app = declared(bundle.committed[f"{folder}/app.yml"], plan.agent, target, site.user)
    name = str(app.get("name"))
    deployed = await site.state.app(name) if site.state else None
    form = wanted(app)
    before = _before(plan.agent, form, deployed, site.user)
    differing = _told(changes(before, {**in_parts(manifest), "app": form}), new=deployed is None)
    principal = deployed.principal if deployed else None
    warnings = [*traps(plan.agent, app, target, deployed, site.bundled, site.root, site.made)]
    if deployed is not None and deployed.manifest is None:
        warnings.insert(0, _UNREAD)
    api = site.state.api if site.state else None
    return PlannedApp(
        agent=plan.agent,
        app=name,
        status="new" if deployed is None else "changed" if differing else "unchanged",
        changes=differing,
        resources=len(app.get("resources") or ()),
        warnings=tuple(warnings),
        notes=tuple(notes(plan, principal)),
        grants=tuple(await statements(manifest, target, principal, api)),
    )


_UNREAD = (
    "what was deployed can't be read: it has no agent.json, or you may not see its files. Its "
    "agent is shown as new"
)


def _before(agent: str, form: Form, deployed: Deployed | None, user: str) -> dict[str, JsonValue]:
    """What is there; nothing of an app that is new."""
    known = (deployed and deployed.manifest) or {"agents": {agent: {}}}
    app = there(deployed, form, user) if deployed else {"resources": {}, "grants": {}}
    return {"env": {}, **in_parts(known), "app": app}


def _told(found: Sequence[Change], *, new: bool) -> tuple[Change, ...]:
    """Without what follows from the rest."""
    said = [change for change in found if change.before or change.after not in _NOTHING]
    if new:
        return tuple(change for change in said if change.path[0] not in _OF_COURSE)
    return tuple(change for change in said if change.path != ("files",)) or tuple(said)
