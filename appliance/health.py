"""Health that cannot lie: what the last self-pull found, and what is looked at beside it.

Theory of operation. While the box is not known to be sound our DNS leads to the true registry, and
would lead the self-pull there too: a box once found broken could never find itself mended. So then
it first pulls by address; if that works the box is sound, DNS is told so at once, and
the pull that counts waits until DNS leads here. A door found closed between two pulls counts at
once. What is not on a pull's way (the disk's space, the origin, the certificate's age) is looked
at whenever somebody asks.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from appliance.policy.health import ESSENTIAL, Check
from appliance.self_pull import SHOWN, SelfPull, SelfPullError


@dataclass
class Checkup:
    """Runs the self-pull and the looks beside it, and remembers what they found.

    `looks` are quick questions by name, each answered by a Check. `closed` tells which doors do not
    open at the moment. `on_sound` is called once the box is found sound, before DNS is asked.
    """

    self_pull: SelfPull
    looks: dict[str, Callable[[], Check]]
    closed: Callable[[], Mapping[str, Check]] = dict
    on_sound: Callable[[], None] = lambda: None
    _is_pullable: bool = field(default=False, init=False)
    _pulled: dict[str, Check] = field(init=False)

    def __post_init__(self) -> None:
        not_yet = Check(is_ok=False, detail="not checked yet")
        self._pulled = dict.fromkeys(self.self_pull.parts, not_yet)

    @property
    def is_sound(self) -> bool:
        """Whether clients may be led here: nothing but DNS itself is known to be broken."""
        return self._is_pullable and not ESSENTIAL & self.closed().keys()

    async def run(self) -> Check:
        """Pull now; the Check of the pull as a whole."""
        parts = reached = self.self_pull.parts
        try:
            if not self.is_sound:
                reached = parts[1:]  # DNS is not asked.
                await self.self_pull.run_at(self.self_pull.address)
                self._is_pullable, reached = True, parts
                self.on_sound()
            told = await self.self_pull.run()
        except SelfPullError as error:
            return self._note(error, reached)
        self._pulled = {part: Check(is_ok=True, detail=SHOWN[part]) for part in parts}
        return Check(is_ok=True, detail=told)

    def _note(self, error: SelfPullError, reached: tuple[str, ...]) -> Check:
        self._is_pullable = self._is_pullable and error.part == "dns"
        broken = Check(is_ok=False, detail=str(error))
        before = reached[: reached.index(error.part)]
        passed = Check(is_ok=True, detail="reached by the self-pull")
        self._pulled = dict.fromkeys(before, passed) | {error.part: broken}
        return broken

    def checks(self) -> dict[str, Check]:
        """What the last self-pull found, what the looks find now, and doors that are closed."""
        looked = {name: look() for name, look in self.looks.items()}
        return self._pulled | looked | dict(self.closed())
