"""Failed model calls of a run → the header that tells which way the answer came."""

import re
from collections.abc import Sequence

from retinue.run.events import ModelRetried

HEADER = "x-retinue-route"
_MOST = 10
_ODD = re.compile(r"[^A-Za-z0-9._:/@+-]")


def hops_header(hops: Sequence[ModelRetried]) -> dict[str, str]:
    """`{"x-retinue-route": "a/one;fault=rate_limit, b/two"}`: who failed, and who was next.

    Nothing where nobody failed; the last ten where there were more.
    """
    if not hops:
        return {}
    failed = [f"{_id(hop.model)};fault={hop.fault}" for hop in hops[-_MOST:]]
    return {HEADER: ", ".join([*failed, _id(hops[-1].next)])}


def _id(deployment: str) -> str:
    return _ODD.sub("_", deployment)[:100]
