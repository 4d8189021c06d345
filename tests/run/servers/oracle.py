"""A server that takes plain questions, and leaves each in a file: `python oracle.py FILE`."""

import sys
from pathlib import Path

from plain import serve


def ask(question: str) -> str:
    """Answer."""
    with Path(sys.argv[1]).open("a") as file:
        file.write(f"{question}\n")
    return f"asked: {question}"


if __name__ == "__main__":
    serve(ask)
