"""URLs as a client follows them: split, joined, and never re-encoded."""

import re
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

DEFAULT_PORTS = {"https": 443, "http": 80}

_AUTHORITY = re.compile(r"[^/?#]+")


class WireError(Exception):
    """A request that got no answer. The text is Go's."""

    hint = "check that the box runs, and that its address, ports and CA are the ones given"


@dataclass(frozen=True, slots=True)
class Url:
    """An absolute http or https URL; `target` is kept byte for byte."""

    scheme: str
    authority: str
    target: str

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"

    @property
    def hostname(self) -> str:
        return urlsplit(str(self)).hostname or ""

    @property
    def port(self) -> int | None:
        """The port it names, if it names one."""
        return urlsplit(str(self)).port

    def join(self, location: str) -> "Url":
        """The URL that a Location field means, relative or not. Raises WireError."""
        if location.startswith(("http://", "https://")):
            return parse_url(location)
        return parse_url(urljoin(str(self), location))


def parse_url(text: str) -> Url:
    """Split an absolute URL without touching its parts. Raises WireError."""
    scheme, separator, rest = text.partition("://")
    match = _AUTHORITY.match(rest)
    if not separator or scheme not in DEFAULT_PORTS:
        raise WireError(f'unsupported protocol scheme "{scheme if separator else ""}"')
    if match is None:
        raise WireError("http: no Host in request URL")
    target = rest[match.end() :].partition("#")[0]
    url = Url(scheme, match[0], target if target.startswith("/") else f"/{target}")
    try:
        assert url.port is None or url.port >= 0
    except ValueError as error:
        raise WireError(f'parse "{text}": invalid port') from error
    return url
