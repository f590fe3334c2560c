"""Ways to damage a file."""

from pathlib import Path


def flip(path: Path) -> None:
    """Change one bit in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    """Drop the end."""
    path.write_bytes(path.read_bytes()[:-100])
