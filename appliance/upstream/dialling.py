"""How the box reaches the Internet: one aiohttp session whose every address is checked first.

Theory of operation. Names are looked up past our own DNS answers and every address is checked
before it is dialled, and the checked address is the one dialled: a name that resolves to the LAN,
or to the box itself, is refused however a redirect came by it. aiohttp does not resolve URLs
that hold an address instead of a name, so those are checked by `check_url`. An office's own proxy
is the exception: the operator named it, so the system may resolve it, and it resolves the other
names; but an address in a URL is checked also there.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.helpers import is_ip_address
from yarl import URL

from appliance.policy.addresses import parse_address
from appliance.upstream.source import OriginMisbehavedError

CONNECT_SECONDS = 10.0  # A handshake across the world takes one; past ten nobody answers.
READ_SECONDS = 10.0  # Between two chunks. Then the rest is asked for anew, before clients do.
# TLS objects are read into 256 KiB that are cut down to what came, 16 KiB. For so much glibc maps
# and unmaps pages, at a fault for each, until a larger block was freed once: then its heap serves.
FREED_ONCE_BYTES = 8 * 1024 * 1024
READ_BUFFER_BYTES = 256 * 1024  # What arrives while the last is written; sixteen are 4 MiB.

PATIENT = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS)

type Resolve = Callable[[str], Awaitable[tuple[str, ...]]]


class CheckedResolver(AbstractResolver):
    """aiohttp's resolver interface over ours."""

    def __init__(self, resolve: Resolve, *, unchecked_host: str | None) -> None:
        self._resolve = resolve
        self._unchecked_host = unchecked_host

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        if host == self._unchecked_host:
            found = await asyncio.get_running_loop().getaddrinfo(
                host, port, type=socket.SOCK_STREAM
            )
            addresses = tuple(str(each[4][0]) for each in found)
        else:
            addresses = await self._resolve(host)
        return [_result(host, address, port) for address in addresses]

    async def close(self) -> None:
        """Nothing is held open."""


def _result(host: str, address: str, port: int) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return ResolveResult(
        hostname=host, host=address, port=port, family=family, proto=0, flags=socket.AI_NUMERICHOST
    )


@dataclass(frozen=True, slots=True)
class Dialling:
    """How to dial: `ca_file` holds the trusted roots (PEM), `proxy` the office's own or None."""

    resolve: Resolve
    ca_file: str
    proxy: str | None = None

    def open_session(self) -> aiohttp.ClientSession:
        """A session without cookies, decompression or total timeout. The caller closes it."""
        bytearray(FREED_ONCE_BYTES)
        proxy_host = URL(self.proxy).host if self.proxy else None
        connector = aiohttp.TCPConnector(
            resolver=CheckedResolver(self.resolve, unchecked_host=proxy_host),
            use_dns_cache=False,  # Ours keeps to the records' own lifetimes.
            limit=0,  # Fills and pulls bound themselves.
            ssl=ssl.create_default_context(cafile=self.ca_file),
        )
        return aiohttp.ClientSession(
            connector=connector,
            timeout=PATIENT,
            proxy=self.proxy,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            read_bufsize=READ_BUFFER_BYTES,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
        )

    async def check_url(self, url: URL, *, secure: bool) -> None:
        """Refuse a URL that may not be dialled.

        `secure`: only https is acceptable.

        Raises:
            OriginMisbehavedError: another scheme, no host, a user's name, a numeral that only some
                take for an address.
            AddressRefusedError: an address that `resolve` refuses.
        """
        if url.scheme not in (("https",) if secure else ("http", "https")) or not url.host:
            raise OriginMisbehavedError(f"the origin redirects to {url.scheme}: no such thing here")
        if url.raw_user is not None or url.raw_password is not None:
            raise OriginMisbehavedError("the origin redirects to a URL with a user's name in it")
        if is_ip_address(url.host):
            _check_canonical(url.host)
            await self.resolve(url.host)


def join_location(url: URL, location: str) -> URL:
    """The URL that a `Location` field in the answer of `url` means, byte for byte.

    Raises:
        OriginMisbehavedError: it is no URL.
    """
    try:
        target = url.join(URL(location, encoded=True))
        if (target.host or "").encode("idna") and target.port:
            return target
    except ValueError:
        pass
    raise OriginMisbehavedError("the origin redirects to what is no URL of a server")


def _check_canonical(host: str) -> None:
    try:
        parse_address(host)
    except ValueError:
        raise OriginMisbehavedError(f"{host} is not how an address is written") from None
