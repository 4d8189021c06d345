"""A route's settings and a caller's → those of a call."""

from collections.abc import Mapping

from retinue.errors import RequestError
from retinue.route import Bound
from retinue.values import JsonValue

_LONGEST = ("max_tokens", "max_completion_tokens")
# Tokens.
_TAKEN_BY_ALL = 4096


def over(own: Mapping[str, JsonValue], given: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
    """`own` with `given` over them; of two names for one limit, one stays."""
    if not given:
        return own
    kept = own
    if any(name in given for name in _LONGEST):
        kept = {name: value for name, value in own.items() if name not in _LONGEST}
    return {**kept, **given}


def longest(settings: Mapping[str, JsonValue]) -> int | None:
    """The tokens that the settings allow for an answer, where they say."""
    found = (settings.get(name) for name in _LONGEST)
    return next((most for most in found if isinstance(most, int)), None)


def within(
    settings: Mapping[str, JsonValue], most: int | None, model_most: int | None
) -> Mapping[str, JsonValue]:
    """The settings with no more than `most` tokens for an answer.

    `model_most` is the longest answer that the model gives, if that is known. A limit above it
    would be refused, so none is added then; a model of which it isn't known takes a few thousand.
    """
    if most is None:
        return settings
    for name in _LONGEST:
        asked = settings.get(name)
        if isinstance(asked, int):
            return settings if asked <= most else {**settings, name: most}
    return settings if most >= (model_most or _TAKEN_BY_ALL) else {**settings, _LONGEST[0]: most}


def check_bounds(bounds: Mapping[str, Bound], given: Mapping[str, JsonValue]) -> None:
    """Raises RequestError for the first setting that the route doesn't allow."""
    if not bounds:
        return
    for name, value in given.items():
        bound = bounds.get("max_tokens" if name in _LONGEST else name)
        rule = _broken(bound, value) if bound else None
        if rule:
            raise RequestError(f"'{name}' {rule} for this agent", param=name)


def _broken(bound: Bound, value: JsonValue) -> str | None:
    if bound.values and value not in bound.values:
        return f"must be one of {', '.join(map(str, bound.values))}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if bound.min is not None and value < bound.min:
        return f"must be at least {bound.min:g}"
    if bound.max is not None and value > bound.max:
        return f"must be at most {bound.max:g}"
    return None
