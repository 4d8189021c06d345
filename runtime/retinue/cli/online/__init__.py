"""Compiled agents → what is wrong where they lead: models, tool servers, the workspace."""

from retinue.cli.online.verify import verified

__all__ = ["verified"]
