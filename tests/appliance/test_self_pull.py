"""The self-pull against a tiny box whose every layer can be broken."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance import self_pull as pulling
from appliance.certs import open_authority
from appliance.self_pull import SelfPull, SelfPullError
from tests.appliance.tinybox import COLLAPSED, LOOPBACK, NAME, TinyBox


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
    monkeypatch.setattr(pulling, "LEAD_SECONDS_MAX", 60.0)
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
    monkeypatch.setattr(pulling, "PULLS_MAX", 3)
    box.statuses = [COLLAPSED] * 100
    assert (await blamed(box.self_pull()))[0] == "index"
    assert box.manifests_served == 4


@pytest.mark.parametrize("status", [200, 403, 503])
async def test_a_blob_that_does_not_leave_over_tls_is_named(box: TinyBox, status: int) -> None:
    box.sealed_status = status
    assert await blamed(box.self_pull()) == ("pump", f"answered {status} where 206 is due")


async def test_a_range_over_tls_that_is_short_is_named(box: TinyBox) -> None:
    box.sealed = b"short"
    assert await blamed(box.self_pull()) == ("pump", "5 bytes came of 64")


async def test_where_no_blob_can_leave_over_tls_none_is_asked_for(box: TinyBox) -> None:
    box.blob_host, box.sealed_status = "", 503
    assert await box.self_pull().run()
    assert box.self_pull().parts == ("dns", "proxy", "web", "index")
