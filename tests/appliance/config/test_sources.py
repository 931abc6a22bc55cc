"""Sources: places in a TOML text, unknown names and their neighbours, variables."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.config.sources import (
    Problem,
    Setting,
    Source,
    all_keys,
    find_lines,
    parse_environment,
    parse_file,
    variable_name,
)

TEXT = """\
# A comment with [dns] in it.
[dns]

port = 5353   # trailing
upstream = [
    "9.9.9.9",   # port = 1
    "1.1.1.1",
]
"ttl_seconds" = 10

  [web]
ports = [80]
cache = '''
[tls]
port = 9
'''
"""


def test_each_key_is_found_on_its_first_line() -> None:
    assert find_lines(TEXT) == {
        ("dns",): 2,
        ("dns", "port"): 4,
        ("dns", "upstream"): 5,
        ("dns", "ttl_seconds"): 9,
        ("web",): 11,
        ("web", "ports"): 12,
        ("web", "cache"): 13,
    }


@pytest.mark.parametrize(
    ("text", "line"),
    [
        pytest.param("\ndns.port = 1", 2, id="dotted"),
        pytest.param('"dns"."port" = 1', 1, id="quoted"),
        pytest.param("\n\ndns = {ttl_seconds = 1, port = 1}", 3, id="inline table"),
        pytest.param("[dns]\r\nenabled = true\r\nport = 1\r\n", 3, id="lines of Windows"),
        pytest.param("[web]\n[dns] # here\nport=1", 2 + 1, id="comment after the header"),
    ],
)
def test_every_spelling_of_a_key_is_found(text: str, line: int) -> None:
    assert find_lines(text)["dns", "port"] == line


@given(
    table=st.dictionaries(
        st.text("abc_", min_size=1, max_size=3),
        st.dictionaries(st.text("abc_", min_size=1, max_size=3), st.integers() | st.booleans()),
    ),
    blank=st.lists(st.sampled_from(["", "# [a]", "#a = 1", "  "]), max_size=3),
)
def test_the_line_found_is_the_line_written(
    table: dict[str, dict[str, int]], blank: list[str]
) -> None:
    lines: list[str] = []
    written: dict[tuple[str, ...], int] = {}
    for section, content in table.items():
        lines += [*blank, f"[{section}]"]
        written[(section,)] = len(lines)
        for key, value in content.items():
            lines += [*blank, f"{key} = {str(value).lower()}"]
            written[section, key] = len(lines)
    text = "\n".join(lines)
    assert tomllib.loads(text) == table
    assert find_lines(text) == written


def test_settings_carry_their_place() -> None:
    settings, problems = parse_file("[dns]\nport = 5353\n", "a.conf")
    assert (settings, problems) == ([Setting("dns", "port", 5353, Source("a.conf", 2))], [])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param(
            "[dns]\nprot = 1", "a.conf:2: dns.prot: no such key; did you mean dns.port?", id="typo"
        ),
        pytest.param(
            "[dns]\nports = 1",
            "a.conf:2: dns.ports: no such key; did you mean dns.port?",
            id="near",
        ),
        pytest.param(
            "[dns]\noffline = true",
            "a.conf:2: dns.offline: no such key; did you mean cache.offline?",
            id="a key of another section",
        ),
        pytest.param(
            "[dns]\nttl = 1",
            "a.conf:2: dns.ttl: no such key; did you mean dns.ttl_seconds?",
            id="cut short",
        ),
        pytest.param("[dns]\nzzz = 1", "a.conf:2: dns.zzz: no such key", id="like nothing"),
        pytest.param(
            "\n[DSN]\nx = 1", "a.conf:2: DSN: no such section; did you mean [dns]?", id="section"
        ),
        pytest.param("[zzz]", "a.conf:1: zzz: no such section", id="section like nothing"),
        pytest.param(
            "offline = true",
            "a.conf:1: offline: stands in no section; did you mean cache.offline?",
            id="a key above the sections",
        ),
        pytest.param("zzz = 1", "a.conf:1: zzz: stands in no section", id="and like nothing"),
        pytest.param(
            "dns = 1", "a.conf:1: dns: is a section: write [dns] on a line of its own", id="a value"
        ),
        pytest.param(
            "[[dns]]", "a.conf:1: dns: is a section: write [dns] on a line of its own", id="array"
        ),
        pytest.param("[dns]\nport = = 1", "a.conf:2: not TOML: invalid value", id="not TOML"),
        pytest.param('[dns]\nport = "1', "a.conf:2: not TOML: unterminated string", id="cut off"),
        pytest.param(
            "[dns]\nport = 1\nport = 2", "a.conf:3: not TOML: cannot overwrite a value", id="twice"
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place_and_neighbour(text: str, said: str) -> None:
    settings, problems = parse_file(text, "a.conf")
    assert [str(problem) for problem in problems] == [said]
    assert all(setting.key == "port" for setting in settings)


def test_all_problems_of_a_file_come_at_once() -> None:
    _, problems = parse_file("[dns]\nprot = 1\nportt = 2\n[dsn]\n[web]\nport = 3", "a.conf")
    assert [problem.source.line for problem in problems] == [2, 3, 4, 6]


@given(st.text() | st.text("[]=.dnsport\"'#{}1,\n", max_size=40))
def test_any_text_is_settings_or_problems(text: str) -> None:
    settings, problems = parse_file(text, "a.conf")
    assert all(problem.source.line is not None for problem in problems)
    assert all(setting.source.line is not None for setting in settings)


def test_variables_are_lexed_by_their_key() -> None:
    environ = {
        "OLLAMA_APPLIANCE_WEB_PORTS": "80,8081",
        "OLLAMA_APPLIANCE_BOX_STATE_DIR": "/srv/state",
        "OLLAMA_APPLIANCE_CONFIG": "a.conf",
        "PATH": "/bin",
    }
    settings, problems = parse_environment(environ)
    assert problems == []
    assert [(each.section, each.key, each.raw) for each in settings] == [
        ("box", "state_dir", "/srv/state"),
        ("web", "ports", [80, 8081]),
    ]
    assert [str(each.source) for each in settings] == [
        "OLLAMA_APPLIANCE_BOX_STATE_DIR",
        "OLLAMA_APPLIANCE_WEB_PORTS",
    ]


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("OLLAMA_APPLIANCE_DNS_PROT", "OLLAMA_APPLIANCE_DNS_PORT"),
        ("OLLAMA_APPLIANCE_CONFG", "OLLAMA_APPLIANCE_CONFIG"),
        ("OLLAMA_APPLIANCE_DNS_TTL", "OLLAMA_APPLIANCE_DNS_TTL_SECONDS"),
        ("OLLAMA_APPLIANCE_ZZZ", None),
    ],
)
def test_an_unknown_variable_names_its_neighbour(variable: str, nearest: str | None) -> None:
    assert parse_environment({variable: "1"}) == (
        [],
        [Problem(Source(variable), "", "no such setting", nearest)],
    )


def test_every_variable_means_one_key() -> None:
    names = [variable_name(section, key) for section, key in all_keys()]
    assert len(set(names)) == len(names)


def test_ollama_lancache_s_variables_set_what_they_set_there() -> None:
    settings, problems = parse_environment(
        {"OLLAMA_LANCACHE_PORT": "9000", "OLLAMA_LANCACHE_HOST": "0.0.0.0", "OLLAMA_MODELS": "/x"}
    )
    assert problems == []
    assert [(each.section, each.key, each.raw, each.source.name) for each in settings] == [
        ("web", "ports", [9000], "OLLAMA_LANCACHE_PORT"),
        ("box", "listen", ["0.0.0.0"], "OLLAMA_LANCACHE_HOST"),
    ]


def test_our_own_variable_goes_before_an_alias_and_an_empty_one_is_none() -> None:
    environ = {"OLLAMA_LANCACHE_PORT": "9000", "OLLAMA_APPLIANCE_WEB_PORTS": "80"}
    settings, _ = parse_environment(environ)
    assert settings[-1].source.name == "OLLAMA_APPLIANCE_WEB_PORTS"
    assert parse_environment({"OLLAMA_LANCACHE_PORT": ""}) == ([], [])
