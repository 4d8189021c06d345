"""Events ⇄ HTTP: OpenAI-compatible endpoints around a runtime."""

from retinue.serve.app import app_for
from retinue.serve.factory import create_app
from retinue.serve.options import ServeOptions

__all__ = ["ServeOptions", "app_for", "create_app"]
