"""The page in a real browser: live while a client pulls, obedient to its own policy, of use."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appliance.demo.client import Client
from appliance.demo.models import write_model
from appliance.demo.stage import Stage
from tests.fakes.browser import BROWSER, Tab, browse
from tests.programs import program

HERE = "MAP registry.ollama.ai 127.0.0.1"
MODEL_BYTES = 20_000_000
LINE_BYTES_PER_SECOND = 5_000_000  # So that a pull lasts for some of the page's seconds.
PASSWORD = "only of this test"

pytestmark = [
    pytest.mark.journey,
    pytest.mark.timeout(120),  # A browser starts slowly where others use the machine.
]


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    (tmp_path / "origin").mkdir()
    (tmp_path / "password").write_text(PASSWORD)
    settings = {"WEB_ADMIN_PASSWORD_FILE": str(tmp_path / "password"), "CACHE_MIN_FREE": "64MiB"}
    model = await asyncio.to_thread(write_model, tmp_path / "origin", "tiny:1b", [MODEL_BYTES])
    async with Stage(
        tmp_path, time.time, total_bytes_per_second=LINE_BYTES_PER_SECOND, settings=settings
    ) as opened:
        opened.outside.publish(model)
        yield opened


@pytest.fixture
async def tab(stage: Stage, tmp_path: Path) -> AsyncIterator[Tab]:
    options = (f"--host-resolver-rules={HERE}",)
    async with browse(program(BROWSER), tmp_path / "profile", *options) as opened:
        await opened.open(f"{stage.box.web_url}/")
        yield opened


async def text(tab: Tab) -> str:
    return " ".join(str(await tab.evaluate("document.body.innerText")).split())


async def test_a_pull_is_seen_while_it_happens_and_the_model_comes_to_the_list(
    tab: Tab, stage: Stage
) -> None:
    assert "Nobody pulls at the moment." in await text(tab)
    client: Client = stage.client("client")
    pulling = asyncio.create_task(asyncio.to_thread(client.pull, "tiny:1b"))
    await tab.until("document.querySelector('#pulls progress')?.value > 0")
    seen = await text(tab)
    assert "tiny:1b to 127.0.0.1" in seen
    assert "from the Internet" in seen
    assert "Nobody pulls" not in seen
    assert (await pulling).sha256_ok
    await tab.until("!document.querySelector('#pulls li')")
    await tab.until("document.querySelector('#recent output').textContent === 'done'")
    await tab.until("document.querySelector('#held').innerText.includes('all of it')")
    assert "20.0 MB" in await tab.evaluate("document.querySelector('.small').innerText")
    assert tab.complaints == []


async def test_a_browser_that_finds_the_box_by_the_registry_s_name_is_told_so(tab: Tab) -> None:
    await tab.evaluate("document.getElementById('try').click()")
    await tab.until("document.getElementById('verdict').className")
    assert "Yes: this machine finds this box." in await text(tab)
    assert tab.complaints == []


async def test_a_model_is_pinned_and_deleted_by_who_logs_in(tab: Tab, stage: Stage) -> None:
    await asyncio.to_thread(stage.client("client").pull, "tiny:1b")
    await log_in(tab)
    for button, then in (
        ("form[action='/api/v1/pin'] button", "Pinned: it is never let go of."),
        ("form[action='/api/v1/unpin'] button", "Unpinned."),
        ("td .button", "That frees "),
        ("form[action='/api/v1/rm'] button", "Deleted."),
    ):
        await press(tab, button, then)
    assert "Nothing yet." in await text(tab)
    assert tab.complaints == []


async def test_a_model_is_fetched_ahead_of_time_by_who_logs_in_and_a_pause_holds_it_up(
    tab: Tab, stage: Stage
) -> None:
    await log_in(tab)
    await press(tab, "form[action='/api/v1/pause'] button", "Paused: nothing is downloaded")
    await tab.evaluate("document.querySelector('[name=model][required]').value = 'tiny:1b'")
    await press(tab, "form[action='/api/v1/prefetch'] button", "Wished for: it is fetched")
    assert "tiny:1b paused" in await text(tab)
    await press(tab, "form[action='/api/v1/resume'] button", "Resumed.")
    await tab.until("document.querySelector('#background progress')?.value > 0")
    await tab.until("document.querySelector('#held').innerText.includes('all of it')")
    await tab.until("!document.querySelector('#background progress')")
    assert (await asyncio.to_thread(stage.client("client").pull, "tiny:1b")).sha256_ok
    lines = (stage.box.state_directory / "audit.jsonl").read_text("utf-8").splitlines()
    deeds = [json.loads(line)["deed"] for line in lines]
    assert deeds == ["login", "pause", "prefetch", "resume"]
    assert tab.complaints == []


async def log_in(tab: Tab) -> None:
    await tab.evaluate(
        "document.querySelector('[type=password]').value = '" + PASSWORD + "';"
        "document.querySelector('form[action=\"/login\"] button').click()"
    )
    await tab.until("document.body?.innerText.includes('Logged in as admin')")


async def press(tab: Tab, button: str, then: str) -> None:
    """Press a button, and wait for the page that says `then`."""
    await tab.evaluate(f'document.querySelector("{button}").click()')
    await tab.until(f"document.body?.innerText.includes('{then}')")


async def test_nothing_is_wider_than_the_window(tab: Tab) -> None:
    await tab.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    for width, scheme in ((360, "dark"), (800, "light"), (1920, "dark")):
        await tab.look(width, 900, scheme=scheme)
        assert await tab.evaluate("document.documentElement.scrollWidth") <= width
