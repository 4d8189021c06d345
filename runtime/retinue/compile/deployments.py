"""`name` or `deployments` of a model's spec → the places where it is reached."""

from collections.abc import Mapping

from retinue.compile.interpolate import Pending
from retinue.compile.model_spec import ModelSpec, PlaceSpec, PriceSpec
from retinue.compile.providers import check_provider
from retinue.compile.references import HEADER_NAME, reference
from retinue.compile.report import Report, quoted
from retinue.compile.tree import Node, Path
from retinue.route import Deployment, Price
from retinue.values import Text

_OF_ONE_PLACE = ("api_base", "api_key", "region", "headers", "adapter", "auth", "price")


def compile_deployments(
    spec: ModelSpec, root: Node, report: Report, path: Path
) -> tuple[Deployment, ...]:
    """The places at `path` of a tree. Mistakes that no single field shows go to `report`."""
    if not spec.deployments:
        return (_deployment(spec, 1, root, report, path),)
    _check_alone(root, report, path)
    return tuple(
        _deployment(place, place.weight, root, report, (*path, "deployments", index))
        for index, place in enumerate(spec.deployments)
    )


def _check_alone(root: Node, report: Report, path: Path) -> None:
    """With several places, each says for itself how it is reached."""
    node = root.find(path)
    for key in ("name", *_OF_ONE_PLACE):
        if key in node.entries:
            hint = "say it at each deployment" if key != "name" else "keep one of them"
            message = f"'{key}' and 'deployments' exclude each other"
            report.error(root.key((*path, key)), message, "conflicting-keys", hint)


def _deployment(spec: PlaceSpec, weight: int, root: Node, report: Report, path: Path) -> Deployment:
    if spec.auth == "user":
        _check_user(spec, root, report, path)
    check_provider(spec.name, root.at((*path, "name")), report)
    return Deployment(
        model=spec.name,
        api_base=reference(spec.api_base, root, (*path, "api_base"), report, url=True),
        api_key=reference(spec.api_key, root, (*path, "api_key"), report, line=True),
        region=reference(spec.region, root, (*path, "region"), report, line=True),
        headers=_headers(spec.headers, root, report, (*path, "headers")),
        weight=weight,
        adapter=spec.adapter,
        auth=spec.auth,
        price=_price(spec.price) if spec.price else None,
    )


def _check_user(spec: PlaceSpec, root: Node, report: Report, path: Path) -> None:
    """The caller's token is for the workspace alone."""
    if not spec.name.startswith("databricks/"):
        message = "only databricks/ models can be asked as the caller"
        report.error(root.at((*path, "auth")), message, "wrong-value", "remove it")
    elif spec.api_key is not None:
        message = "'api_key' and 'auth: user' exclude each other"
        report.error(root.key((*path, "api_key")), message, "conflicting-keys", "keep one of them")


def _headers(
    given: Mapping[str, Text | Pending], root: Node, report: Report, path: Path
) -> tuple[tuple[str, Text], ...]:
    found: dict[str, Text] = {}
    for name, value in given.items():
        if not HEADER_NAME.fullmatch(name):
            message = f"{quoted(name)} can't be a header's name"
            report.error(root.key((*path, name)), message, "bad-name")
        found[name] = reference(value, root, (*path, name), report, line=True) or ""
    return tuple(found.items())


def _price(spec: PriceSpec) -> Price:
    return Price(
        input=spec.input,
        output=spec.output,
        cached_input=spec.cached_input,
        cache_write=spec.cache_write,
    )
