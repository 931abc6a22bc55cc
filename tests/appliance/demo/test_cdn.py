"""The CDN: a valid URL and nothing else opens it."""

from yarl import URL

from appliance.demo.models import DemoModel
from appliance.demo.outside import Outside
from tests.appliance.demo.conftest import Asking


def signed(plain: Outside, model: DemoModel) -> str:
    return plain.presigner.sign(plain.cdn.authority, model.blobs[0].digest)


async def test_a_re_encoded_url_is_refused(ask: Asking, plain: Outside, model: DemoModel) -> None:
    target = signed(plain, model)
    assert (await ask(plain.cdn, target)).status == 200
    answer = await ask(plain.cdn, str(URL(target)))
    assert (answer.status, answer.content_type) == (403, "application/xml")
    assert b"SignatureDoesNotMatch" in await answer.read()


async def test_an_expired_url_is_refused(ask: Asking, plain: Outside, model: DemoModel) -> None:
    target = signed(plain, model)
    plain.presigner.expire_now()
    answer = await ask(plain.cdn, target)
    assert (answer.status, b"ExpiredRequest" in await answer.read()) == (403, True)


async def test_no_signature_no_blob(ask: Asking, plain: Outside) -> None:
    assert (await ask(plain.cdn, "/")).status == 403
    assert (await ask(plain.cdn, "/", "PUT")).status == 405


async def test_it_fails_on_request(ask: Asking, plain: Outside, model: DemoModel) -> None:
    plain.faults.cdn_status = 503
    assert (await ask(plain.cdn, signed(plain, model))).status == 503
    plain.faults.is_portal = True
    assert (await ask(plain.cdn, "/")).content_type == "text/html"


async def test_it_says_when_to_come_again(ask: Asking, plain: Outside, model: DemoModel) -> None:
    plain.faults.cdn_status, plain.faults.retry_after_seconds = 429, 7
    answer = await ask(plain.cdn, signed(plain, model))
    assert (answer.status, answer.headers["Retry-After"]) == (429, "7")


async def test_an_unknown_blob_is_404(ask: Asking, plain: Outside, model: DemoModel) -> None:
    target = signed(plain, model)
    plain.shelf.blobs.clear()
    assert (await ask(plain.cdn, target)).status == 404
