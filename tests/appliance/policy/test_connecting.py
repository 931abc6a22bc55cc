"""The lines that connect a machine: few, whole, each with its undo, and what a shell can read."""

import ipaddress
import json
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.policy.connecting import (
    LINES_MAX,
    Reach,
    Steps,
    guess_system,
    list_direct,
    list_hosts,
    list_proxy,
    list_trust,
)

BOX = Reach(
    url="http://10.0.0.5",
    address="10.0.0.5",
    registry="registry.ollama.ai",
    blob_host="blobs.home.arpa",
    blob_address="203.0.113.10",
    fingerprint="AB:CD",
    thumbprint="ab" * 20,
    proxy_url="http://10.0.0.5:3128",
)
WAYS: list[Callable[[Reach], Iterator[Steps]]] = [list_direct, list_hosts, list_trust, list_proxy]
KINDS = {"linux", "docker", "compose", "kubernetes", "wsl", "macos", "windows"}


@pytest.mark.parametrize("way", WAYS)
def test_every_kind_of_machine_is_connected_by_few_lines_and_each_has_an_undo(
    way: Callable[[Reach], Iterator[Steps]],
) -> None:
    for each in way(BOX):
        assert 1 <= len(each.lines) <= LINES_MAX, each.title
        assert each.undo, each.title
        assert bool(each.file) == bool(each.content)


@pytest.mark.parametrize("way", [list_trust, list_proxy])
def test_a_certificate_and_a_proxy_have_lines_for_every_kind(
    way: Callable[[Reach], Iterator[Steps]],
) -> None:
    keys = [each.key for each in way(BOX)]
    assert set(keys) >= KINDS
    assert len(set(keys)) == len(keys)


def test_a_box_that_is_no_proxy_has_no_such_lines() -> None:
    alone = replace(BOX, proxy_url=None)
    assert list(list_proxy(alone)) == []
    assert "HTTPS_PROXY" not in text_of(list_trust(alone))


def test_every_line_of_the_proxy_way_s_kinds_names_the_proxy() -> None:
    for each in list_proxy(BOX):
        told = text_of(iter([each]))
        assert ("HTTPS_PROXY" in told and "10.0.0.5:3128" in told) or "roxy" in told, each.title


def test_both_hosts_are_led_to_the_box_where_there_are_two() -> None:
    told = text_of(list_hosts(BOX))
    assert "--add-host registry.ollama.ai:10.0.0.5 --add-host blobs.home.arpa:203.0.113.10" in told
    assert "blobs.home.arpa" not in text_of(list_hosts(replace(BOX, blob_address="")))


def test_the_scripts_are_told_whom_to_trust() -> None:
    lines = [line for each in list_trust(BOX) for line in each.lines if "install." in line]
    assert len(lines) == 2
    assert all("ingerprint SHA256:AB:CD" in line for line in lines)


def test_who_fetches_the_ca_by_hand_sees_its_fingerprint() -> None:
    for each in list_trust(BOX):
        told = "\n".join(each.lines)
        assert re.search(r"ingerprint|certutil -hashfile", told), each.title


def test_what_kubernetes_is_given_is_json() -> None:
    (hosts,) = [each for each in list_hosts(BOX) if each.key == "kubernetes"]
    (proxy,) = [each for each in list_proxy(BOX) if each.key == "kubernetes"]
    aliases = patch_of(hosts)["hostAliases"]
    assert aliases[0] == {"ip": "10.0.0.5", "hostnames": ["registry.ollama.ai"]}
    (container,) = patch_of(proxy)["containers"]
    assert container["env"] == [{"name": "HTTPS_PROXY", "value": "http://10.0.0.5:3128"}]
    (mount,), (volume,) = container["volumeMounts"], patch_of(proxy)["volumes"]
    assert mount["name"] == volume["name"]
    assert mount["mountPath"].endswith(mount["subPath"])
    made = shlex.split(proxy.lines[-2])
    assert made[-1] == f"--from-file={mount['subPath']}"
    assert made[-2] == volume["configMap"]["name"]


def patch_of(steps: Steps) -> Any:
    return json.loads(shlex.split(steps.lines[-1])[-1])["spec"]["template"]["spec"]


@given(st.ip_addresses(), st.integers(1, 65535))
def test_any_address_gives_lines_that_a_shell_reads(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int
) -> None:
    authority = f"[{address}]" if address.version == 6 else str(address)
    url = f"http://{authority}:{port}"
    box = replace(BOX, url=url, address=str(address), proxy_url=url)
    for way in WAYS:
        for each in way(box):
            if not each.key.startswith("windows"):
                for line in (*each.lines, *each.undo):
                    assert shlex.split(line)
    assert f"ollama pull --insecure {authority}:{port}/library/llama3.2" in text_of(
        list_direct(box)
    )


@pytest.mark.parametrize(
    ("user_agent", "system"),
    [
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36", "windows"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15", "macos"),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "linux"),
        ("Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36", "other"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X)", "other"),
        ("curl/8.5.0", "other"),
        ("", "other"),
    ],
)
def test_a_browser_tells_what_it_runs_on(user_agent: str, system: str) -> None:
    assert guess_system(user_agent) == system


def text_of(steps: Iterator[Steps]) -> str:
    return "\n".join(
        "\n".join((each.note, *each.content, *each.lines, *each.undo)) for each in steps
    )
