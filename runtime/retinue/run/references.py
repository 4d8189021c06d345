"""A reference → its value, from the process's environment."""

import os
from collections.abc import Mapping

from retinue.errors import MissingReferenceError
from retinue.run.ports import Lookup
from retinue.values import Ref, Text


def environment(env: Mapping[str, str] = os.environ) -> Lookup:
    """References looked up in `env`.

    A secret `scope/key` is read from `RETINUE_SECRET_SCOPE_KEY`, as a Databricks App gets it
    by `value_from`; `workspace.host` from `DATABRICKS_HOST`.
    """

    def lookup(ref: Ref) -> str:
        name = _variable(ref)
        value = env.get(name)
        if value:
            return value
        if ref.default is not None:
            return ref.default
        raise MissingReferenceError(f"{ref} is needed, but {name} is not set in the environment")

    return lookup


def resolved(text: Text, lookup: Lookup) -> str:
    """The text with its references replaced. Raises MissingReferenceError."""
    return text if isinstance(text, str) else text.resolve(lookup)


def _variable(ref: Ref) -> str:
    if ref.kind == "env":
        return ref.name
    if ref.kind == "workspace":
        return "DATABRICKS_HOST"
    return "RETINUE_SECRET_" + "".join(c if c.isalnum() else "_" for c in ref.name).upper()
