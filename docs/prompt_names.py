"""What prompts may use of Jinja2 → lists of names in Markdown."""

from jinja2.environment import Environment

from retinue.compile.sandbox import FILTERS, PromptEnvironment


def names(kind: str) -> str:
    """`filters` that there are, `left-out` ones that Jinja2 has beside them, or `tests`."""
    found = {
        "filters": FILTERS,
        "left-out": set(Environment(autoescape=True).filters) - {*FILTERS},
        "tests": [name for name in PromptEnvironment({}).tests if name.isidentifier()],
    }
    return ", ".join(f"`{name}`" for name in sorted(found[kind]))
