"""Which hosts media may be fetched from, and the public addresses of those."""

from __future__ import annotations

import ipaddress
import socket

from mmmodal.errors import MediaError

__all__ = ["Hosts", "address_of", "allows"]

Hosts = bool | tuple[str, ...]
"""None; all public hosts by https; or names of hosts (`a.org`, `*.a.org`), and origins such as
`http://10.0.0.5:8080`. What is named whole may have a private address."""

SITES = ipaddress.ip_network("2000::/3")
TUNNELS = ipaddress.ip_network("2002::/16")


def allows(hosts: Hosts, scheme: str, host: str, port: int | None) -> bool:
    """Return whether media may be fetched from a host."""
    if f"{scheme}://{host}{f':{port}' if port else ''}" in _names(hosts):
        return True
    if scheme != "https" or port is not None:
        return False
    if hosts is True:
        return True
    wild = [name.removeprefix("*") for name in _names(hosts) if name.startswith("*.")]
    return host in _names(hosts) or any(host.endswith(suffix) for suffix in wild)


def address_of(hosts: Hosts, scheme: str, host: str, port: int | None, origin: str) -> str:
    """Return the address of a host to connect to, so that no other is looked up later.

    Raises:
        MediaError: the host is unknown, or has an address that is not public.
    """
    try:
        found = socket.getaddrinfo(host, port or 443, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        reason = f"the host {host!r:.80} is not known; check the URL and the network"
        raise MediaError("unreadable", origin, reason) from None
    addresses = [str(entry[4][0]) for entry in found]
    named = {host, f"{scheme}://{host}{f':{port}' if port else ''}"} & set(_names(hosts))
    if not named and not all(map(_is_public, addresses)):
        reason = (
            f"the host {host!r:.80} has a private address, from which nothing is fetched; name "
            "the host in `limits.web` if you trust it"
        )
        raise MediaError("scheme", origin, reason)
    return addresses[0]


def _names(hosts: Hosts) -> tuple[str, ...]:
    return () if isinstance(hosts, bool) else hosts


def _is_public(text: str) -> bool:
    address = ipaddress.ip_address(text.partition("%")[0])
    if address.version == 6 and (address not in SITES or address in TUNNELS):
        return False  # also an IPv4 address within an IPv6 one
    return address.is_global and not address.is_multicast
