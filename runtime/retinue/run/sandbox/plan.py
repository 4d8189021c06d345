"""A script, what it may see and what it may use → what the launcher is told, and tells, as JSON."""

import json
from typing import NamedTuple

MIB = 2**20


LAYERS = ("limits", "files", "calls", "network")
"""Resource limits, Landlock, seccomp and a network namespace."""

Missing = dict[str, str]
"""The layers that a kernel or a container doesn't have, and why."""


class Bounds(NamedTuple):
    """What one script may use; sizes in bytes. `memory` holds for each process and for all of
    them together, without files that are mapped; `seconds` are of the clock and of each CPU.
    """

    seconds: float = 20.0
    memory: int = 1024 * MIB
    processes: int = 64
    open_files: int = 128
    file_bytes: int = 32 * MIB
    folder_bytes: int = 128 * MIB
    files: int = 2_000


class Plan(NamedTuple):
    """One script. `folder` is where it works and the only place it may write to; `readable` are
    files and folders that it may read and execute. `address_space` of 0 is as much as it likes.
    """

    argv: tuple[str, ...]
    env: dict[str, str]
    folder: str
    readable: tuple[str, ...]
    strict: bool = False
    address_space: int = 4096 * MIB
    bounds: Bounds = Bounds()

    def to_json(self) -> str:
        """One line."""
        return json.dumps({**self._asdict(), "bounds": self.bounds._asdict()})

    @classmethod
    def from_json(cls, text: str) -> "Plan":
        """What `to_json` made."""
        fields = json.loads(text)
        fields["bounds"] = Bounds(**fields["bounds"])
        return cls(**fields)

    def refuses(self, missing: Missing) -> bool:
        """Whether too little is left. Without Landlock and seccomp nothing keeps a script from
        what its user may do.
        """
        return bool(missing) and (self.strict or {"files", "calls"} <= missing.keys())
