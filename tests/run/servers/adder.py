"""A server that adds."""

from plain import serve


def add(a: int, b: int) -> str:
    """Add two numbers."""
    return str(a + b)


if __name__ == "__main__":
    serve(add)
