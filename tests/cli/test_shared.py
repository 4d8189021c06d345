"""What apps share in a workspace, deployed by the requests that the Databricks CLI makes."""

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from cli.shipping import BUNDLE, Machine, machine

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the stand-in CLI is a script")

AGENT = "model: databricks/small\ninstructions: Hi.\n"
SHARED = "observability: {mlflow_experiment: /Shared/t}\nstore: {lakebase: {project: lake}}\n"
PERMITTING = "permissions: [{level: CAN_MANAGE, group_name: admins}]"


def shipped(project: Path, at: Machine) -> None:
    tool = shutil.which("databricks", path=at.env["PATH"])
    words = [tool, "bundle", "deploy", "-t", "prod"]
    env = {**at.env, "HOME": str(project)}
    done = subprocess.run(words, cwd=project, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("target", ["{}", f"{{{PERMITTING}}}"])
async def test_a_second_deployment_takes_no_app_s_right_away(project, target):
    (project / "agents" / "one.yaml").write_text(AGENT)
    (project / "agents" / "two.yaml").write_text(AGENT)
    (project / "retinue.yaml").write_text(SHARED)
    async with machine(project, BUNDLE.replace("prod: {}", f"prod: {target}")) as at:
        for _ in range(2):
            await asyncio.to_thread(shipped, project, at)
            grants = at.cloud.shared.grants
            for app in ("sp-of-one", "sp-of-two"):
                assert grants["experiments/1"][app] == "CAN_EDIT"
                assert grants["database-projects/lake"][app] == "CAN_USE"
            assert ("admins" in grants["experiments/1"]) == (target != "{}")
        # A first deployment looks for a state that isn't there.
        (missing,) = at.cloud.workspace.refused
        assert "resources.json" in missing
        assert [one for one in at.cloud.shared.lakebase if one.count("/") == 1] == ["projects/lake"]
        database = "projects/lake/branches/production/databases/retinue"
        for app in ("one", "two"):
            (found,) = [r for r in at.cloud.apps.apps[app]["resources"] if "postgres" in r]
            assert found["postgres"]["database"] == database
