"""`output_schema` of an agent's tree → a JSON Schema that is one."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, cast

from retinue.compile.document import read_document
from retinue.compile.reader import Reader, ReadError
from retinue.compile.report import Report
from retinue.compile.tree import INVALID, Node
from retinue.diagnostics import Location
from retinue.values import JsonValue

_KEY = "output_schema"
_MAX_TOLD = 10
_WITHOUT_EFFECT = ("$schema", "$id", "$defs", "$comment", "title", "description", "examples")

OutputSchema = Mapping[str, JsonValue]


def compile_output_schema(
    root: Node, reader: Reader, report: Report
) -> tuple[OutputSchema | None, tuple[str, ...]]:
    """The schema, if there is one without mistakes, and the files that were read for it.

    The schema stands in the tree itself, or in a JSON or YAML file that it names.
    """
    node = root.child(_KEY)
    if node is None:
        return None, ()
    file = _file(node)
    if file is None:
        return _checked(node, report), ()
    schema = _read(file, reader, report)
    return (_checked(schema, report), (str(file.value),)) if schema else (None, ())


def _file(node: Node) -> Node | None:
    """The text that names a file, where the value is none but that."""
    if isinstance(node.value, str):
        return node
    file = node.child("file")
    only = file is not None and len(node.entries) == 1 and isinstance(file.value, str)
    return file if only else None


def _read(file: Node, reader: Reader, report: Report) -> Node | None:
    path = str(file.value)
    try:
        data = reader.read(path)
    except ReadError as error:
        report.error(file.place, str(error), error.code)
        return None
    own = report.sibling()
    document = read_document(path, data, own)
    report.take(own)
    return document.root if document and not own.failed else None


def _checked(node: Node, report: Report) -> OutputSchema | None:
    if node.where(lambda value: value is INVALID):
        return None
    if not isinstance(node.value, dict):
        report.error(node.place, "a JSON Schema is an object", "bad-schema")
        return None
    # Off the start-up path: few agents have a schema.
    from jsonschema import Draft202012Validator  # noqa: PLC0415

    schema = node.plain()
    checker: Any = Draft202012Validator(Draft202012Validator.META_SCHEMA)
    errors = sorted(checker.iter_errors(schema), key=lambda error: list(map(str, error.path)))
    for error in errors[:_MAX_TOLD]:
        place: Location = node.at(tuple(error.absolute_path))
        hint = "see https://json-schema.org/draft/2020-12"
        report.error(place, f"this is no JSON Schema: {error.message}", "bad-schema", hint)
    known = {*Draft202012Validator.VALIDATORS, *_WITHOUT_EFFECT}
    if node.entries and not node.entries.keys() & known:
        message = "no key of this object is one of JSON Schema's: any answer fits it"
        report.warning(node.place, message, "bad-schema", "write {type: object, properties: {…}}")
    return None if errors else MappingProxyType(cast("dict[str, JsonValue]", schema))
