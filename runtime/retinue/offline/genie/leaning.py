"""A question's words → nothing, or the refusal of what they lean on and nobody here can look up.

Pronouns point at an answer that was given, not at a part of the question before it: "how many
franchises does it have" after "which city sold most" is about one city. Leaving the word out would
answer about all of them.
"""

from collections.abc import Sequence

from retinue.offline.genie.ask import RefusedError

_PRONOUNS = frozenset(["it", "its", "itself", "them", "they", "their", "theirs"])
_FORMS_OF_BE = frozenset(["is", "are", "was", "were"])
_BEFORE_A_POINTER = _FORMS_OF_BE | frozenset(["in", "for", "of", "from", "at", "by", "and", "than"])
_OPENERS = frozenset(["and", "also", "but", "instead"])
_ENDS = frozenset({"top", "bottom", "best", "worst", "upper", "lower"})
_PARTS = frozenset(["half", "third", "quarter", "tenth"])


def check(said: Sequence[str], *, alone: bool) -> None:
    """Raises RefusedError for a pronoun, and `alone` for an opening that goes on from before."""
    for n, word in enumerate(said):
        before = said[n - 1] if n else ""
        after = said[n + 1] if n + 1 < len(said) else ""
        if word in _PRONOUNS or _points(word, before, after):
            raise RefusedError(f'I can\'t tell what "{word}" stands for; please name it')
        if word in _PARTS and before in _ENDS and after == "of":
            raise RefusedError(f"I can't pick the {before} {word} of something")
    if alone and said and said[0] in _OPENERS:
        raise RefusedError("this goes on from another question; please ask it in full")


def _points(word: str, before: str, after: str) -> bool:
    if word == "there":
        return before not in _FORMS_OF_BE
    return word == "that" and (not after or before in _BEFORE_A_POINTER)
