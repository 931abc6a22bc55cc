"""mitmproxy's flows to our values and back."""

import pytest
from mitmproxy import connection, http
from mitmproxy.test import tflow

from addons.flows import has_body, read_request, write_answer
from appliance.policy.delivery import Door
from appliance.protocol.errors import (
    FieldsTooLarge,
    LoopDetected,
    Misdirected,
    RequestInvalid,
    Verdict,
)
from appliance.protocol.fields import format_via
from appliance.registry.requests import Answer

NAME = "registry.ollama.ai"
HOST = (b"Host", NAME.encode())


def flow_of(
    *fields: tuple[bytes, bytes],
    method: str = "GET",
    path: str = "/v2/",
    sni: str = NAME,
    version: str = "HTTP/1.1",
) -> http.HTTPFlow:
    """A flow as it is at `requestheaders`."""
    flow = tflow.tflow()
    flow.client_conn = connection.Client(
        peername=("192.0.2.7", 50000), sockname=("192.0.2.1", 443), sni=sni
    )
    flow.request = http.Request.make(method, "https://placeholder/", b"")
    flow.request.path, flow.request.data.http_version = path, version.encode()
    flow.request.headers = http.Headers(fields)
    flow.request.authority = ""
    return flow


def test_a_request_is_what_the_registry_needs_of_it() -> None:
    fields = ((b"User-Agent", b"ollama/0.12.6"), (b"Range", b"bytes=0-1"), (b"Accept", b"a"))
    flow = flow_of(HOST, *fields, (b"Accept", b"b"), (b"Authorization", b"Bearer x"))
    asked = read_request(flow, "box")
    assert (asked.door, asked.method, asked.target) == (Door.HTTPS, "GET", "/v2/")
    assert (asked.host, asked.host_port) == (NAME, None)
    assert (asked.client_address, asked.dialled) == ("192.0.2.7", "192.0.2.1")
    assert (asked.user_agent, asked.range_field) == ("ollama/0.12.6", "bytes=0-1")
    assert (asked.accept, asked.has_authorization) == ("a, b", True)


def test_fields_that_are_not_there_are_empty() -> None:
    asked = read_request(flow_of(HOST), "box")
    assert (asked.user_agent, asked.accept, asked.range_field) == ("", "", None)
    assert not asked.has_authorization


def test_a_signature_by_habit_is_one_field_and_no_second() -> None:
    signed = (b"Authorization", b"Bearer a:b:c")
    assert read_request(flow_of(HOST, signed), "box").is_signed_by_habit
    assert not read_request(flow_of(HOST, signed, signed), "box").is_signed_by_habit


@pytest.mark.parametrize(
    ("flow", "verdict"),
    [
        pytest.param(flow_of(), RequestInvalid, id="no Host"),
        pytest.param(flow_of(HOST, HOST), RequestInvalid, id="two Hosts"),
        pytest.param(flow_of(HOST, sni="ollama.ai"), Misdirected, id="another name"),
        pytest.param(flow_of(HOST, path="*"), RequestInvalid, id="asterisk"),
        pytest.param(flow_of(HOST, method="G\0T"), RequestInvalid, id="a method with NUL"),
        pytest.param(flow_of(HOST, version="HTTP/2.0"), RequestInvalid, id="HTTP/2.0"),
        pytest.param(flow_of(HOST, (b"Via", b"1.1 box")), LoopDetected, id="our own Via"),
        pytest.param(flow_of(HOST, (b"X", b"a" * 65536)), FieldsTooLarge, id="a large head"),
    ],
)
def test_a_head_that_is_refused(flow: http.HTTPFlow, verdict: type[Verdict]) -> None:
    with pytest.raises(verdict):
        read_request(flow, "box")


def test_absolute_form_is_refused() -> None:
    flow = flow_of(HOST)
    flow.request.authority = NAME
    with pytest.raises(RequestInvalid):
        read_request(flow, "box")


def test_bytes_that_are_no_text_become_text() -> None:
    asked = read_request(flow_of(HOST, (b"Accept", b"\xff"), (b"User-Agent", b"\xc3\xa9")), "box")
    assert (asked.accept, asked.user_agent) == ("\ufffd", "é")


def test_another_box_s_via_is_no_loop() -> None:
    read_request(flow_of(HOST, (b"Via", format_via("other-box").encode())), "box")


@pytest.mark.parametrize(
    ("field", "follows"),
    [
        ((b"Content-Length", b"0"), False),
        ((b"Content-Length", b"000"), False),
        ((b"Content-Length", b"10"), True),
        ((b"Transfer-Encoding", b"chunked"), True),
        ((b"X-Own", b"1"), False),
    ],
)
def test_whether_a_body_follows(field: tuple[bytes, bytes], follows: bool) -> None:
    assert has_body(flow_of(HOST, field)) is follows


def test_an_answer_becomes_the_response() -> None:
    flow = flow_of(HOST)
    write_answer(flow, Answer(404, {"Content-Type": "application/json"}, b"{}"))
    assert flow.response is not None
    assert (flow.response.status_code, flow.response.content) == (404, b"{}")
    assert flow.response.headers["Content-Length"] == "2"
    assert flow.response.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("answer", "length"),
    [(Answer(200, {}, b"abc"), "3"), (Answer(200, {"Content-Length": "7"}), "7")],
)
def test_the_answer_to_a_head_has_a_length_only(answer: Answer, length: str) -> None:
    flow = flow_of(HOST, method="HEAD")
    write_answer(flow, answer)
    assert flow.response is not None
    assert flow.response.raw_content == b""
    assert flow.response.headers.get_all("Content-Length") == [length]


def test_a_body_that_nobody_reads_ends_the_flow() -> None:
    flow = flow_of(HOST, (b"Content-Length", b"9"))
    write_answer(flow, Answer(400))
    assert flow.error is not None
    assert flow.response is None
