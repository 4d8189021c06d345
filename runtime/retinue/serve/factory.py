"""A project's folder → the ASGI app that serves its agents."""

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from fastapi import FastAPI

from retinue.agent import Agent
from retinue.compile import CompileContext, compile_agents
from retinue.errors import ProjectError
from retinue.offline.runtime import runtime_for
from retinue.project import Project
from retinue.route import Route
from retinue.run.references import environment, resolved
from retinue.serve.admission import Access, behind_databricks
from retinue.serve.app import app_for
from retinue.serve.control import Control
from retinue.serve.counters import counters_for
from retinue.serve.options import ServeOptions
from retinue.serve.request_log import LogSettings, log_settings
from retinue.store.address import Address, store_address
from retinue.values import JsonValue

PATIENCE = 5.0
"""Seconds that the start waits for tool servers; slower ones join when they are ready."""


def create_app(
    project: Project | str | Path = ".",
    agents: str | Sequence[str] | None = None,
    *,
    offline: bool = False,
    variables: Mapping[str, str] | None = None,
    target: str | None = None,
    model: str | None = None,
    settings: Mapping[str, JsonValue] | None = None,
    store: str | None = None,
    options: ServeOptions | None = None,
    control: Control | None = None,
) -> FastAPI:
    """The app that serves the named agents of a project, or all of them; the first is the default.

    `offline` replaces every model and every Databricks server by its twin. `variables` and
    `target` are those of the bundle. `model` is one of retinue.yaml's, or a LiteLLM id, in place of
    the agents' own, and `settings` are OpenAI request parameters over theirs. `store` is a
    database's URL or `off`, in place of what retinue.yaml says. `options` and `control` are as
    `app_for` has them. Raises CompileError, ProjectError, AccessError, StoreError and
    CountersError.
    """
    names = [agents] if isinstance(agents, str) else list(agents or ())
    place = project if isinstance(project, Project) else Project.at(project)
    context = CompileContext(env=os.environ, variables=dict(variables or {}), target=target)
    compilation = compile_agents(place, names or None, context)
    compiled = compilation.checked()
    if not compiled:
        raise ProjectError("there are no agents: write agents/NAME.yaml")
    return app_of(
        compiled,
        offline=offline,
        model=model and compilation.routes.get(model, model),
        settings=settings or {},
        store=agents_store(compiled, place, store),
        log=log_settings(compiled, place.root),
        options=options,
        control=control,
    )


def agents_store(
    agents: Iterable[Agent], project: Project, given: str | None = None
) -> Address | None:
    """Where the state of a project's agents is kept; `given` is a URL or `off` over its files.

    Raises StoreError, and MissingReferenceError.
    """
    # It is retinue.yaml's, so all of them have the same.
    store = next((agent.store for agent in agents), None)
    return store_address(
        store,
        project.root,
        given=given,
        app=os.environ["DATABRICKS_APP_NAME"] if behind_databricks(os.environ) else None,
        text=partial(resolved, lookup=environment()),
    )


def app_of(
    agents: Iterable[Agent],
    *,
    offline: bool,
    model: str | Route | None,
    settings: Mapping[str, JsonValue],
    store: Address | None,
    log: LogSettings | None,
    options: ServeOptions | None = None,
    control: Control | None = None,
) -> FastAPI:
    """As `create_app`, for agents that are compiled already."""
    chosen = [agent.with_model(model, settings) for agent in agents]
    access = Access(chosen, os.environ, stored=store is not None)
    options = options or ServeOptions()
    if options.reach == "public":
        access.refuse_open()
    runtime = runtime_for(
        chosen,
        offline=offline,
        patience=PATIENCE,
        sessions=control.sessions if control else None,
        approvals=control.approvals if control else None,
    )
    return app_for(
        runtime,
        access=access,
        store=store,
        log=log,
        control=control,
        options=options,
        counters=counters_for(os.environ, store),
    )
