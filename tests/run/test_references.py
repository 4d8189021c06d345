"""References are looked up where they are used, and are named, never shown, when missing."""

import pytest

from retinue.errors import MissingReferenceError
from retinue.run.references import environment
from retinue.values import Ref, Template


def test_each_kind_has_its_variable():
    lookup = environment(
        {"TOKEN": "t", "RETINUE_SECRET_MCP_TICKETS_TOKEN": "s", "DATABRICKS_HOST": "https://h"}
    )
    assert lookup(Ref("env", "TOKEN")) == "t"
    assert lookup(Ref("secret", "mcp/tickets_token")) == "s"
    assert lookup(Ref("workspace", "host")) == "https://h"


def test_a_default_stands_in_for_unset_and_for_empty():
    lookup = environment({"EMPTY": ""})
    assert lookup(Ref("env", "EMPTY", "d")) == "d"
    assert lookup(Ref("env", "GONE", "d")) == "d"


def test_what_is_missing_is_named():
    with pytest.raises(MissingReferenceError, match="RETINUE_SECRET_A_B") as raised:
        environment({})(Ref("secret", "a/b"))
    assert "${secret.a/b}" in str(raised.value)


def test_a_template_shows_its_references_and_never_their_values():
    template = Template(("Bearer ", Ref("env", "TOKEN"), "!"))
    assert str(template) == "Bearer ${env.TOKEN}!"
    assert template.resolve(environment({"TOKEN": "hunter2"})) == "Bearer hunter2!"
    assert "hunter2" not in repr(template)
