"""Rules between keys: a row breaks each, and the defaults break none."""

from pathlib import Path
from typing import Any

import pytest

from appliance.config import Config, ConfigInvalidError, load_config
from appliance.config.keys import KEYS
from appliance.config.rules import ERRORS, WARNINGS


def load(tmp_path: Path, text: str) -> Config:
    file = tmp_path / "a.conf"
    file.write_text(text, "utf-8")
    return load_config(file, {})


def test_the_defaults_break_nothing() -> None:
    assert [rule.broken(Config()) for rule in (*ERRORS, *WARNINGS)] == [None] * 15


@pytest.mark.parametrize("rule", [*ERRORS, *WARNINGS])
def test_rules_concern_keys_that_exist(rule: Any) -> None:
    for name in rule.keys:
        section, _, key = name.partition(".")
        assert key in KEYS[section]


@pytest.mark.parametrize(
    ("text", "key", "said"),
    [
        ("[tls]\nport = 8080", "tls.port", "port 8080 is given to more than one listener"),
        ("[proxy]\nport = 443", "proxy.port", "port 443 is given to more than one listener"),
        ("[dns]\nport = 80", "dns.port", "port 80 is given to more than one listener"),
        ("[web]\nports = [80, 80]", "web.ports", "port 80 is given to more than one listener"),
        ('[blobs]\nhost = "registry.ollama.ai"', "blobs.host", "must differ from origin.name"),
        ('[origin]\nname = "ollama.com"', "origin.name", "ollama.com is not a registry"),
        (
            '[box]\nlisten = ["10.0.0.2", "::"]\n[blobs]\naddress = "203.0.113.10, 2001:db8::1"',
            "blobs.address",
            "203.0.113.10 is not in box.listen",
        ),
        ('[box]\nstate_dir = "a.conf"', "box.state_dir", "a.conf is not a directory"),
        (
            '[box]\nstate_dir = "/srv/box"\nmount_point = "/srv/disk"',
            "box.mount_point",
            "/srv/box, the state directory, does not lie on /srv/disk",
        ),
        ('[origin]\nca_file = "none.pem"', "origin.ca_file", "none.pem cannot be read: No such"),
        ('[origin]\nca_file = "a.conf"', "origin.ca_file", "a.conf holds no PEM certificate"),
        (
            '[origin]\nurl = "http://127.0.0.1:5000"',
            "origin.url",
            "127.0.0.1 is not a public address",
        ),
        ('[origin]\nurl = "http://[fd00::1]"', "origin.url", "fd00::1 is not a public address"),
        (
            '[box]\nlisten = ["10.0.0.2"]\n[dns]\nupstream = ["10.0.0.2"]',
            "dns.upstream",
            "10.0.0.2:53 is the box itself",
        ),
        (
            '[box]\naddress = "10.0.0.2"\n[dns]\nport = 5353\nupstream = ["10.0.0.2:5353"]',
            "dns.upstream",
            "10.0.0.2:5353 is the box itself",
        ),
    ],
)
def test_an_error(
    text: str, key: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigInvalidError) as caught:
        load(tmp_path, text)
    (problem,) = caught.value.problems
    assert problem.key == key
    assert problem.what.startswith(said)
    assert problem.source.line is not None


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("[dns]\nenabled = false\nport = 80", id="a port that is not used"),
        pytest.param(
            '[box]\nstate_dir = "/srv/box/state"\nmount_point = "/srv/box"', id="on its own disk"
        ),
        pytest.param('[box]\nmount_point = "/srv"', id="a state directory that nobody named"),
        pytest.param('[box]\nstate_dir = "new"', id="a directory that is yet to be"),
        pytest.param(
            '[box]\naddress = "10.0.0.2"\n[dns]\nupstream = ["10.0.0.2:5300"]',
            id="another resolver on the same machine",
        ),
        pytest.param(
            '[origin]\nurl = "http://127.0.0.1:5000"\nallow_private = true',
            id="meant to be private",
        ),
    ],
)
def test_no_error(text: str, tmp_path: Path) -> None:
    assert load(tmp_path, text).settings


def test_a_ca_file_that_exists_is_taken(tmp_path: Path) -> None:
    pem = tmp_path / "ca.pem"
    pem.write_text("-----BEGIN CERTIFICATE-----\n")
    assert load(tmp_path, f'[origin]\nca_file = "{pem}"').origin.ca_file == pem


@pytest.mark.parametrize(
    ("text", "key", "said"),
    [
        ('[blobs]\ndelivery = "plain"', "blobs.delivery", "Ollama 0.35.2 and newer cannot pull"),
        ('[origin]\nurl = "http://mirror.example"', "origin.url", "whoever is between"),
        ("[origin]\nallow_private = true", "origin.allow_private", "not needed for a public"),
        ("[dns]\nport = 5353", "dns.port", "clients ask on 53 only"),
        ("[tls]\nport = 4443", "tls.port", "clients connect to 443 only"),
        ("[web]\nports = [8080]", "web.ports", "without port 80"),
    ],
)
def test_a_warning_is_no_error(text: str, key: str, said: str, tmp_path: Path) -> None:
    (problem,) = load(tmp_path, text).warnings
    assert problem.key == key
    assert problem.what.startswith(said)


def test_an_unused_ca_file_is_said_with_the_plain_origin(tmp_path: Path) -> None:
    pem = tmp_path / "ca.pem"
    pem.write_text("-----BEGIN CERTIFICATE-----\n")
    text = f'[origin]\nurl = "http://mirror.example"\nca_file = "{pem}"'
    (problem,) = load(tmp_path, text).warnings
    assert problem.what.endswith("origin.ca_file is not used")
