"""API keys as a server knows them → a file, for a start while the database is away."""

import logging
import os
import secrets
import stat
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from retinue.store.api_key import MOST, ApiKey

log = logging.getLogger("retinue.serve")

_OLDEST = 86_400.0
_LARGEST = 4096 * MOST


class Snapshot:
    """The file holds digests and no key, and only its user reads it. It counts for a day after the
    database was last seen.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def read(self) -> list[ApiKey]:
        """The keys in it; none where it is too old, or isn't what was written."""
        try:
            with self._file.open("rb") as file:
                told = os.fstat(file.fileno())
                fresh = time.time() - _OLDEST <= told.st_mtime <= time.time() + _OLDEST
                # Whoever could write it could let anybody in.
                ours = stat.S_IMODE(told.st_mode) & 0o077 == 0 and told.st_uid == os.getuid()
                if not (fresh and ours and told.st_size <= _LARGEST):
                    return []
                return [_key(one) for one in orjson.loads(file.read())]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, TypeError, KeyError) as error:
            log.warning("the copy of the keys can't be read (%s)", type(error).__name__)
            return []

    def keep(self, keys: Sequence[ApiKey] | None) -> None:
        """Write the keys, or with None say that those in it still hold. Several may do so."""
        try:
            if keys is None:
                with suppress(FileNotFoundError):
                    os.utime(self._file)
                return
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            new = self._file.with_name(f"{self._file.name}.{secrets.token_hex(8)}")
            try:
                with os.fdopen(
                    os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb"
                ) as f:
                    f.write(orjson.dumps([_plain(key) for key in keys]))
                new.replace(self._file)
            finally:
                new.unlink(missing_ok=True)
        except OSError as error:
            log.warning("the copy of the keys can't be written (%s)", error.strerror)


def _plain(key: ApiKey) -> dict[str, Any]:
    return {**asdict(key), "scopes": sorted(key.scopes), "agents": sorted(key.agents)}


def _key(plain: dict[str, Any]) -> ApiKey:
    return ApiKey(
        **{**plain, "scopes": frozenset(plain["scopes"]), "agents": frozenset(plain["agents"])}
    )
