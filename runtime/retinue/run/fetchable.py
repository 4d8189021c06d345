"""A host or an address that a caller names → whether files may be fetched from there."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field

NOT_FETCHED = "file_not_fetched"
"""The code of errors that lie with a URL and with who answers there."""

_UNICAST = ipaddress.ip_network("2000::/3")
# They lead to other addresses, or belong to a network or a cloud though they look like any other.
_INSIDE = [
    ipaddress.ip_network(text)
    for text in ("168.63.129.16/32", "192.0.0.0/24", "192.88.99.0/24", "2002::/16", "2001::/23")
]


@dataclass(frozen=True, slots=True)
class Fetched:
    """What was at a URL. `media_type` is in small letters, without parameters."""

    name: str
    media_type: str
    content: bytes = field(repr=False)


def is_public(address: str) -> bool:
    """Whether anybody on the internet may be there: no machine's or network's own address."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if not ip.is_global or ip.is_private or ip.is_multicast or ip.is_reserved:
        return False
    if ip.version == 6 and ip not in _UNICAST:
        return False
    return not any(ip in network for network in _INSIDE if network.version == ip.version)


def is_address(host: str) -> bool:
    """Whether it is an address and no name, or what is taken for one: `127.1` and `2130706433` are
    connected to without asking a resolver, and are nowhere public.
    """
    return ":" in host or host.replace(".", "").isdigit()


def allows(hosts: Sequence[str], host: str) -> bool:
    """Whether one of `hosts` is this one: a name, `*.` and a name for all below it, or `*`."""
    host = host.lower().rstrip(".")
    return any(
        one in ("*", host) or (one.startswith("*.") and host.endswith(one[1:])) for one in hosts
    )
