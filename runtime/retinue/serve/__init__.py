"""Events ⇄ HTTP: OpenAI-compatible endpoints around a runtime."""

from retinue.serve.app import app_for
from retinue.serve.factory import create_app

__all__ = ["app_for", "create_app"]
