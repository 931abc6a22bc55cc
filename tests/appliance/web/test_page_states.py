"""The page in a real browser, in each state a box can be in: nobody is kept out, nothing is wrong.

axe-core looks for what keeps people with a screen reader, a keyboard or weak eyes out; the browser
itself complains of what the page's own policy forbids.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from appliance.policy.health import Check
from appliance.policy.recipes import Recipe
from appliance.policy.roles import Role
from appliance.web.access import COOKIE_NAME
from tests.appliance.web.conftest import Door, OpenDoor
from tests.fakes.browser import BROWSER, Tab, browse
from tests.programs import program, read_axe

pytestmark = [pytest.mark.journey, pytest.mark.timeout(180)]

LAYER = b"a" * 300_000
PARTS = ("dns", "proxy", "web", "connect", "pump", "index", "upstream", "disk", "blobs", "ca")
RECIPE = Recipe("On this box, as root", ("ip address add 203.0.113.10/32 dev lo",), ("undo",))
VIOLATIONS = """
axe.run({resultTypes: ["violations"]})
    .then(({violations}) => violations.map(({id, nodes}) => `${id}: ${nodes[0].html}`))
"""
LOOKS = ((360, "light"), (1920, "dark"))


async def nothing(door: Door) -> None:
    """A box on which nothing has happened yet."""


async def models(door: Door) -> None:
    """Some models, pulled a moment ago."""
    for name in ("llama3.2:3b", "qwen3:4b", "someone/gemma3:1b"):
        door.shop.keep(name, name.encode() + LAYER)
        repository, _, tag = name.rpartition(":")
        repository = repository if "/" in repository else f"library/{repository}"
        assert (await door.ask(f"/v2/{repository}/manifests/{tag}")).status == 200
        await door.ask(door.shop.grant(name, name.encode() + LAYER))
    door.shop.cache.sessions.look()


async def plans(door: Door) -> None:
    """Models, one wished for, and a pause."""
    await models(door)
    await door.shop.cache.background.pause()
    assert door.desk.prefetcher is not None
    await door.desk.prefetcher.prefetch({"model": "later:1b"})


@dataclass(frozen=True)
class State:
    """A box as it is found: which checks fail, what has happened, who looks at it."""

    failed: tuple[str, ...] = ()
    parts: tuple[str, ...] = PARTS
    prepare: Callable[[Door], Awaitable[None]] = models
    role: Role = Role.ANYONE
    target: str = "/"
    facts: Mapping[str, Any] = field(default_factory=dict)


STATES = {
    "starting": State(parts=(), prepare=nothing),
    "empty": State(prepare=nothing),
    "healthy": State(),
    "offline": State(failed=("upstream",)),
    "degraded": State(failed=("disk", "ca")),
    "unhealthy": State(failed=("dns", "proxy")),
    "no blob address": State(failed=("blobs",), facts={"recipes": lambda: (RECIPE,)}),
    "an admin's": State(prepare=plans, role=Role.ADMIN, target="/?done=pause"),
    "deleting": State(role=Role.ADMIN, target="/?delete=qwen3:4b"),
    "refused": State(target="/?trouble=password"),
}


@dataclass
class Watch:
    """Several boxes, one after the other, in one browser."""

    tab: Tab
    open_door: OpenDoor

    @asynccontextmanager
    async def on(self, state: State) -> AsyncIterator[Door]:
        """A box in that state, and the tab on its page, with all that folds open."""
        async with self.open_door(**state.facts) as door:
            door.checks.clear()
            for part in state.parts:
                door.checks[part] = Check(
                    is_ok=part not in state.failed, detail=f"{part}: so it is"
                )
            await state.prepare(door)
            url = f"http://127.0.0.1:{door.port}"
            if state.role is not Role.ANYONE:
                token = door.desk.token(state.role)
                await self.tab.call("Network.setCookie", name=COOKIE_NAME, value=token, url=url)
            await self.tab.open(f"{url}{state.target}")
            await self.tab.evaluate(
                "for (const each of document.querySelectorAll('details')) each.open = true"
            )
            yield door
            await self.tab.open("about:blank")
            await self.tab.call("Network.clearBrowserCookies")


@pytest.fixture
async def watch(tmp_path: Path, open_door: OpenDoor) -> AsyncIterator[Watch]:
    async with AsyncExitStack() as stack:
        tab = await stack.enter_async_context(browse(program(BROWSER), tmp_path / "profile"))
        yield Watch(tab, open_door)


async def find_violations(watch: Watch, state: State, width: int, scheme: str) -> list[str]:
    async with watch.on(state):
        await watch.tab.resize(width, 900, scheme=scheme)
        await watch.tab.evaluate(read_axe())
        found: list[str] = await watch.tab.evaluate(VIOLATIONS)
    return found


async def test_no_state_keeps_anybody_out_and_none_breaks_the_page_s_own_policy(
    watch: Watch,
) -> None:
    """One look at each state; `make slow` looks at each in every way."""
    found = {
        name: await find_violations(watch, state, *LOOKS[number % len(LOOKS)])
        for number, (name, state) in enumerate(STATES.items())
    }
    assert found == {name: [] for name in STATES}, json.dumps(found, indent=1)
    assert watch.tab.complaints == []


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [*LOOKS, (360, "dark"), (1920, "light")])
async def test_no_state_keeps_anybody_out_however_it_is_looked_at(
    watch: Watch, width: int, scheme: str
) -> None:
    found = {
        name: await find_violations(watch, state, width, scheme) for name, state in STATES.items()
    }
    assert found == {name: [] for name in STATES}, json.dumps(found, indent=1)


async def test_no_state_is_wider_than_the_window(watch: Watch) -> None:
    for name, state in STATES.items():
        async with watch.on(state):
            for width in (360, 800, 1920):
                await watch.tab.resize(width, 900, scheme="light")
                assert await watch.tab.evaluate("document.documentElement.scrollWidth") <= width, (
                    name
                )


async def test_a_button_copies_the_lines_beside_it(watch: Watch) -> None:
    """Also where the page has no clipboard of its own, as no page has that came by plain http."""
    async with watch.on(STATES["empty"]):
        await watch.tab.evaluate(
            "addEventListener('copy', () => { window.copied = String(getSelection()); });"
            "Object.defineProperty(navigator, 'clipboard', { value: undefined })"
        )
        count = await watch.tab.evaluate("document.querySelectorAll('pre').length")
        assert count > 40
        for number in range(0, count, 7):
            button = f"document.querySelectorAll('button.copy')[{number}]"
            await watch.tab.evaluate(f"{button}.click()", is_pressed=True)
            lines = await watch.tab.evaluate(
                f"document.querySelectorAll('pre')[{number}].innerText"
            )
            assert await watch.tab.evaluate("window.copied") == lines
            assert await watch.tab.evaluate(f"{button}.textContent") == "Copied"


async def test_the_page_is_whole_where_no_script_runs(watch: Watch) -> None:
    async with watch.on(STATES["healthy"]) as door:
        await watch.tab.call("Emulation.setScriptExecutionDisabled", value=True)
        await watch.tab.open(f"http://127.0.0.1:{door.port}/")
        text = await watch.tab.evaluate("document.body.innerText")
        for words in (
            "healthy",
            "saved today",
            "Nobody pulls",
            "qwen3:4b",
            "ollama pull --insecure",
        ):
            assert words in text
        assert not await watch.tab.evaluate("document.querySelectorAll('button.copy').length")
        assert await watch.tab.evaluate("document.getElementById('pulse').hidden")
        await watch.tab.call("Emulation.setScriptExecutionDisabled", value=False)


async def test_everything_that_can_be_done_is_reached_by_the_keyboard(watch: Watch) -> None:
    """Tab after tab, focus goes through every link, button and field, and is seen where it is."""
    async with watch.on(STATES["an admin's"]):
        wanted = await watch.tab.evaluate(
            "document.querySelectorAll('a[href], button, input:not([type=hidden]), summary,"
            " [tabindex]').length"
        )
        seen: set[int] = set()
        mark = (
            "(() => { const each = document.activeElement; each.dataset.step ??= %d;"
            " return [Number(each.dataset.step), getComputedStyle(each).outlineStyle]; })()"
        )
        for step in range(wanted):
            for kind in ("keyDown", "keyUp"):
                await watch.tab.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab")
            place, outline = await watch.tab.evaluate(mark % step)
            seen.add(place)
            assert outline != "none"
        assert len(seen) == wanted
