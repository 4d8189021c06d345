"""What is taken for a secret, and what is shown in its place."""

from retinue.run.mcp.secrets import Secrets
from retinue.run.references import environment
from retinue.values import Ref

VALUES = {
    "KEY": "sk-123456",
    "LONGER": "sk-123456-and-more",
    "PEM": "-----BEGIN\nMIIabcdef\n-----END",
    "SHORT": "main",
    "SAME": "production",
    "DATABRICKS_HOST": "https://example.com",
}


def test_only_what_was_looked_up_and_is_secret_is_taken_out() -> None:
    secrets = Secrets(environment(VALUES))
    assert secrets.redacted("sk-123456") == "sk-123456"
    for name in ("KEY", "LONGER", "PEM", "SHORT"):
        assert secrets(Ref("env", name)) == VALUES[name]
    secrets(Ref("env", "SAME", default="production"))
    secrets(Ref("workspace", "host"))
    assert secrets.redacted("<sk-123456>") == "<${env.KEY}>"
    assert secrets.redacted("<sk-123456-and-more>") == "<${env.LONGER}>"
    assert secrets.redacted("line MIIabcdef of it") == "line ${env.PEM} of it"
    public = "main, production, https://example.com"
    assert secrets.redacted(public) == public
