"""What the scripted registry says to those who push."""

import pytest

from appliance.demo.outside import Outside
from appliance.demo.push import UPLOAD_STATE
from tests.appliance.demo.conftest import Asking

UPLOADS = "/v2/someone/own/blobs/uploads/"


@pytest.fixture(autouse=True)
def allowed(plain: Outside) -> None:
    plain.tokens.keys_allowed.add("a key")


async def say(
    plain: Outside, ask: Asking, method: str, target: str, **fields: str
) -> tuple[int, str]:
    token = plain.tokens._token("a key").decode()
    reply = await ask(plain.registry, target, method, Authorization=f"Bearer {token}", **fields)
    return reply.status, reply.headers.get("Location", "")


async def test_an_upload_has_a_url_of_its_own(plain: Outside, ask: Asking) -> None:
    status, location = await say(plain, ask, "POST", UPLOADS)
    assert (status, location) == (202, f"http://registry.ollama.ai{UPLOADS}1?{UPLOAD_STATE}")


async def test_who_can_be_redirected_sends_parts_elsewhere(plain: Outside, ask: Asking) -> None:
    status, location = await say(plain, ask, "PATCH", f"{UPLOADS}1", X_Redirect_Uploads="1")
    assert status == 307
    assert location.startswith(plain.cdn.url)
    assert await say(plain, ask, "PATCH", f"{UPLOADS}1") == (202, "")


async def test_its_end_and_the_manifest_are_created(plain: Outside, ask: Asking) -> None:
    assert (await say(plain, ask, "PUT", f"{UPLOADS}1?digest=x"))[0] == 201
    assert (await say(plain, ask, "DELETE", "/v2/someone/own/manifests/1b"))[0] == 202


async def test_nobody_pushes_without_a_token(plain: Outside, ask: Asking) -> None:
    assert (await ask(plain.registry, UPLOADS, "POST")).status == 401
