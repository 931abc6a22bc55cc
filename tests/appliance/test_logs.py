"""Logs: the shape of a line, one line per record, and no secret in any."""

import logging
import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.logs import (
    LINES_PER_MINUTE_MAX,
    QUIET_LOGGERS,
    LineFormatter,
    configure_logs,
    redact,
    service_of,
)

CREATED = 1795199982.9  # 2026-11-20T18:39:42Z, and most of a second.
SECRET = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"


def line(message: str, *args: object, timestamps: bool = True, **extra: object) -> str:
    record = logging.makeLogRecord(
        {
            "name": "appliance.dns.server",
            "levelname": "INFO",
            "msg": message,
            "args": args,
            "created": CREATED,
        }
        | extra
    )
    return LineFormatter(timestamps=timestamps).format(record)


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, left as it was found."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    levels = {name: logging.getLogger(name).level for name in QUIET_LOGGERS}
    yield root
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


def test_a_line_has_its_shape() -> None:
    assert (
        line("forwarded to %s", "9.9.9.9", client="10.0.0.7", seconds=0.25)
        == "2026-11-20T18:39:42Z info dns: forwarded to 9.9.9.9 client=10.0.0.7 seconds=0.25"
    )


def test_the_journal_keeps_the_time_itself() -> None:
    assert line("ready", timestamps=False) == "info dns: ready"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "plain"),
        ("", '""'),
        ("two words", '"two words"'),
        ('a"b', '"a\\"b"'),
        ("a=b", '"a=b"'),
        ("a\nb", '"a\\nb"'),
        (None, "None"),
        (("10.0.0.7", 5), "\"('10.0.0.7', 5)\""),
    ],
)
def test_a_value_is_quoted_where_it_would_read_as_more(value: object, text: str) -> None:
    assert line("x", key=value).endswith(f" x key={text}")


@pytest.mark.parametrize(
    ("name", "service"),
    [
        ("appliance.dns.server", "dns"),
        ("appliance.supervisor", "supervisor"),
        ("cache", "cache"),
        ("addons.intercept", "addons"),
        ("mitmproxy.proxy.server", "mitmproxy"),
        ("root", "root"),
    ],
)
def test_the_service_is_the_room(name: str, service: str) -> None:
    assert service_of(name) == service


@given(message=st.text(), value=st.text())
def test_a_record_is_one_line(message: str, value: str) -> None:
    text = line("%s", message, key=value)
    assert len(text.splitlines()) == 1
    assert text.isprintable() or not re.search(r"[\x00-\x1f\x7f-\x9f]", text)


def fail() -> None:
    raise ValueError(f"https://cdn.example/b?X-Amz-Signature={SECRET}\nsecond line")


def test_a_traceback_follows_indented_and_redacted() -> None:
    with pytest.raises(ValueError, match="cdn") as caught:
        fail()
    fault = caught.value
    text = line("fill ended", exc_info=(type(fault), fault, fault.__traceback__))
    lines = text.splitlines()
    assert lines[0].endswith("dns: fill ended")
    assert all(each.startswith("    ") for each in lines[1:])
    assert lines[-2:] == [
        "    ValueError: https://cdn.example/b?X-Amz-Signature=[redacted]",
        "    second line",
    ]


@pytest.mark.parametrize(
    "text",
    [
        f"GET https://r2.example/x?X-Amz-Date=1&X-Amz-Signature={SECRET}&x=1",
        f"GET https://r2.example/x?X-Amz-Credential={SECRET}%2F20261120%2Fauto",
        f"GET https://r2.example/x?x-amz-security-token={SECRET}",
        f"https://cdn.example/x?Expires=1&Signature={SECRET}",
        f"https://cdn.example/x?sig={SECRET}",
        f"307 to http://10.0.0.2/blobs/sha256:ab?expires=1&model=library/x&signature={SECRET}",
        f"next=https%3A%2F%2Fa%2Fb%3FX-Amz-Signature%3D{SECRET}",
        f"https://registry.example/v2/?token={SECRET}",
        f"Authorization: Bearer {SECRET}",
        f"authorization: {SECRET}:with/a+key==",
        f"{{'Authorization': 'Basic {SECRET}', 'Accept': '*/*'}}",
        f"[(b'Authorization', b'{SECRET}')]",
        f'{{"Proxy-Authorization": "Basic {SECRET}"}}',
        f"sent bearer {SECRET} twice: Bearer {SECRET}",
        f"http://user:{SECRET}@proxy.example:3128",
    ],
)
def test_no_secret_is_logged(text: str) -> None:
    assert SECRET in text
    assert SECRET not in redact(text)
    assert SECRET not in line("%s", text)
    assert SECRET not in line("x", url=text)
    assert "[redacted]" in redact(text)


@given(st.text(st.sampled_from("0123456789abcdefABCDEF+/-_.~%"), min_size=32, max_size=64))
def test_whatever_the_signature_it_goes(signature: str) -> None:
    text = redact(f"https://a.example/b?X-Amz-Signature={signature}&X-Amz-Expires=86400")
    assert text == "https://a.example/b?X-Amz-Signature=[redacted]&X-Amz-Expires=86400"


@pytest.mark.parametrize(
    "text",
    [
        "filled sha256:ab12 design=1 tokens=7 assigned=3",
        "https://registry.ollama.ai/v2/library/tiny/manifests/latest",
        'Bearer realm="https://registry.example/token",service="x"',
        "mail to someone@example.com",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


def test_logs_go_to_standard_error_once(
    root: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs(level=logging.INFO, timestamps=True)
    configure_logs(level=logging.INFO, timestamps=False)
    logging.getLogger("appliance.cache.fill").info("filled", extra={"size_bytes": 5})
    logging.getLogger("appliance.cache.fill").debug("not said")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "info cache: filled size_bytes=5\n")


def test_other_packages_speak_only_of_trouble(
    root: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs(level=logging.DEBUG, timestamps=False)
    for name in ("mitmproxy.proxy.server", "asyncio", "aiohttp.access"):
        logging.getLogger(name).info("client connect")
        logging.getLogger(name).warning("trouble")
    assert capsys.readouterr().err.splitlines() == [
        "warning mitmproxy: trouble",
        "warning asyncio: trouble",
        "warning aiohttp: trouble",
    ]


def emit(root: logging.Logger, count: int, created: float, levelno: int = logging.INFO) -> None:
    for number in range(count):
        fields = {"name": "https", "levelno": levelno, "levelname": logging.getLevelName(levelno)}
        root.handle(logging.makeLogRecord(fields | {"msg": f"line {number}", "created": created}))


def test_clients_cannot_fill_the_disk_with_lines(
    root: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    root.handlers.clear()
    configure_logs(level=logging.INFO, timestamps=False)
    emit(root, 3 * LINES_PER_MINUTE_MAX, CREATED)
    assert len(capsys.readouterr().err.splitlines()) == LINES_PER_MINUTE_MAX
    emit(root, 2 * LINES_PER_MINUTE_MAX, CREATED + 30)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == LINES_PER_MINUTE_MAX // 2
    assert lines[0].endswith(f"line 0 left_out={2 * LINES_PER_MINUTE_MAX}")
    assert lines[1].endswith("line 1")


def test_trouble_is_told_in_a_flood_of_news_and_with_a_clock_set_back(
    root: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    root.handlers.clear()
    configure_logs(level=logging.INFO, timestamps=False)
    emit(root, 2 * LINES_PER_MINUTE_MAX, CREATED)
    capsys.readouterr()
    emit(root, 1, CREATED - 3600)
    assert capsys.readouterr().err == ""
    emit(root, 1, CREATED - 3600, logging.ERROR)
    assert capsys.readouterr().err == "error https: line 0\n"
    emit(root, 1, CREATED - 3590)
    assert "left_out" in capsys.readouterr().err
