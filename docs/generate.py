"""The schemas, the codes, the examples and `--help` → the generated parts of docs/*.md.

    python docs/generate.py            rewrite them
    python docs/generate.py --check    say which are stale, and fail

A generated part stands between `<!-- generated: WORDS -->` and `<!-- end -->`; what stands around
it is written by hand and left alone.
"""

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from error_sections import sections
from key_tables import table
from prompt_names import names
from verb_help import verb_help

HERE = Path(__file__).parent
PARTS: Mapping[str, Callable[..., str]] = {
    "errors": sections,
    "keys": table,
    "help": verb_help,
    "names": names,
}

_PART = re.compile(
    r"(?P<head><!-- generated: (?P<words>[^>]+) -->\n).*?(?P<end><!-- end -->)", re.DOTALL
)


def filled(text: str) -> str:
    """`text` with its generated parts made anew. Raises KeyError for a part that none makes."""
    return _PART.sub(lambda part: f"{part['head']}\n{_made(part['words'])}\n{part['end']}", text)


def _made(words: str) -> str:
    kind, *arguments = words.split()
    return PARTS[kind](*arguments).strip("\n") + "\n"


def main(check: bool) -> int:
    """Rewrite the files, or only name those that would change; how many those are."""
    stale = 0
    for path in sorted(HERE.glob("*.md")):
        text = path.read_text(encoding="utf-8")
        made = filled(text)
        if made == text:
            continue
        stale += 1
        if check:
            print(f"docs/{path.name} is stale: run make generate")
        else:
            path.write_text(made, encoding="utf-8")
    return stale if check else 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
