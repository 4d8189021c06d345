"""Words that several verbs share → what they name: a project, compiled agents."""

import os
from enum import StrEnum
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from dotenv import dotenv_values
from dotenv.parser import parse_stream

from retinue.errors import ProjectError
from retinue.project import Project
from retinue.values import JsonValue

if TYPE_CHECKING:
    from retinue.agent import Agent
    from retinue.compile import Compilation


class Output(StrEnum):
    """How a verb prints what it found."""

    TEXT = "text"
    JSON = "json"


ProjectOption = Annotated[
    Path | None,
    typer.Option(
        "-C", "--project", metavar="DIR", help="The project's folder (default: the nearest above)."
    ),
]
MetadataOption = Annotated[
    list[str] | None,
    typer.Option("--metadata", metavar="NAME=VALUE", help="For prompt variables; repeatable."),
]
AgentArgument = Annotated[str, typer.Argument(metavar="AGENT", help="An agent's name.")]
AgentsArgument = Annotated[
    list[str] | None, typer.Argument(metavar="AGENT", help="Agents' names (default: all).")
]
OutputOption = Annotated[Output, typer.Option("-o", "--output", help="How to print.")]
OfflineOption = Annotated[
    bool,
    typer.Option(
        "--offline", help="No account: a stand-in model, and twins of Databricks servers."
    ),
]
VariableOption = Annotated[
    list[str] | None,
    typer.Option("--var", metavar="NAME=VALUE", help="A bundle variable's value; repeatable."),
]
TargetOption = Annotated[
    str | None, typer.Option("--target", metavar="NAME", help="A target of databricks.yml.")
]
DeployTargetOption = Annotated[
    str | None,
    typer.Option("-t", "--target", metavar="NAME", help="A target of databricks.yml."),
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="ID",
        help="A model of retinue.yaml, or a LiteLLM id, in place of the agent's.",
    ),
]
TemperatureOption = Annotated[
    float | None, typer.Option("-t", "--temperature", min=0, max=2, help="Sampling temperature.")
]
ProfileOption = Annotated[
    str | None, typer.Option("--profile", metavar="NAME", help="The Databricks profile.")
]
UrlOption = Annotated[
    str | None, typer.Option("--url", metavar="URL", help="The address of a deployed agent's app.")
]
MaxTokensOption = Annotated[
    int | None, typer.Option("-m", "--max-tokens", min=1, help="Longest answer, in tokens.")
]


# Reading takes time by the square of the length.
_MAX_DOTENV = 64_000


def choose_project(ctx: typer.Context, folder: Path | None) -> None:
    """Remember the folder that `-C` before the verb names."""
    ctx.obj = folder


def open_project(ctx: typer.Context, folder: Path | None) -> Project:
    """The project that `-C`, before or after the verb, or the working directory names.

    Its `.env` is added to the environment, where it never replaces what is set.
    """
    chosen = folder or ctx.obj
    project = Project.at(chosen) if chosen else Project.find()
    if project.dotenv.is_file():
        for name, value in _dotenv(project.dotenv).items():
            os.environ.setdefault(name, value)
    return project


def _dotenv(path: Path) -> dict[str, str]:
    """What a `.env` sets. Raises ProjectError for a line that sets nothing."""
    if path.stat().st_size > _MAX_DOTENV:
        raise ProjectError(f".env is too large: at most {_MAX_DOTENV:,} bytes are read")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ProjectError(".env is not UTF-8: save it as UTF-8") from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise ProjectError(f".env:{line}: a NUL character is not allowed")
    for binding in parse_stream(StringIO(text)):
        if binding.error:
            line = binding.original.line
            raise ProjectError(f".env:{line}: this is not NAME=VALUE; quote values with spaces")
    found = dotenv_values(stream=StringIO(text))
    return {name: value for name, value in found.items() if value is not None}


def compile_project(
    project: Project,
    names: list[str] | None,
    variables: list[str] | None = None,
    target: str | None = None,
    *,
    deploying: bool = False,
    origins: bool = False,
) -> "Compilation":
    """Compile the named agents, or all, with this process's environment."""
    # Off the start-up path, here and below: `retinue --help` compiles nothing.
    from retinue.compile import CompileContext, compile_agents  # noqa: PLC0415

    context = CompileContext(
        env=os.environ,
        variables=named_values(variables),
        target=target,
        deploying=deploying,
        origins=origins,
    )
    return compile_agents(project, names or None, context)


def checked(compilation: "Compilation") -> "tuple[Agent, ...]":
    """The agents, with warnings told. Raises CompileError, and ProjectError when there are none."""
    from retinue.cli.findings import tell  # noqa: PLC0415 - as above

    agents = compilation.checked()
    tell(compilation.diagnostics)
    if not agents:
        raise ProjectError("there are no agents: write agents/NAME.yaml")
    return agents


def choose_profile(profile: str) -> None:
    """Let the profile alone say which workspace, and as whom: the SDK puts variables over it."""
    for name in ("HOST", "TOKEN", "CLIENT_ID", "CLIENT_SECRET", "AUTH_TYPE"):
        os.environ.pop(f"DATABRICKS_{name}", None)
    os.environ["DATABRICKS_CONFIG_PROFILE"] = profile


def model_settings(temperature: float | None, max_tokens: int | None) -> dict[str, JsonValue]:
    """What `-t` and `-m` say, as OpenAI request parameters."""
    given: dict[str, JsonValue] = {"temperature": temperature, "max_tokens": max_tokens}
    return {name: value for name, value in given.items() if value is not None}


def named_values(words: list[str] | None, option: str = "--var") -> dict[str, str]:
    """`NAME=VALUE` words as a mapping. Raises typer.BadParameter, which names the option."""
    pairs = {}
    for word in words or ():
        name, equals, value = word.partition("=")
        if not (name and equals):
            raise typer.BadParameter(f"'{word}' is not NAME=VALUE", param_hint=option)
        pairs[name] = value
    return pairs
