"""What a person says to a question → a clear yes, a clear no, or something else.

Only words that are known, and nothing beside them, make a yes: whoever adds a condition, or asks
back, has not agreed.
"""

import re
from typing import Literal

Reading = Literal["yes", "no", "other"]

_LONGEST = 100
_BETWEEN = re.compile(r"[\s.,!;:*_`\"()\u3002\uff01\ufe0f]+")

_POLITE = (
    r"please|thanks|thank you|bitte|danke|merci|s'il vous plaît|por favor|gracias|grazie|obrigado"
)
_YES = (
    r"yes|yep|yeah|yup|y|ok|okay|sure|of course|absolutely|certainly|confirm|confirmed|proceed"
    r"|accept|agreed|approved?|allow(?:ed)?|(?:approve|allow|do) it|go ahead|go for it"
    r"|i (?:approve|agree|confirm)|ja|einverstanden|genehmigt|in ordnung|mach (?:das|es)"
    r"|oui|d'accord|sí|si|de acuerdo|va bene|sim|はい|是|👍|✅"
)
_NO = (
    r"no|nope|nah|n|never|deny|denied|refused?|reject(?:ed)?|declined?|disallow|cancel(?: it)?"
    r"|stop|abort|no way|not now|(?:do not|don't|dont)(?: do it)?|nein|lieber nicht|non|não|nie|nej"
    r"|いいえ|否|👎|❌"
)


def _only(words: str) -> re.Pattern[str]:
    return re.compile(rf"(?:(?:{_POLITE}) )*(?:{words})(?: (?:{words}|{_POLITE}))*")


_CLEAR: tuple[tuple[Reading, re.Pattern[str]], ...] = (("yes", _only(_YES)), ("no", _only(_NO)))


def reading(words: str) -> Reading:
    """How the words are to be taken."""
    if len(words) > _LONGEST:
        return "other"
    text = " ".join(_BETWEEN.split(words.casefold().replace("\u2019", "'"))).strip()
    return next((meaning for meaning, clear in _CLEAR if clear.fullmatch(text)), "other")
