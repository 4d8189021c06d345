"""A server whose tools leave a line in a file for each call: `python ledger.py FILE`."""

import sys
from pathlib import Path

from plain import serve

LEDGER = Path(sys.argv[1])


def book(text: str) -> str:
    """Book an entry, for good."""
    return _add(f"book {text}")


def count(of: str = "") -> str:
    """Count the entries."""
    return _add(f"count {of}")


def _add(line: str) -> str:
    with LEDGER.open("a") as ledger:
        ledger.write(f"{line}\n")
    return f"done: {line}"


if __name__ == "__main__":
    serve(book, count)
