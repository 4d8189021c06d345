"""OpenAI's wire: request bytes → what a run needs, events → answer bytes. Pure; no FastAPI."""
