"""`make screenshots`: what docs/ shows of the page, taken anew from a demo in a real browser."""

import asyncio
import io
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from appliance.control import BoxRefusesError, wish_of_box
from appliance.demo.showing import Showing, show
from appliance.demo.stage import Stage
from tests.fakes.browser import BROWSER, Tab, browse
from tests.programs import program

PLACE = Path(__file__).parents[2] / "docs" / "screenshots"
COLOURS = 128  # Of the page's few, with the edges of its letters.
MODELS_BYTES = 600_000_000
LINE_BYTES_PER_SECOND = 12_000_000
WATCHED_SECONDS = 75.0  # Until the last two minutes look like something.
BUSY = (  # Several pull, somebody from the Internet, and most of the models are there.
    "document.querySelector('#pulls .internet')"
    " && document.querySelectorAll('#pulls li').length > 1"
    " && document.querySelectorAll('#held tbody tr').length > 3"
)


@dataclass(frozen=True, slots=True)
class Shot:
    """A window on the page; `top` is the element that it begins with, "" for the page's top."""

    name: str
    width: int
    height: int
    scheme: str
    top: str = ""


SHOTS = (
    Shot("page", 1440, 1040, "dark"),
    Shot("phone", 390, 844, "light", "#now"),
    Shot("connect", 1440, 760, "light", "#connect"),
)


async def main() -> None:
    """Have a demo run for a while, and look at it."""
    browser = program(BROWSER)
    PLACE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="box-") as directory:
        async with (
            demo(Path(directory)) as url,
            browse(browser, Path(directory, "profile")) as tab,
        ):
            await asyncio.sleep(WATCHED_SECONDS)
            await tab.open(url)
            for shot in SHOTS:
                content = shrink(await take(tab, shot))
                (PLACE / f"{shot.name}.png").write_bytes(content)
                sys.stdout.write(f"{shot.name}: {len(content)} bytes\n")


@asynccontextmanager
async def demo(directory: Path) -> AsyncIterator[str]:
    """The URL of a box on which machines pull again and again."""
    opened: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def note(stage: Stage) -> None:
        opened.set_result(f"{stage.box.web_url}/")

    showing = Showing(MODELS_BYTES, LINE_BYTES_PER_SECOND, {}, forget)
    task = asyncio.create_task(show(directory, showing, time.time, print, note))
    try:
        yield await opened
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def forget(state_dir: Path, model: str) -> None:
    """Have the box let go of a model, unless it is in use."""
    with suppress(BoxRefusesError):
        await wish_of_box(state_dir, "rm", {"model": model})


async def take(tab: Tab, shot: Shot) -> bytes:
    """The window, once something goes on in it."""
    await tab.resize(shot.width, shot.height, scheme=shot.scheme)
    script = f"document.querySelector('{shot.top}').closest('section').scrollIntoView()"
    await tab.evaluate(script if shot.top else "scrollTo(0, 0)")
    with suppress(TimeoutError):
        await tab.until(BUSY)
    return await tab.look(shot.width, shot.height, scheme=shot.scheme)


def shrink(content: bytes) -> bytes:
    """The same picture with a palette."""
    picture = Image.open(io.BytesIO(content)).convert("RGB")
    small = io.BytesIO()
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    return small.getvalue()


if __name__ == "__main__":
    asyncio.run(main())
