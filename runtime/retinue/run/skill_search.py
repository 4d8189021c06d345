"""Skills that are too many to be listed → `search_skills`, which finds them by words."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from functools import cached_property

from retinue.agent import Skill
from retinue.run.context import RunContext
from retinue.run.events import ToolResult
from retinue.run.ports import Tool
from retinue.run.toolbox import Arguments, BuiltIn
from retinue.values import JsonValue

_MOST_FOUND = 10
_LONGEST_QUERY = 1_000
# A word of the name says more than one of the description.
_NAME_WEIGHT = 3.0
# Shorter beginnings would fit half of all words.
_SHORTEST_PREFIX = 4
_WORD = re.compile(r"[^\W_]+")


def search_tool(skills: Sequence[tuple[Skill, str]]) -> BuiltIn:
    """`search_skills` over the skills, each with its entry in a catalogue."""
    index = _Index([skill for skill, _ in skills])

    async def search(arguments: Arguments, _: RunContext) -> ToolResult:
        query = str(arguments["query"])[:_LONGEST_QUERY]
        found = index.best(query)
        if not found:
            return ToolResult("No skill fits. Try other words, or go on without one.")
        lines = [skills[number][1] for number in found]
        return ToolResult("\n".join(["<found_skills>", *lines, "</found_skills>"]))

    parameters: dict[str, JsonValue] = {
        "type": "object",
        "properties": {
            "query": {
                "type": "string",
                "minLength": 1,
                "description": "Words for the task, such as 'sales chart'.",
            }
        },
        "required": ["query"],
        "additionalProperties": False,
    }
    described = "Find skills by words. Do so before a task that a skill may help with."
    return BuiltIn(Tool("search_skills", described, parameters, reads=True), search)


class _Index:
    """Words and the skills that have them, made at the first search."""

    def __init__(self, skills: Sequence[Skill]) -> None:
        self._skills = skills

    @cached_property
    def _words(self) -> dict[str, dict[int, float]]:
        """How much each word says of which skills."""
        found: dict[str, dict[int, float]] = {}
        for number, skill in enumerate(self._skills):
            counted = Counter(_words(skill.description))
            weights = {word: 1 + math.log(count) for word, count in counted.items()}
            for word in _words(skill.name):
                weights[word] = weights.get(word, 0.0) + _NAME_WEIGHT
            for word, weight in weights.items():
                found.setdefault(word, {})[number] = weight
        return found

    def best(self, query: str) -> list[int]:
        """The skills' numbers, best first; rare words count more, as in TF-IDF."""
        scores: dict[int, float] = {}
        for word in dict.fromkeys(_words(query)):
            for other in self._alike(word):
                having = self._words[other]
                rarity = math.log(1 + len(self._skills) / len(having))
                for number, weight in having.items():
                    alike = 1.0 if other == word else 0.5
                    scores[number] = scores.get(number, 0.0) + weight * rarity * alike
        ranked = sorted(scores, key=lambda number: (-scores[number], number))
        return ranked[:_MOST_FOUND]

    def _alike(self, word: str) -> list[str]:
        """The word, and others that start as it does, or that it starts as."""
        if len(word) < _SHORTEST_PREFIX:
            return [word] if word in self._words else []
        return [
            other
            for other in self._words
            if other.startswith(word) or (len(other) >= _SHORTEST_PREFIX and word.startswith(other))
        ]


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())
