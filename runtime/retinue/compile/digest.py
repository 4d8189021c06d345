"""A compiled agent → the hash by which its version is known."""

import hashlib
import json
from collections.abc import Mapping

from retinue import __version__
from retinue.agent import Agent


def digest(agent: Agent, used: Mapping[str, str]) -> str:
    """16 hex characters over everything that went into the agent, but no place on a disk."""
    content = {
        "version": __version__,
        "name": agent.name,
        "sources": [[source.path, source.sha256] for source in agent.sources],
        "skills": [skill.name for skill in agent.skills],
        "variables": dict(used),
    }
    text = json.dumps(content, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
