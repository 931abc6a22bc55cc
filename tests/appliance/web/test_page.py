"""The page as a browser gets it."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import cast

import pytest

from appliance.policy.addresses import Addresses
from appliance.policy.delivery import Delivery
from appliance.policy.grants import Grant
from appliance.policy.health import Check
from appliance.policy.learning import Subject
from appliance.policy.recipes import Recipe
from appliance.policy.roles import Role
from appliance.protocol.digest import digest_of
from appliance.protocol.reference import Reference, Repository, parse_model_name
from appliance.web.access import COOKIE_NAME
from tests.appliance.web.conftest import Door, OpenDoor
from tests.appliance.web.test_models import ROW
from tests.fakes.registry import NOON

LAYER = b"a" * 1500
HOSTILE = "<script>alert('x')</script>\"&"
PAGE_SIZE_BYTES_MAX = 100_000
VOID = {"meta", "link", "br", "input"}
CHECK = "http://registry.ollama.ai"


class Reading(HTMLParser):
    """A page's text, its references, and whether its elements nest."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: set[str] = set()
        self.ids: set[str] = set()
        self.references: list[str] = []
        self.text = ""
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        told = dict(attrs)
        self.references += [told[name] or "" for name in ("href", "src", "action") if name in told]
        self.ids |= {told["id"] or ""} if "id" in told else set()
        assert tag != "script" or told == {"src": "/box.js", "defer": None}
        assert not [name for name, _ in attrs if name.startswith("on") or name == "style"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


async def read(door: Door) -> Reading:
    answer = await door.ask("/")
    assert answer.status == 200
    assert len(answer.body) <= PAGE_SIZE_BYTES_MAX
    return Reading(answer.body.decode())


async def test_an_empty_box_has_its_page(door: Door) -> None:
    page = await read(door)
    assert "Nothing yet" in page.text
    assert f"http://127.0.0.1:{door.port}/ca.pem" in page.text
    assert "AB:CD" in page.text


async def test_the_page_takes_nothing_from_elsewhere(door: Door) -> None:
    answer = await door.ask("/")
    policy = answer.fields["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    page = Reading(answer.body.decode())
    assert "script-src 'self';" in policy
    assert page.names & {"iframe", "img", "object", "style", "base"} == set()
    inside = [each for each in page.references if each.startswith("#")]
    assert {each.removeprefix("#") for each in inside} <= page.ids
    (elsewhere,) = {each for each in page.references if each[0] not in "/#"}
    assert elsewhere == f"{CHECK}:{door.port}/check"
    for target in {each for each in page.references if each[0] == "/"} - {"/login"}:
        assert not target.startswith("//")
        assert (await door.ask(target)).status == 200


async def test_page_style_and_script_are_small_together(door: Door) -> None:
    sizes = [len((await door.ask(each)).body) for each in ("/", "/box.css", "/box.js", "/icon.svg")]
    assert sum(sizes) <= PAGE_SIZE_BYTES_MAX


async def test_the_page_tells_what_was_learnt(door: Door) -> None:
    assert "What it learnt" not in (await read(door)).text
    learning = door.shop.cache.books.learning
    for number, delivery in enumerate((Delivery.TLS, Delivery.LOCATION, Delivery.REDIRECT)):
        subject = Subject(f"192.168.1.{number}", (0, 36, 0) if number else None, delivery)
        grant = Grant(digest_of(LAYER), Repository("library", "tiny"), number)
        learning.note_given(subject, grant, NOON - 60)
        learning.missed(subject.client_address, subject.version, None, NOON)
    text = " ".join((await read(door)).text.split())
    assert "192.168.1.0, Ollama of unknown version: not https from blobs.home.arpa" in text
    assert "192.168.1.1, Ollama 0.36.0: not https from registry.ollama.ai" in text
    assert "192.168.1.2, Ollama 0.36.0: not http from this box" in text
    assert "ollama-appliance learnt --clear" in text


async def test_the_style_sheet_asks_for_nothing_more(door: Door) -> None:
    answer = await door.ask("/box.css")
    assert answer.fields["Content-Type"] == "text/css; charset=utf-8"
    assert b"url(" not in answer.body
    assert b"@import" not in answer.body


async def test_models_and_bytes_are_shown(door: Door) -> None:
    door.shop.keep("llama3.2:1b", LAYER)
    assert (await door.ask("/v2/library/llama3.2/manifests/1b")).status == 200
    for _ in range(2):
        assert (await door.ask(door.shop.grant("llama3.2:1b", LAYER))).body == LAYER
    page = await read(door)
    assert "llama3.2:1b" in page.text
    assert "all of it" in page.text
    assert "3.0 kB" in page.text


async def test_a_fill_under_way_is_shown(door: Door) -> None:
    door.shop.source.publish("tiny", LAYER)
    assert (await door.ask("/v2/library/tiny/manifests/latest")).status == 200
    door.shop.source.gate.clear()
    async with door.dial() as wire:
        wire.send(f"GET {door.shop.grant('tiny', LAYER)} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        await wire.reader.readuntil(b"\r\n\r\n")
        assert "library/tiny 0 bytes of 1.5 kB" in re.sub(r"\s+", " ", (await read(door)).text)
        door.shop.source.gate.set()
        assert await wire.reader.readexactly(len(LAYER)) == LAYER


async def test_what_others_wrote_is_text_and_never_markup(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names cannot hold markup by their grammar; the page does not rely on it."""
    repository = SimpleNamespace(namespace="library", model=HOSTILE)
    reference = cast("Reference", SimpleNamespace(repository=repository, target="latest"))
    rows = [replace(ROW, reference=reference)]
    monkeypatch.setattr(door.shop.cache.books, "models", lambda: rows)
    door.checks["dns"] = Check(is_ok=False, detail=HOSTILE)
    page = await read(door)
    assert page.text.count(HOSTILE) == 3  # And no script is there but the page's own.


@pytest.mark.parametrize(
    ("checks", "status"),
    [
        ({}, "unhealthy"),
        ({"dns": True, "upstream": True}, "healthy"),
        ({"dns": True, "upstream": False}, "degraded"),
        ({"dns": False}, "unhealthy"),
    ],
)
async def test_one_word_says_how_the_box_is(
    door: Door, checks: dict[str, bool], status: str
) -> None:
    door.checks.clear()
    door.checks |= {name: Check(is_ok=is_ok, detail=name) for name, is_ok in checks.items()}
    answer = await door.ask("/")
    assert f'class="status {status}" id="status">{status}<' in answer.body.decode()


async def test_a_box_on_other_ports_says_what_that_means(open_door: OpenDoor) -> None:
    async with open_door(tls_port=8443, dns_port=10053) as door:
        assert "unprivileged ports" in (await read(door)).text
    async with open_door(dns_port=None) as door:
        page = await read(door)
    assert "unprivileged ports" not in page.text
    assert "dig @" not in page.text


async def test_the_proxy_way_is_shown_with_the_box_s_own_address(open_door: OpenDoor) -> None:
    async with open_door() as door:
        page = await read(door)
    for line in (
        "Environment=HTTPS_PROXY=http://127.0.0.1:3128\\n",
        "docker run -d --name ollama -e HTTPS_PROXY=http://127.0.0.1:3128 ",
        "launchctl setenv HTTPS_PROXY http://127.0.0.1:3128\n",
        "setx HTTPS_PROXY http://127.0.0.1:3128",
    ):
        assert line in page.text
    async with open_door(proxy_port=None) as door:
        assert "HTTPS_PROXY" not in (await read(door)).text


async def test_the_lines_for_the_machine_that_looks_are_open(door: Door) -> None:
    for user_agent, title in (
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64)", "Windows; by the script"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)", "macOS"),
        ("curl/8.5.0", "Linux, as a service; by the script"),
    ):
        page = (await door.ask("/", f"User-Agent: {user_agent}")).body.decode()
        opened = re.findall(r'<details class="os" open><summary>([^<]*)', page)
        assert opened.count(title) == 2  # By certificate, and by proxy.
        assert len(opened) == 4


async def test_only_who_is_logged_in_sees_what_changes_something(door: Door) -> None:
    door.shop.keep("llama3.2:1b", LAYER)
    assert (await door.ask("/v2/library/llama3.2/manifests/1b")).status == 200
    for role, words in (
        (None, set()),
        (Role.VIEWER, set()),
        (Role.OPERATOR, {"Pin", "Prefetch", "Pause downloads"}),
        (Role.ADMIN, {"Pin", "Prefetch", "Pause downloads", "Delete…"}),
    ):
        fields = (f"Cookie: {COOKIE_NAME}={door.desk.token(role)}",) if role else ()
        answer = await door.ask("/?delete=llama3.2:1b", *fields)
        page = Reading(answer.body.decode())
        known = ("Pin", "Prefetch", "Pause downloads", "Delete…")
        assert {each for each in known if each in page.text} == words
        assert ("That frees 1.5 kB." in page.text) == (role is Role.ADMIN)
        assert ("Logged in as somebody" in page.text) == (role is not None)


async def test_a_pause_and_what_it_holds_up_are_seen_by_everybody(door: Door) -> None:
    cookie = f"Cookie: {COOKIE_NAME}={door.desk.token(Role.OPERATOR)}"
    assert "Paused" not in (await read(door)).text
    await door.shop.cache.background.pause()
    assert door.desk.prefetcher is not None
    await door.desk.prefetcher.prefetch({"model": "someone/later:1b"})
    page = await read(door)
    assert "Paused: nothing is downloaded that no machine waits for." in page.text
    assert "someone/later:1b paused" in page.text
    assert not {"/api/v1/resume", "/api/v1/unprefetch"} & set(page.references)
    page = Reading((await door.ask("/", cookie)).body.decode())
    assert {"/api/v1/resume", "/api/v1/unprefetch"} <= set(page.references)


async def test_a_form_that_came_to_nothing_says_so_on_the_page(door: Door) -> None:
    host = f"127.0.0.1:{door.port}"
    fields = (
        f"Cookie: {COOKIE_NAME}={door.desk.token(Role.OPERATOR)}",
        "Content-Type: application/x-www-form-urlencoded",
        f"Origin: http://{host}",
    )
    for body, place in (
        (b"model=../x", "/?trouble=prefetch"),
        (b"model=tiny", "/?done=prefetch#models"),
    ):
        answer = await door.post("/api/v1/prefetch", body, *fields, host=host)
        assert (answer.status, answer.fields["Location"]) == (303, place)
    page = Reading((await door.ask("/?trouble=prefetch")).body.decode())
    assert "That is no model's name" in page.text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("absent", "library/absent:latest is not held"),
        ("pinned", "is pinned"),
        ("%3Cb%3E", "This is no model's name"),
    ],
)
async def test_what_cannot_be_deleted_is_said_before(door: Door, name: str, text: str) -> None:
    door.shop.keep("pinned", LAYER)
    assert (await door.ask("/v2/library/pinned/manifests/latest")).status == 200
    door.shop.store.pin(parse_model_name("pinned"))
    cookie = f"Cookie: {COOKIE_NAME}={door.desk.token(Role.ADMIN)}"
    answer = await door.ask(f"/?delete={name}", cookie)
    page = Reading(answer.body.decode())
    assert text in page.text
    assert "Delete it" not in page.text
    assert len(door.shop.cache.books.models()) == 1


async def test_a_form_that_worked_says_so(door: Door) -> None:
    assert "Deleted." in Reading((await door.ask("/?done=rm")).body.decode()).text
    assert "Deleted." not in Reading((await door.ask("/?done=%3Cb%3E")).body.decode()).text


async def test_a_wrong_password_is_said_on_the_page(door: Door) -> None:
    door.desk.password_file.write_text("the right one")
    fields = ("Content-Type: application/x-www-form-urlencoded", "Accept: text/html")
    origin = f"Origin: http://127.0.0.1:{door.port}"
    answer = await door.post(
        "/login", b"password=wrong", *fields, origin, host=f"127.0.0.1:{door.port}"
    )
    assert (answer.status, answer.fields["Location"]) == (303, "/?trouble=password")
    page = Reading((await door.ask("/?trouble=password")).body.decode())
    assert "That is not the admin password." in page.text


async def test_a_pull_is_shown_and_the_machine_that_looks_knows_its_share(door: Door) -> None:
    door.shop.keep("llama3.2:1b", LAYER)
    assert (await door.ask("/v2/library/llama3.2/manifests/1b")).status == 200
    assert (await door.ask(door.shop.grant("llama3.2:1b", LAYER))).body == LAYER
    while any(not each.files_served for each in door.shop.cache.sessions.active):
        await door.ask("/health")  # The client may have its last byte before it is counted.
    door.shop.cache.sessions.look()
    text = " ".join((await read(door)).text.split())
    assert "llama3.2:1b to 127.0.0.1 done done from the cache 1.5 kB" in text
    assert "this machine was given 1.5 kB by this box" in text
    assert "Nobody pulls at the moment." in text


async def test_both_hosts_are_in_the_lines_for_the_network_s_own_dns(open_door: OpenDoor) -> None:
    found = Addresses(("203.0.113.10",))
    async with open_door(blob_addresses=lambda dialled: found) as door:
        page = await read(door)
    assert "address=/registry.ollama.ai/127.0.0.1" in page.text
    assert "address=/blobs.home.arpa/203.0.113.10" in page.text


async def test_a_box_that_only_this_machine_reaches_says_so(door: Door) -> None:
    assert "this machine alone" in (await read(door)).text


async def test_the_internet_away_is_said(door: Door) -> None:
    door.checks["upstream"] = Check(is_ok=False, detail="no route")
    page = await read(door)
    assert "The Internet is away" in page.text
    assert "Internet away" in page.text


async def test_another_page_may_ask_which_box_this_is(door: Door) -> None:
    answer = await door.ask("/check", "Accept: application/json", "Origin: http://10.0.0.5")
    assert answer.fields["Access-Control-Allow-Origin"] == "*"
    assert json.loads(answer.body) == {"box": "ollama-appliance", "ca_fingerprint": "AB:CD"}
    page = await door.ask("/")
    assert f"connect-src 'self' {CHECK}:{door.port};" in page.fields["Content-Security-Policy"]
    person = await door.ask("/check", "Accept: text/html,*/*")
    assert person.body.startswith(b"Yes: ")


async def test_a_thousand_models_are_shown_too(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door.shop.cache.books, "models", lambda: [ROW] * 1000)
    answer = await door.ask("/")
    assert Reading(answer.body.decode()).text.count("llama3.2:1b") == 1000


async def test_the_ways_for_the_newest_clients_are_there_while_they_are_needed(
    open_door: OpenDoor,
) -> None:
    recipe = Recipe("By dnsmasq", ("dhcp-option=121,<x>", "second"), ("take it out",))
    async with open_door(recipes=lambda: (recipe,)) as door:
        page = await read(door)
    assert "Ollama 0.35.2 and newer" in page.text
    assert "dhcp-option=121,<x>\nsecond" in page.text
    assert "take it out" in page.text
    async with open_door() as door:
        assert "and newer" not in (await read(door)).text
