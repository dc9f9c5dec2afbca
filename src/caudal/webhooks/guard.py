"""What an endpoint may be: a public web server, and never a door into anybody's own network.

Twice: `refusals` looks at the address as it is written, when a merchant gives it; `public_address` looks at the numbers
that its name stands for, each time a connection is made, and the connection goes to exactly the number that was looked
at, so that a name which changes its meaning in between (DNS rebinding) gains nothing. Redirects are not followed.

Hosts are refused in every spelling that some library reads as a number (decimal, octal, hexadecimal, short, full-width)
rather than translated: an address of the internet is written in one way.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import SplitResult, urlsplit

URL_MAX: Final = 2_000

# IANA's special-purpose registries (RFC 6890 and what followed it), multicast, and what clouds answer on themselves.
_CLOSED_V4: Final = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT; 100.100.100.200 is a cloud's metadata
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # a cloud's own services, on a public number
        "169.254.0.0/16",  # link-local; 169.254.169.254 is metadata
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments; 192.0.0.192 is metadata
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
_GLOBAL_V6: Final = ipaddress.IPv6Network("2000::/3")  # IPv4-mapped, NAT64, unique-local, link-local are outside
_CLOSED_V6: Final = tuple(
    ipaddress.IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments: Teredo, ORCHID, benchmarks
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: an IPv4 address in disguise
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
)
_NAMES_CLOSED: Final = (
    "localhost",
    "local",
    "internal",
    "intranet",
    "lan",
    "home",
    "corp",
    "private",
    "arpa",
    "test",
    "example",
    "invalid",
    "onion",
)
_LABEL: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER: Final = re.compile(r"\d+|0x[0-9a-f]*")  # what a URL parser takes for the end of an IPv4 address (WHATWG)
_WRITTEN: Final = re.compile(r"[\x21-\x7e]+")
_PORTS_BELOW_1024: Final = frozenset({80, 443})
# Ports above 1023 where something listens that is no web server; browsers refuse many of them too.
_PORTS_CLOSED: Final = frozenset(
    {1080, 1433, 1521, 1719, 1720, 1723, 2049, 2375, 2376, 2379, 2380, 3306, 3389, 3659, 4045, 4190, 5060, 5061, 5432}
    | {5672, 5900, 5984, 5985, 5986, 6000, 6379, 6443, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 9042, 9092}
    | {9200, 9300, 10080, 10250, 11211, 15672, 26379, 27017, 50070}
)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Closed(Exception):
    """An address that no webhook goes to."""


def refusals(url: str, *, live: bool, loopback: bool) -> Iterator[tuple[str, str]]:
    """What is wrong with an address as it is written: code and detail. `loopback`: this machine may be named."""
    if not url or len(url) > URL_MAX or not _WRITTEN.fullmatch(url) or "\\" in url:
        yield "invalid_url", f"an address of at most {URL_MAX} printable ASCII characters; names in their xn-- form"
        return
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError:
        yield "invalid_url", "this is not a URL"
        return
    if parts.scheme not in ("http", "https") or not url.lower().startswith(f"{parts.scheme}://"):
        yield "invalid_scheme", "https:// (or http:// in test mode)"
        return
    here = loopback and not live and host is not None and names_loopback(host)
    if live and parts.scheme != "https":
        yield "https_needed", "live events go out by https:// only"
    if "@" in parts.netloc or parts.fragment or url.endswith("#"):
        yield "invalid_url", "without user, password or fragment"
    if host is None or not host or "%" in host:
        yield "invalid_host", "this names no host"
    elif not here:
        yield from _host_refusals(host, parts)
    if parts.netloc.endswith(":") or (port is not None and not _port_open(port, here)):
        yield "port_not_allowed", "80, 443, or one from 1024 on that is not known for something else than the web"


def names_loopback(host: str) -> bool:
    """Whether a host as it is written is this machine: `localhost`, or a loopback address in its usual spelling."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _host_refusals(host: str, parts: SplitResult) -> Iterator[tuple[str, str]]:
    labels = host.split(".")
    if parts.netloc.startswith("[") or ":" in host or _NUMBER.fullmatch(labels[-1] or "0"):
        try:
            refusal = closed(ipaddress.ip_address(host))
        except ValueError:
            yield "invalid_host", "a number that names a host is an IPv4 address in four decimal parts, or [IPv6]"
            return
        if refusal is not None:
            yield "address_not_allowed", refusal
    elif len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        yield "invalid_host", "this is no name of a host"
    elif len(labels) == 1 or labels[-1] in _NAMES_CLOSED:
        yield "address_not_allowed", "a name of the public internet is needed"


def _port_open(port: int, here: bool) -> bool:
    return port in _PORTS_BELOW_1024 or (port >= 1024 and (here or port not in _PORTS_CLOSED))


def closed(address: Address) -> str | None:
    """Why no webhook goes to this number, or None."""
    if isinstance(address, ipaddress.IPv4Address):
        ok = not any(address in network for network in _CLOSED_V4) and address.is_global
    else:
        ok = (
            address in _GLOBAL_V6
            and not any(address in network for network in _CLOSED_V6)
            and address.scope_id is None
            and address.is_global
        )
    return None if ok else "the address is private, local or reserved: a public one is needed"


def public_address(text: str, *, loopback: bool) -> None:
    """Raises Closed unless this number may be connected to. `loopback`: only this machine may be."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise Closed("the name leads to no address") from None
    if loopback:
        if not address.is_loopback:
            raise Closed("the name leads elsewhere than to this machine")
    elif (refusal := closed(address)) is not None:
        raise Closed(refusal)
