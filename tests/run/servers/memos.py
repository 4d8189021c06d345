"""A server whose `repeat` hands on what anybody wrote, and whose other tools tempt who reads it."""

import os

from plain import serve


def add(a: int, b: int) -> str:
    """Add two numbers."""
    return str(a + b)


def repeat(text: str) -> str:
    """Say what it is given."""
    return text


def environment() -> str:
    """The names of the environment variables the server sees."""
    return " ".join(sorted(os.environ))


def crash() -> str:
    """End the process at once."""
    os._exit(3)


if __name__ == "__main__":
    serve(add, repeat, environment, crash)
