"""A route of the side server: what it is, what it answers, and who may ask.

The table of them (app.py) is all there is: what serves, what the permission test goes through, and
what the API's description is made from.
"""

from dataclasses import dataclass

from aiohttp.typedefs import Handler

from appliance.policy.roles import Role


@dataclass(frozen=True, slots=True)
class Route:
    """`method` is "*" for any; GET answers HEAD too. `path` is a pattern of aiohttp's."""

    method: str
    path: str
    handler: Handler
    doc: str
    needs: Role = Role.ANYONE
    is_for_programs: bool = False  # Who names no Origin, as no browser does, may ask for a change.

    @property
    def is_safe(self) -> bool:
        """Whether asking changes nothing (RFC 9110 §9.2.1). What takes any method refuses most."""
        return self.method in ("GET", "*")
