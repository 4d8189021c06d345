"""Which workspace a target is in, and whose login a verb uses there."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from retinue.cli.deployed.target import read_target
from retinue.diagnostics import CompileError
from retinue.errors import UsageError
from retinue.project import Project
from workspace.deploying import Cloud, cloud

BUNDLE = """
bundle: {{name: tried}}
variables: {{app_suffix: {{default: ""}}}}
targets:
  dev: {{default: true, variables: {{app_suffix: -dev}}}}
  prod: {{workspace: {{{workspace}}}}}
"""
PROFILE = "[{name}]\nhost = {host}/\ntoken = {token}\n"


@asynccontextmanager
async def at_target(project, workspace: str = "host: {url}") -> AsyncIterator[Cloud]:
    """A workspace that the target `prod` names."""
    async with cloud() as made:
        given = workspace.format(url=made.url)
        (project / "databricks.yml").write_text(BUNDLE.format(workspace=given))
        yield made


def profiles(project, made: Cloud, *names: str) -> None:
    token = made.workspace.sign_in("ana@example.com")
    text = "".join(PROFILE.format(name=name, host=made.url, token=token) for name in names)
    (project / ".databrickscfg").write_text(
        text + PROFILE.format(name="DEFAULT", host="https://elsewhere.example", token="another")
    )


async def asked(retinue, *words: str, **env: str) -> str:
    """What `retinue proxy` says of an app that isn't there, in the workspace that it asked."""
    done = await asyncio.to_thread(retinue, "proxy", "--port", "0", *words, "helper", **env)
    assert done.returncode in (1, 2)
    return done.stderr


@pytest.mark.parametrize("workspace", ["host: {url}", "profile: there", "host: {url}/"])
async def test_the_target_s_own_workspace_is_asked(project, retinue, workspace):
    async with at_target(project, workspace) as made:
        profiles(project, made, "there")
        assert f"there is no app 'helper' in {made.url}:" in await asked(retinue, "-t", "prod")


async def test_an_option_goes_over_the_target_s_profile(project, retinue):
    async with at_target(project, "profile: nobody") as made:
        profiles(project, made, "there")
        assert "there is no app" in await asked(retinue, "-t", "prod", "--profile", "there")
        env = {"DATABRICKS_CONFIG_PROFILE": "there"}
        assert "there is no app" in await asked(retinue, "-t", "prod", **env)


async def test_without_a_profile_the_environment_s_token_goes_there(project, retinue):
    async with at_target(project) as made:
        token = made.workspace.sign_in("ana@example.com")
        assert "there is no app" in await asked(retinue, "-t", "prod", DATABRICKS_TOKEN=token)


async def test_a_login_for_another_workspace_is_refused(project, retinue):
    async with at_target(project) as made, cloud() as other:
        profiles(project, other, "there")
        for words, env in (
            (("--profile", "there"), {}),
            ((), {"DATABRICKS_HOST": other.url, "DATABRICKS_TOKEN": "x"}),
            ((), {"DATABRICKS_CONFIG_PROFILE": "there"}),
        ):
            said = await asked(retinue, "-t", "prod", *words, **env)
            assert f"the target 'prod' is at {made.url}" in said
            assert other.url in said
        assert made.workspace.signed == []


async def test_of_several_profiles_one_has_to_be_named(project, retinue):
    async with at_target(project) as made:
        profiles(project, made, "one", "two")
        said = await asked(retinue, "-t", "prod")
        assert "choose a --profile: one, two" in said


async def test_chat_takes_the_target_s_workspace_too(project, retinue):
    async with at_target(project) as made:
        profiles(project, made, "there")
        words = ("chat", "--url", "https://nowhere.example", "--target", "prod")
        done = await asyncio.to_thread(retinue, *words)
        assert f"{made.url} has no app at https://nowhere.example" in done.stderr


def test_what_a_target_says_is_put_into_texts(project):
    (project / "databricks.yml").write_text(
        """
bundle: {name: tried}
include: [more.yml]
workspace: {root_path: "~/all"}
variables: {app_suffix: {default: -x}, team: {default: red}}
permissions: [{level: CAN_VIEW, group_name: all}]
targets:
  prod:
    workspace:
      root_path: /Workspace/${workspace.current_user.userName}/${bundle.name}/${bundle.target}/
    permissions: [{level: CAN_MANAGE, group_name: admins}]
  dev: {}
"""
    )
    (project / "more.yml").write_text("resources: {experiments: {e: {name: /x}}}\n")
    opened = Project.at(project)
    prod = read_target(opened, {"team": "blue"}, "prod")
    assert prod.app_name("helper") == "helper-x"
    assert prod.root("ana@example.com") == "/Workspace/ana@example.com/tried/prod"
    assert read_target(opened, {}, "dev").root("ana@example.com") == (
        "/Workspace/Users/ana@example.com/all"
    )
    assert prod.text("${var.team} ${var.none} ${resources.a.b.id}") == (
        "blue ${var.none} ${resources.a.b.id}"
    )
    assert [*prod.resources()] == [("experiments", "e", {"name": "/x"})]
    assert [one["group_name"] for one in prod.permissions()] == ["all", "admins"]
    with pytest.raises(CompileError, match="there is no target 'nowhere'"):
        read_target(opened, {}, "nowhere")


def test_an_unknown_suffix_is_told(project):
    (project / "databricks.yml").write_text("bundle: {name: tried}\n")
    with pytest.raises(
        UsageError, match=r"declare it in databricks\.yml, or give --var app_suffix=…"
    ):
        read_target(Project.at(project), {}, None).app_name("helper")
