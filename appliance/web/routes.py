"""A route of the side server: what it is, what it answers, and who may ask.

The table of them (app.py) is all there is: what serves, what the permission test goes through, and
what the API's description is made from (openapi.py).
"""

from dataclasses import dataclass

from aiohttp.typedefs import Handler

from appliance.policy.roles import Role

JSON, TEXT, BYTES = "application/json", "text/plain", "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Field:
    """One thing that is said beside the path. `kind` is a type of JSON's."""

    name: str
    doc: str
    kind: str = "string"
    is_needed: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """`method` is "*" for any; GET answers HEAD too. `path` is a pattern of aiohttp's.

    `gives` is the media type of what it answers when all is well, "" where it always refuses;
    `query` and `body` are what may be said, in the target and in a JSON object.
    """

    method: str
    path: str
    handler: Handler
    doc: str
    needs: Role = Role.ANYONE
    is_for_programs: bool = False  # Who names no Origin, as no browser does, may ask for a change.
    gives: str = JSON
    query: tuple[Field, ...] = ()
    body: tuple[Field, ...] = ()

    @property
    def is_safe(self) -> bool:
        """Whether asking changes nothing (RFC 9110 §9.2.1). What takes any method refuses most."""
        return self.method in ("GET", "*")
