"""A Markdown text → what closes the markup that it leaves open, so that nothing after it is hidden.

A model's text may end amid a code block or an HTML comment: what follows would be drawn as part of
it, or not at all.
"""

import re
from collections import Counter

_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})(.*)$", re.MULTILINE)
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9-]{0,30})")
_SPANS = (("<!--", "-->"), ("<?", "?>"), ("<![CDATA[", "]]>"))
_VOID = frozenset(("br", "hr", "img", "input", "link", "meta", "wbr", "http", "https"))
_MOST_TAGS = 30


def closing(text: str) -> str:
    """Lines that end what is open in the text; empty where nothing is."""
    ends = [_open_fence(text)]
    if "<" in text:
        ends += (end for start, end in _SPANS if text.rfind(start) > text.rfind(end))
        ends.append(_open_tags(text))
    return "".join(f"\n{end}\n" for end in ends if end)


def _open_fence(text: str) -> str:
    fence = ""
    for mark, rest in _FENCE.findall(text):
        if not fence:
            # A backtick after backticks makes them a span of code on one line.
            fence = mark if mark[0] == "~" or "`" not in rest else ""
        elif mark.startswith(fence) and not rest.strip():
            fence = ""
    return fence


def _open_tags(text: str) -> str:
    opened: Counter[str] = Counter()
    for slash, name in _TAG.findall(text):
        opened[name.lower()] += -1 if slash else 1
    left = [name for name, count in opened.items() if count > 0 and name not in _VOID]
    return "".join(f"</{name}>" * min(opened[name], 5) for name in left[:_MOST_TAGS])
