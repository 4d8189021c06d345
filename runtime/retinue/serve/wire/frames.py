"""Events of a response → numbered server-sent events, as the Responses API and MLflow have them."""

import orjson

from retinue.serve.wire.responses_output import TEXT_DELTA, Fields, clean

DONE = b"data: [DONE]\n\n"


class Frames:
    """The frames of one stream; `named` ones say their type in an `event:` line too.

    `count` is how many there were already.
    """

    def __init__(self, *, named: bool, count: int = 0) -> None:
        self._named = named
        self._text = b""
        self.count = count

    def frame(self, fields: Fields) -> bytes:
        """The event with its number."""
        start = b"event: " + fields["type"].encode() + b"\ndata: " if self._named else b"data: "
        if fields["type"] == TEXT_DELTA:
            self._text = start + _up_to_text(fields)
        return start + orjson.dumps({**fields, "sequence_number": self._next()}) + b"\n\n"

    def more_text(self, text: str) -> bytes:
        """The last text's delta once more, with this text: most events are one."""
        return self._text + _json(text) + b',"sequence_number":%d}\n\n' % self._next()

    def last(self, response: Fields) -> bytes:
        """The event that ends the stream with the response as it is then."""
        return self.frame({"type": f"response.{response['status']}", "response": response}) + DONE

    def _next(self) -> int:
        number = self.count
        self.count += 1
        return number


def _up_to_text(fields: Fields) -> bytes:
    same = {key: value for key, value in fields.items() if key != "delta"}
    return orjson.dumps(same)[:-1] + b',"delta":'


def _json(text: str) -> bytes:
    try:
        return orjson.dumps(text)
    except orjson.JSONEncodeError:
        return orjson.dumps(clean(text))
