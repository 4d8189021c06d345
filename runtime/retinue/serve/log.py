"""Log records → lines: text for people, or JSON objects for what collects an app's output.

By the standard library, since there is one formatter to write and nothing to configure but it.
"""

import json
import logging
import os
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import orjson

from retinue.serve.access import RequestRecord
from retinue.store.api_key import FORM, PREFIX

LogFormat = Literal["text", "json"]

_SECRET_NAME = re.compile(r"^RETINUE_SECRET_|(?:KEYS?|TOKEN|SECRET|PASSWORD)$")
_SHORTEST_SECRET = 8
_HIDDEN = "***"


def logging_config(level: str = "info", style: LogFormat = "text") -> dict[str, Any]:
    """One line a record: text on standard error, or JSON on standard output.

    It is for a process that does nothing but serve: records are kept small in all of it. uvicorn
    and, where lines are JSON, every other library speak only of what is amiss.
    """
    # No line tells of threads and processes, so no record has to find them out.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    kind, stream = {"text": ("TextLines", "stderr"), "json": ("JsonLines", "stdout")}[style]
    handler = {
        "class": "logging.StreamHandler",
        "formatter": "line",
        "stream": f"ext://sys.{stream}",
    }
    others = {"root": {"handlers": ["out"], "level": "WARNING"}} if style == "json" else {}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": f"{__name__}.{kind}"}},
        "handlers": {"out": handler},
        "loggers": {
            "retinue": {"handlers": ["out"], "level": level.upper(), "propagate": False},
            "uvicorn": {"handlers": ["out"], "level": "WARNING", "propagate": False},
        },
        **others,
    }


class Secrets:
    """What no line may hold: values of the environment that are named as secrets, and what has the
    form of a key of the store.
    """

    def __init__(self, env: Mapping[str, str]) -> None:
        named = (value for name, value in env.items() if _SECRET_NAME.search(name))
        values = {part for value in named for part in (value, *re.split(r"[,\s]+", value))}
        known = sorted((v for v in values if len(v) >= _SHORTEST_SECRET), key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, known))) if known else None

    def hidden(self, text: str) -> str:
        if PREFIX in text:
            text = FORM.sub(_HIDDEN, text)
        return self._pattern.sub(_HIDDEN, text) if self._pattern else text


class TextLines(logging.Formatter):
    """`2026-11-20 10:00:00,000 INFO retinue.access method=POST path=…`"""

    def __init__(self) -> None:
        super().__init__()
        self._secrets = Secrets(os.environ)

    def format(self, record: logging.LogRecord) -> str:
        return self._secrets.hidden(super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the library's name
        time = self.formatTime(record)
        return f"{time} {record.levelname} {record.name} {record.message}"


class JsonLines(logging.Formatter):
    """One JSON object a line. `time` is UTC to the millisecond (RFC 3339); what is known of a
    request are fields of their own, and an exception with its traceback is one, `exception`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._secrets = Secrets(os.environ)

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {
            "time": moment.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        request = record.args[0] if isinstance(record.args, tuple) and record.args else None
        if isinstance(request, RequestRecord):
            told = {"message": f"{request.method} {request.status}".strip(), **_fields(request)}
            # A caller may have put its key into its session's name, or the path.
            hidden = self._secrets.hidden
            line |= {k: hidden(v) if isinstance(v, str) else v for k, v in told.items()}
        else:
            line["message"] = self._secrets.hidden(record.getMessage())
            # For a line about a request that isn't the one that ends it.
            line |= {"request_id": given} if (given := getattr(record, "request_id", "")) else {}
        if record.exc_info and record.exc_info[0]:
            line["exception"] = self._secrets.hidden(self.formatException(record.exc_info))
        return _encoded(line)


def _fields(request: RequestRecord) -> dict[str, Any]:
    fields = {
        "request_id": request.id,
        "trace_id": request.trace_id,
        "method": request.method,
        "path": request.path,
        "status": request.status,
        "ms": round((time.perf_counter() - request.started) * 1000, 1),
        "agent": request.agent,
        "session": request.session,
        "caller": request.identity.subject,
        "input_tokens": request.usage and request.usage.input_tokens,
        "output_tokens": request.usage and request.usage.output_tokens,
        "error": request.fault,
    }
    return {name: value for name, value in fields.items() if value not in (None, "")}


def _encoded(line: Mapping[str, Any]) -> str:
    try:
        return orjson.dumps(line).decode()
    except orjson.JSONEncodeError:  # half of a character, which is no Unicode text
        return json.dumps(line)
