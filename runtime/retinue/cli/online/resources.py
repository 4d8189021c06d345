"""Something that a workspace holds → whether it is there, and open to whoever asks."""

from base64 import b64decode
from collections.abc import Mapping
from urllib.parse import quote

from retinue.cli.online.finding import Finding, OnlineCode
from retinue.run.workspace_api import Answer, WorkspaceApi

_CATALOG = "/api/2.1/unity-catalog"
_SECURABLES: Mapping[str, str] = {
    "VOLUME": "volumes",
    "TABLE": "tables",
    "FUNCTION": "functions",
    "CONNECTION": "connections",
}
_SEES = "give the identity that runs this its permission, or name another"


async def check_endpoint(api: WorkspaceApi, name: str) -> list[Finding]:
    """A model serving endpoint: there, ready, and open to queries."""
    what = f"the serving endpoint '{name}'"
    answer = await api.get(f"/api/2.0/serving-endpoints/{_part(name)}")
    if refused := _refused(answer, what, "online-model"):
        return refused
    state = answer.body.get("state")
    ready = state.get("ready") if isinstance(state, dict) else None
    if ready not in (None, "READY"):
        return [Finding("online-model", f"{what} is not ready", "see its events, or wait")]
    if answer.body.get("permission_level") == "CAN_VIEW":
        hint = "it takes CAN_QUERY on the endpoint"
        return [Finding("online-model", f"{what} may be seen, but not queried", hint)]
    if answer.body.get("task") == "llm/v1/embeddings":
        return [Finding("online-model", f"{what} makes embeddings and can't chat")]
    return []


async def check_space(api: WorkspaceApi, space: str) -> list[Finding]:
    """A Genie space, and the warehouse that it asks."""
    answer = await api.get(f"/api/2.0/genie/spaces/{_part(space)}")
    if refused := _refused(answer, f"the Genie space '{space}'"):
        return refused
    warehouse = answer.body.get("warehouse_id")
    if not isinstance(warehouse, str):
        return []
    return await check_warehouse(api, warehouse, f"the warehouse '{warehouse}' of its Genie space")


async def check_warehouse(api: WorkspaceApi, name: str, what: str = "") -> list[Finding]:
    """A SQL warehouse; one that sleeps is woken by the first query."""
    what = what or f"the SQL warehouse '{name}'"
    answer = await api.get(f"/api/2.0/sql/warehouses/{_part(name)}")
    if refused := _refused(answer, what):
        return refused
    if answer.body.get("state") in ("DELETED", "DELETING"):
        return [Finding("online-resource", f"{what} is deleted")]
    return []


async def check_in_schema(api: WorkspaceApi, kind: str, name: str) -> list[Finding]:
    """`functions` or a `vector_search` index by its full name, or a schema that holds some."""
    if name.count(".") == 1:
        answer = await api.get(f"{_CATALOG}/schemas/{_part(name)}")
        return _refused(answer, f"the schema '{name}'")
    if kind == "functions":
        return await check_securable(api, "FUNCTION", name)
    answer = await api.get(f"/api/2.0/vector-search/indexes/{_part(name)}")
    if refused := _refused(answer, f"the index '{name}'"):
        return refused
    status = answer.body.get("status")
    if isinstance(status, dict) and status.get("ready") is False:
        return [Finding("online-resource", f"the index '{name}' is not ready", "wait for its sync")]
    return []


async def check_securable(api: WorkspaceApi, kind: str, name: str) -> list[Finding]:
    """A VOLUME, TABLE, FUNCTION or CONNECTION of Unity Catalog."""
    answer = await api.get(f"{_CATALOG}/{_SECURABLES[kind]}/{_part(name)}")
    return _refused(answer, f"the {kind.lower()} '{name}'")


async def check_app(api: WorkspaceApi, name: str) -> list[Finding]:
    """A Databricks App that runs."""
    answer = await api.get(f"/api/2.0/apps/{_part(name)}")
    if refused := _refused(answer, f"the app '{name}'"):
        return refused
    status = answer.body.get("app_status")
    if isinstance(status, dict) and status.get("state") not in (None, "RUNNING"):
        return [Finding("online-resource", f"the app '{name}' is not running", "start it")]
    return []


async def check_job(api: WorkspaceApi, number: str) -> list[Finding]:
    """A job."""
    answer = await api.get(f"/api/2.2/jobs/get?job_id={_part(number)}")
    return _refused(answer, f"the job '{number}'")


async def read_secret(api: WorkspaceApi, scope: str, key: str) -> str | list[Finding]:
    """A secret's value, or why there is none."""
    answer = await api.get(f"/api/2.0/secrets/get?scope={_part(scope)}&key={_part(key)}")
    if refused := _refused(answer, f"the secret '{scope}/{key}'", "online-secret"):
        return refused
    try:
        return b64decode(str(answer.body.get("value", ""))).decode()
    except ValueError:
        return [Finding("online-secret", f"the secret '{scope}/{key}' is not a text")]


def _refused(answer: Answer, what: str, code: OnlineCode = "online-resource") -> list[Finding]:
    """What a status other than success says."""
    if answer.status == 200:
        return []
    if answer.status == 401:
        return [Finding("online-credentials", "the workspace does not accept the credentials")]
    if answer.status == 403:
        return [Finding(code, f"{what} may not be seen or used", _SEES)]
    if answer.status in (400, 404):
        return [Finding(code, f"{what} does not exist, or may not be seen", _SEES)]
    if answer.status == 0:
        return [Finding(code, f"{what} can't be checked: the workspace can't be reached")]
    said = f"the workspace answered with status {answer.status}"
    return [Finding(code, f"{what} can't be checked: {said}", "try again")]


def _part(name: str) -> str:
    return quote(name, safe="")
