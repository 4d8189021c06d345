"""Projects made to hang, crash, fill the memory of or get out of a compiler, by name."""

from collections.abc import Mapping

from folders import MINIMAL
from hostile_documents import Content, documents, fields
from hostile_folders import Case, folders, includes
from hostile_prompts import prompts, rendered


def _skills() -> dict[str, Content]:
    def front(fields: str) -> str:
        return f"---\n{fields}\n---\nBody.\n"

    return {
        "bracket-bomb": front("name: " + "[" * 50_000),
        "brace-bomb": front("name: s\ndescription: " + "{a: " * 20_000),
        "alias-bomb": front(
            "description: &a [x]\n"
            + "".join(f"a{n}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]\n" for n in range(20))
        ),
        "alias-chain": front("\n".join(documents()["alias-chain-of-lists"].split("\n"))),  # type: ignore[arg-type]
        "keys": front("description: x\n" + "".join(f"k{n}: b\n" for n in range(9000))),
        "colons": front("description: " + "a: " * 20_000),
        "quotes": front("description: " + "'" * 60_000),
        "quote-fix": front("\n".join(f"k{n}: a: b" for n in range(6000))),
        "tabs": front("\tname:\ts\n\tdescription:\tx"),
        "fences": "---\n" * 100_000,
        "no-end": "---\nname: s\ndescription: x\n" * 20_000,
        "one-line": "---" + "x" * 900_000,
        "tags": front("name: !!python/object/apply:os.system [x]\ndescription: {}"),
        "nul": b"---\nname: s\x00\ndescription: \x00\n---\n",
        "utf-16": front("name: s\ndescription: x").encode("utf-16"),
        "latin-1": front("name: s\ndescription: gr\u00fcn").encode("latin-1"),
        "description-list": front("description: [" + "x, " * 10_000 + "]"),
        "too-large": front("description: x") + "x" * 2_000_000,
        "empty": "",
        "only-fence": "---",
        "binary": bytes(range(256)) * 1000,
    }


def _bundles() -> dict[str, Content]:
    big = "".join(f"  v{n}: {{default: '${{var.v{n + 1}}}${{var.v{n + 1}}}'}}\n" for n in range(60))
    return {
        "doubling": f"variables:\n  a: {{default: '${{var.v0}}'}}\n{big}",
        "wide-doubling": "variables:\n  a: {default: '" + "${var.b}" * 3000 + "'}\n  b: {default: '"
        + "${var.c}" * 3000 + "'}\n  c: {default: " + "x" * 3000 + "}\n",
        "itself": "variables: {a: {default: '${var.a}'}}",
        "ring": "variables: {a: {default: '${var.b}'}, b: {default: '${var.a}${var.a}'}}",
        "lists": "[" * 100_000,
        "include-all": "include: ['*', '*/*', '*/*/*', '../*', '/*', '**/*', '[', '~/*']",
        "include-many": "include: [" + "'*.yml', " * 3000 + "]",
        "include-itself": "include: [databricks.yml]",
        "include-kinds": "include: {a: 1}\nvariables: [a]\ntargets: x",
        "kinds": "variables: {a: {default: [1, {b: 2}], lookup: {c: d}}}\ntargets: {dev: null}",
        "tags": "variables: {a: !!python/object/apply:os.system ['true']}",
        "utf-16": "variables: {a: 1}".encode("utf-16"),
        "latin-1": b"variables: {a: {default: \xff}}",
        "nul": b"variables: {a: {default: '\x00'}}",
        "laughs": documents()["laughs"],
        "chain": documents()["alias-chain-of-maps"],
        "keys": documents()["keys-4000"],
        "long-default": "variables: {a: {default: " + "x" * 900_000 + "}}",
    }  # fmt: skip


# Odd, and nevertheless what their authors may have meant.
_SILENT = frozenset(
    {
        "bundle/long-default",
        "bundle/nul",
        "fields/extra-deep",
        "fields/references-dollars",
        "fields/server-url-long",
        "fields/server-url-odd",
        "prompt/delimiters-closed",
        "prompt/string-long",
        "skill/no-end",
        "yaml/escape-nul",
        "yaml/scalar-long",
    }
)


def cases() -> dict[str, Case]:
    """Every project by `kind/name`."""
    prompt = "model: x\ninstructions: {file: prompts/p.md}\n"
    skill = MINIMAL + "skills: [s]\n"
    uses = "model: x\ninstructions: a\nmcp_servers: {s: {url: 'https://${var.a}'}}\n"
    files: dict[str, Mapping[str, Content]] = {}
    files |= {f"yaml/{k}": {"agents/a.yaml": v} for k, v in documents().items()}
    files |= {f"fields/{k}": {"agents/a.yaml": v} for k, v in fields().items()}
    for kind, texts in (("prompt", prompts()), ("rendered", rendered())):
        files |= {
            f"{kind}/{k}": {"agents/a.yaml": prompt, "prompts/p.md": v, "prompts/q.md": "{{ q }}"}
            for k, v in texts.items()
        }
    files |= {f"skill/{k}": {"agents/a.yaml": skill, "skills/s/SKILL.md": v}
              for k, v in _skills().items()}  # fmt: skip
    files |= {f"bundle/{k}": {"agents/a.yaml": uses, "databricks.yml": v}
              for k, v in _bundles().items()}  # fmt: skip
    made = {name: Case(f, silent=name in _SILENT or name.startswith("rendered/"))
            for name, f in files.items()}  # fmt: skip
    made |= {f"folder/{k}": case for k, case in folders().items()}
    return made | {f"includes/{k}": case for k, case in includes().items()}
