"""How mitmproxy's hooks reach our addons: each only those that listen to it.

mitmproxy asks every addon at every hook whether it listens, then tells all of them that the flow
may have changed, and turns every line of the log into a hook as well. That is for addons that come
and go and for a user interface; here they are a handful that stay, and each manifest would pay for
all that asking.
"""

import inspect
import logging
from collections.abc import Callable
from typing import Any

from mitmproxy import hooks
from mitmproxy.addonmanager import AddonManager
from mitmproxy.exceptions import AddonHalt
from mitmproxy.log import LegacyLogEvents
from mitmproxy.master import Master

_log = logging.getLogger("https")


class Listeners(AddonManager):
    """The addons of a master, in order; remembers for each hook which of them listen."""

    def __init__(self, master: Master) -> None:
        super().__init__(master)
        self._found: dict[str, tuple[Callable[..., Any], ...]] = {}

    def register(self, addon: Any) -> Any:
        self._found.clear()
        return super().register(addon)

    def remove(self, addon: Any) -> None:
        self._found.clear()
        super().remove(addon)

    async def trigger_event(self, event: hooks.Hook) -> None:
        """Call each listener in turn. One that fails is logged, and the next is called."""
        for listener in self._find(event):
            try:
                result = listener(*event.args())
                if inspect.isawaitable(result):
                    await result
            except AddonHalt:
                return
            except Exception:  # noqa: BLE001  # An addon's, whatever it is.
                _log.exception("%s failed", getattr(listener, "__qualname__", event.name))

    def _find(self, event: hooks.Hook) -> tuple[Callable[..., Any], ...]:
        found = self._found.get(event.name)
        if found is None:
            listening = (each for addon in self.chain for each in self._iter_hooks(addon, event))
            found = self._found[event.name] = tuple(listener for _, listener in listening)
        return found


def listen(master: Master) -> None:
    """Give `master`, which has no addons yet, listeners, and take its hook for log lines away."""
    assert not len(master.addons), "addons come after this"
    master.addons = Listeners(master)
    for handler in list(logging.getLogger().handlers):
        if isinstance(handler, LegacyLogEvents) and handler.master is master:
            handler.uninstall()
