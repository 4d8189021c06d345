"""A call that a person is to judge → text in which nothing is hidden."""

import json
import unicodedata

_UNSEEN = ("Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp")


def pretty(arguments: str) -> str:
    """The arguments of a call as JSON over several lines."""
    try:
        text = json.dumps(json.loads(arguments or "{}"), indent=2, ensure_ascii=False)
    except ValueError:
        text = json.dumps(arguments)
    return shown(text)


def shown(text: str) -> str:
    """Characters that show nothing, or turn the text around, as JSON escapes them."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        json.dumps(c)[1:-1] if unicodedata.category(c) in _UNSEEN and c != "\n" else c for c in text
    )
