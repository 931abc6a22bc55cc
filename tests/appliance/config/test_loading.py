"""Loading: which file, what wins, what is a default, and everything wrong at once."""

from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.config import ConfigInvalidError, load_config, loading, read_environment
from appliance.config.loading import FILE_SIZE_BYTES_MAX


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and a system file that is there when a test writes it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(loading, "SYSTEM_FILE", tmp_path / "etc" / "appliance.conf")
    (tmp_path / "etc").mkdir()
    return tmp_path


def write(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


def problems(path: Path | None, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigInvalidError) as caught:
        load_config(path, environ or {})
    assert caught.value.hint
    assert str(caught.value).splitlines() == [str(each) for each in caught.value.problems]
    return [str(each) for each in caught.value.problems]


def test_without_any_file_the_defaults_hold() -> None:
    config = load_config(None, {})
    assert config.path is None
    assert config.origin.name == "registry.ollama.ai"
    assert config.blobs.refuse_private_from == (0, 35, 2)
    assert config.state_dir == Path("state")
    assert config.is_default("dns", "port")
    assert str(config.source("dns", "port")) == "default"
    assert config.raw("web", "ports") == [80, 8080]


def test_the_file_is_chosen_in_order(directory: Path) -> None:
    environ = {
        "OLLAMA_APPLIANCE_CONFIG": str(write(directory / "b.conf", "[dns]\nttl_seconds = 2"))
    }
    named = write(directory / "a.conf", "[dns]\nttl_seconds = 1")
    write(directory / "etc" / "appliance.conf", "[dns]\nttl_seconds = 4")
    assert load_config(None, {}).dns.ttl_seconds == 4
    write(directory / "appliance.conf", "[dns]\nttl_seconds = 3")
    assert load_config(None, {}).dns.ttl_seconds == 3
    assert load_config(None, environ).dns.ttl_seconds == 2
    assert load_config(named, environ).dns.ttl_seconds == 1


def test_state_lies_where_the_system_keeps_it_only_for_the_system_file(directory: Path) -> None:
    system = write(directory / "etc" / "appliance.conf", "")
    assert load_config(None, {}).state_dir == Path("/var/lib/ollama-appliance")
    assert (
        load_config(Path("etc/appliance.conf"), {}).state_dir == load_config(system, {}).state_dir
    )
    assert load_config(write(directory / "a.conf", ""), {}).state_dir == Path("state")
    environ = {"OLLAMA_APPLIANCE_BOX_STATE_DIR": "here"}
    assert load_config(None, environ).state_dir == Path("here")


def test_values_are_read(directory: Path) -> None:
    text = """
        [box]
        address = "10.0.0.2"
        listen = ["10.0.0.2", "fd00::2"]
        [dns]
        upstream = ["9.9.9.9", "10.0.0.1:5353"]
        [cache]
        min_free = "20GiB"
        fresh_seconds = "5m"
        [access]
        allow = ["10.0.0.0/8"]
    """
    config = load_config(write(directory / "a.conf", text), {})
    assert config.box.address == ip_address("10.0.0.2")
    assert config.box.listen == (ip_address("10.0.0.2"), ip_address("fd00::2"))
    assert config.dns.upstream == (("9.9.9.9", 53), ("10.0.0.1", 5353))
    assert config.cache.min_free.bytes_of(0) == 20 * 2**30
    assert config.cache.fresh_seconds == 300
    assert config.access.allow == (ip_network("10.0.0.0/8"),)


def test_the_environment_goes_before_the_file(directory: Path) -> None:
    file = write(directory / "a.conf", "[dns]\nport = 5353\nttl_seconds = 10")
    config = load_config(file, {"OLLAMA_APPLIANCE_DNS_PORT": "5300"})
    assert (config.dns.port, config.dns.ttl_seconds) == (5300, 10)
    assert str(config.source("dns", "port")) == "OLLAMA_APPLIANCE_DNS_PORT"
    assert str(config.source("dns", "ttl_seconds")) == f"{file}:3"


def test_a_key_set_to_its_default_counts_as_set(directory: Path) -> None:
    config = load_config(write(directory / "a.conf", "[dns]\nport = 53"), {})
    assert not config.is_default("dns", "port")
    assert config.is_default("tls", "port")


def test_everything_wrong_is_said_at_once(directory: Path) -> None:
    file = write(
        directory / "a.conf",
        '[dns]\nport = "53"\nprot = 1\nttl_seconds = 301\n\n[tls]\nport = 80\n'
        '[cache]\nmin_free = "lots"\n[dsn]\n',
    )
    environ = {"OLLAMA_APPLIANCE_WEB_PROTS": "1", "OLLAMA_APPLIANCE_ACCESS_ALLOW": "10.0.0.1/8"}
    assert sorted(problems(file, environ)) == sorted(
        [
            f'{file}:2: dns.port: expected a port, 1 to 65535, found "53"',
            f"{file}:3: dns.prot: no such key; did you mean dns.port?",
            f"{file}:4: dns.ttl_seconds: expected seconds, 1 to 300, as a number or a text such as "
            '"1m", found 301',
            f'{file}:9: cache.min_free: expected a size such as "20GiB", or a part such as "5%", '
            'found "lots"',
            f"{file}:10: dsn: no such section; did you mean [dns]?",
            "OLLAMA_APPLIANCE_WEB_PROTS: no such setting; did you mean OLLAMA_APPLIANCE_WEB_PORTS?",
            "OLLAMA_APPLIANCE_ACCESS_ALLOW: access.allow: expected a list of networks, found "
            '["10.0.0.1/8"]: \'10.0.0.1/8\' is not a network such as "10.0.0.0/8": the network it '
            "lies in is 10.0.0.0/8",
        ]
    )


def test_rules_still_hold_for_what_could_be_read(directory: Path) -> None:
    """Only a rule about a faulty key is left: nothing is known of what was meant."""
    file = write(
        directory / "a.conf", '[dns]\nttl_seconds = 0\n[blobs]\nhost = "registry.ollama.ai"'
    )
    assert [line.split(": ")[1] for line in problems(file)] == ["dns.ttl_seconds", "blobs.host"]


def test_a_broken_file_does_not_hide_the_environment(directory: Path) -> None:
    file = write(directory / "a.conf", "[dns\n")
    said = problems(file, {"OLLAMA_APPLIANCE_DNS_PORT": "x"})
    assert [line.split(": ")[0] for line in said] == [f"{file}:1", "OLLAMA_APPLIANCE_DNS_PORT"]


def test_a_named_file_must_be_there(directory: Path) -> None:
    missing = directory / "none.conf"
    said = [f"{missing}: cannot be read: No such file or directory"]
    assert problems(missing) == said
    assert problems(None, {"OLLAMA_APPLIANCE_CONFIG": str(missing)}) == said
    assert problems(directory) == [f"{directory}: cannot be read: Is a directory"]


def test_what_is_no_text_is_refused(directory: Path) -> None:
    file = directory / "a.conf"
    file.write_bytes(b"[dns]\nport = \xff\n")
    assert problems(file) == [f"{file}:2: is not UTF-8 text"]
    file.write_bytes(b"#" * (FILE_SIZE_BYTES_MAX + 1))
    assert problems(file) == [f"{file}: is larger than 262144 bytes: no appliance.conf is"]


def test_a_byte_order_mark_is_no_error(directory: Path) -> None:
    file = directory / "a.conf"
    file.write_bytes(b"\xef\xbb\xbf[dns]\nport = 5353\n")
    assert load_config(file, {}).dns.port == 5353


def test_the_environment_is_the_process_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_APPLIANCE_DNS_PORT", "5300")
    assert load_config(None, read_environment()).dns.port == 5300


@given(
    variable=st.sampled_from(["DNS_PORT", "DNS_UPSTREAM", "CACHE_MIN_FREE", "ORIGIN_URL", "TLS_X"]),
    value=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
)
def test_any_environment_is_a_config_or_problems(variable: str, value: str) -> None:
    try:
        config = load_config(None, {f"OLLAMA_APPLIANCE_{variable}": value})
    except ConfigInvalidError:
        return
    section, _, key = variable.lower().partition("_")
    assert not config.is_default(section, key)


def test_an_alias_goes_before_the_file_and_behind_our_variable(tmp_path: Path) -> None:
    file = tmp_path / "appliance.conf"
    file.write_text("[web]\nports = [8081]\n", "utf-8")
    alias = {"OLLAMA_LANCACHE_PORT": "9000"}
    assert load_config(file, alias).web.ports == (9000,)
    assert load_config(file, {**alias, "OLLAMA_APPLIANCE_WEB_PORTS": "80"}).web.ports == (80,)
    with pytest.raises(ConfigInvalidError, match=r"OLLAMA_LANCACHE_PORT: web\.ports"):
        load_config(file, {"OLLAMA_LANCACHE_PORT": "many"})
