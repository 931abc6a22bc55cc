"""The self-pull against a tiny box whose every layer can be broken, and what is made of it."""

import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web

from appliance import health
from appliance.certs import Authority, open_authority
from appliance.health import Checkup, SelfPull, SelfPullError
from appliance.policy.health import Check, Status, judge_health
from appliance.protocol.manifest import MANIFEST_TYPE
from appliance.upstream.builtin import BUILTIN, BuiltinSource

NAME = "registry.ollama.ai"
HIT, COLLAPSED = "ollama-appliance; hit", "ollama-appliance; fwd=uri-miss; collapsed"
LOOPBACK = "127.0.0.1"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    directory = tmp_path_factory.mktemp("health") / "ca"
    return open_authority(directory, (NAME,), now=datetime.now(UTC))


class TinyBox:
    """Two real doors on loopback that serve the built-in model; the rest is for tests to break."""

    def __init__(self, authority: Authority) -> None:
        own = BuiltinSource()
        self.manifest = own.manifest
        self.blobs = {f"sha256:{each.encoded}": own._blobs[each] for each in own.digests}
        self.statuses: list[str] = []
        self.manifest_status, self.part_status = 200, 206
        self.location = "http://{host}:{port}/blobs/{digest}"
        self.answers: list[tuple[str, ...] | OSError] = [(LOOPBACK,)]
        self.manifests_served = 0
        self.web_runner = self._runner(web.get("/blobs/{digest}", self._part))
        self.tls_runner = self._runner(
            web.get(f"/v2/{BUILTIN.repository}/manifests/latest", self._manifest),
            web.get(f"/v2/{BUILTIN.repository}/blobs/{{digest}}", self._blob),
        )
        self.tls_port = self.web_port = 0
        self._authority = authority

    async def start(self, directory: Path) -> None:
        pem = directory / "leaf.pem"
        pem.write_bytes(self._authority.issue((NAME,), now=datetime.now(UTC)).pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        self.web_port = await self._listen(self.web_runner, None)
        self.tls_port = await self._listen(self.tls_runner, context)

    async def stop(self) -> None:
        await self.tls_runner.cleanup()
        await self.web_runner.cleanup()

    def self_pull(self, ca_pem: str | None = None) -> SelfPull:
        return SelfPull(
            reference=BUILTIN,
            name=NAME,
            tls_port=self.tls_port,
            ca_pem=ca_pem or self._authority.certificate_pem.decode(),
            ask=self._ask,
            own=lambda: {LOOPBACK},
            address=LOOPBACK,
            user_agent="self-check",
        )

    async def _ask(self) -> tuple[str, ...]:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, OSError):
            raise answer
        return answer

    async def _manifest(self, _: web.Request) -> web.Response:
        self.manifests_served += 1
        return web.Response(
            status=self.manifest_status, body=self.manifest, content_type=MANIFEST_TYPE
        )

    async def _blob(self, request: web.Request) -> web.Response:
        location = self.location.format(
            host=LOOPBACK, port=self.web_port, digest=request.match_info["digest"]
        )
        return web.Response(status=307, headers={"Location": location})

    async def _part(self, request: web.Request) -> web.Response:
        content = self.blobs[request.match_info["digest"]][request.http_range]
        status = self.statuses.pop(0) if self.statuses else HIT
        headers = {"Cache-Status": status, "Location": "/elsewhere"}
        return web.Response(status=self.part_status, body=content, headers=headers)

    def _runner(self, *routes: web.RouteDef) -> web.AppRunner:
        app = web.Application()
        app.add_routes(routes)
        return web.AppRunner(app, access_log=None)

    async def _listen(self, runner: web.AppRunner, context: ssl.SSLContext | None) -> int:
        await runner.setup()
        await web.TCPSite(runner, LOOPBACK, 0, ssl_context=context).start()
        port: int = runner.addresses[0][1]
        return port


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "LEAD_SECONDS_MAX", -1.0)
    monkeypatch.setattr(health, "LEAD_AGAIN_SECONDS", 0.0)
    monkeypatch.setattr(health, "PULL_AGAIN_SECONDS", 0.0)


@pytest.fixture
async def box(authority: Authority, tmp_path: Path) -> AsyncIterator[TinyBox]:
    box = TinyBox(authority)
    await box.start(tmp_path)
    yield box
    await box.stop()


async def blamed(pull: SelfPull) -> tuple[str, str]:
    """The part that is named, and the sentence."""
    with pytest.raises(SelfPullError) as caught:
        await pull.run()
    return caught.value.part, str(caught.value)


async def test_a_sound_box_is_pulled_from_twice(box: TinyBox) -> None:
    told = await box.self_pull().run()
    assert told.startswith("pulled ollama-appliance/self-check:latest (65590 bytes) through DNS")
    assert told.endswith("at 127.0.0.1")
    assert box.manifests_served == 2


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (OSError("nobody listens"), "does not answer: nobody listens"),
        (TimeoutError(), "does not answer: it is silent"),
        ((), "no address for registry.ollama.ai: set box.address"),
        (("104.21.75.227",), "leads to 104.21.75.227, which is not this box"),
    ],
)
async def test_dns_that_does_not_lead_here_is_named(
    box: TinyBox, answer: tuple[str, ...] | OSError, told: str
) -> None:
    box.answers = [answer]
    part, sentence = await blamed(box.self_pull())
    assert (part, told in sentence) == ("dns", True)
    assert box.manifests_served == 0


async def test_dns_is_given_time_to_learn_that_the_box_is_well(
    box: TinyBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "LEAD_SECONDS_MAX", 60.0)
    box.answers = [("104.21.75.227",), (), OSError("not yet"), (LOOPBACK,)]
    assert await box.self_pull().run()


async def test_a_closed_https_door_is_named(box: TinyBox) -> None:
    pull = box.self_pull()
    await box.tls_runner.cleanup()
    part, sentence = await blamed(pull)
    assert (part, "our https does not serve" in sentence) == ("proxy", True)


async def test_a_door_that_refuses_tls_is_named(box: TinyBox) -> None:
    box.tls_port = box.web_port  # It answers in the clear.
    assert (await blamed(box.self_pull()))[0] == "proxy"


async def test_a_certificate_of_another_ca_is_named(box: TinyBox, tmp_path: Path) -> None:
    other = open_authority(tmp_path / "other", (NAME,), now=datetime.now(UTC))
    part, sentence = await blamed(box.self_pull(other.certificate_pem.decode()))
    assert (part, "certificate" in sentence.lower()) == ("proxy", True)


async def test_a_door_that_answers_otherwise_is_named(box: TinyBox) -> None:
    box.manifest_status = 503
    assert await blamed(box.self_pull()) == ("proxy", "answered 503 where 200 is due")


@pytest.mark.parametrize("location", ["https://{host}:{port}/", "/blobs/{digest}", ""])
async def test_a_location_that_is_no_plain_url_is_named(box: TinyBox, location: str) -> None:
    box.location = location
    part, sentence = await blamed(box.self_pull())
    assert (part, "Location" in sentence) == ("web", True)


async def test_a_closed_web_door_is_named(box: TinyBox) -> None:
    await box.web_runner.cleanup()
    part, sentence = await blamed(box.self_pull())
    assert (part, "our http does not serve" in sentence) == ("web", True)


@pytest.mark.parametrize("status", [200, 302, 403, 503])
async def test_a_web_door_that_answers_otherwise_is_named(box: TinyBox, status: int) -> None:
    box.part_status = status
    assert await blamed(box.self_pull()) == ("web", f"answered {status} where 206 is due")


@pytest.mark.parametrize("manifest", [b"<html>", b'{"schemaVersion": 2, "layers": [{}]}'])
async def test_a_damaged_manifest_is_named(box: TinyBox, manifest: bytes) -> None:
    box.manifest = manifest
    assert (await blamed(box.self_pull()))[0] == "index"


async def test_wrong_bytes_are_named(box: TinyBox) -> None:
    box.blobs = {name: b"\0" + content[1:] for name, content in box.blobs.items()}
    part, sentence = await blamed(box.self_pull())
    assert (part, "other bytes" in sentence) == ("index", True)


async def test_a_second_pull_that_is_no_hit_is_named(box: TinyBox) -> None:
    box.statuses = ["ollama-appliance; fwd=uri-miss; stored"] * 8
    part, sentence = await blamed(box.self_pull())
    assert (part, "not served from here" in sentence) == ("index", True)


async def test_a_commit_on_a_slow_disk_is_waited_for(box: TinyBox) -> None:
    box.statuses = [COLLAPSED] * 4 * 4
    assert await box.self_pull().run()
    assert box.manifests_served == 5


async def test_but_not_for_ever(box: TinyBox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "PULLS_MAX", 3)
    box.statuses = [COLLAPSED] * 100
    assert (await blamed(box.self_pull()))[0] == "index"
    assert box.manifests_served == 4


# What a Checkup makes of it.


def look_well() -> Check:
    return Check(is_ok=True, detail="fine")


def statuses(checkup: Checkup) -> dict[str, bool]:
    return {name: each.is_ok for name, each in checkup.checks().items()}


async def test_before_it_was_checked_nothing_is_healthy(box: TinyBox) -> None:
    checkup = Checkup(box.self_pull(), {"disk": look_well})
    assert judge_health(checkup.checks()) is Status.UNHEALTHY
    assert statuses(checkup) == {
        "dns": False, "proxy": False, "web": False, "index": False, "disk": True,
    }  # fmt: skip
    assert not checkup.is_sound


async def test_a_sound_box_is_healthy(box: TinyBox) -> None:
    checkup = Checkup(box.self_pull(), {"disk": look_well})
    check = await checkup.run()
    assert (check.is_ok, check.detail[:6]) == (True, "pulled")
    assert judge_health(checkup.checks()) is Status.HEALTHY
    assert checkup.is_sound


async def test_the_broken_part_is_told_with_those_before_it(box: TinyBox) -> None:
    checkup = Checkup(box.self_pull(), {})
    await checkup.run()
    await box.web_runner.cleanup()
    check = await checkup.run()
    assert "our http does not serve" in check.detail
    assert statuses(checkup) == {"dns": True, "proxy": True, "web": False}
    assert not checkup.is_sound


async def test_a_broken_box_finds_itself_mended_though_dns_leads_away(box: TinyBox) -> None:
    """DNS gives the true registry's address until the box is known to be sound."""
    checkup = Checkup(box.self_pull(), {})

    async def ask_what_the_last_beat_said() -> tuple[str, ...]:
        return (LOOPBACK,) if checkup.is_sound else ("104.21.75.227",)

    box._ask = ask_what_the_last_beat_said  # type: ignore[method-assign]
    checkup.self_pull = box.self_pull()
    assert (await checkup.run()).is_ok
    box.manifest_status = 503
    assert not (await checkup.run()).is_ok
    assert not (await checkup.run()).is_ok
    assert statuses(checkup) == {"proxy": False}  # DNS was not asked.
    box.manifest_status = 200
    assert (await checkup.run()).is_ok
    assert judge_health(checkup.checks()) is Status.HEALTHY


async def test_dns_that_is_broken_alone_leaves_the_box_sound(box: TinyBox) -> None:
    box.answers = [OSError("gone")]
    checkup = Checkup(box.self_pull(), {})
    assert not (await checkup.run()).is_ok
    assert checkup.is_sound
    assert judge_health(checkup.checks()) is Status.UNHEALTHY
    box.answers = [(LOOPBACK,)]
    assert (await checkup.run()).is_ok


async def test_looks_are_made_when_asked(box: TinyBox) -> None:
    found = [Check(is_ok=False, detail="full"), look_well()]
    checkup = Checkup(box.self_pull(), {"disk": lambda: found.pop()})
    assert checkup.checks()["disk"].is_ok
    assert checkup.checks()["disk"].detail == "full"
