"""Routes: a table of request targets, and the promise that there is no third outcome."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.protocol.digest import Digest
from appliance.protocol.errors import DigestInvalid, NameInvalid, RequestInvalid, Verdict
from appliance.protocol.reference import Reference, Repository
from appliance.protocol.routes import (
    BlobPull,
    ChunksumsPull,
    ManifestPull,
    Other,
    Ping,
    Route,
    parse_route,
)

HEX = "0f" * 32
TINY = Repository("library", "tiny")
ROUTES: dict[tuple[str, str], Route] = {
    ("GET", "/v2/"): Ping(),
    ("HEAD", "/v2"): Ping(),
    ("GET", "/v2/library/tiny/manifests/latest"): ManifestPull(Reference(TINY, "latest")),
    ("HEAD", "/v2/library/tiny/manifests/1b?x=y"): ManifestPull(Reference(TINY, "1b")),
    ("GET", "/v2/library/Tiny/manifests/LATEST"): ManifestPull(
        Reference(Repository("library", "Tiny"), "LATEST")
    ),
    ("GET", f"/v2/library/tiny/manifests/sha256:{HEX}"): ManifestPull(Reference(TINY, Digest(HEX))),
    ("GET", f"/v2/library/tiny/blobs/sha256:{HEX}"): BlobPull(TINY, Digest(HEX)),
    ("GET", f"/v2/library/tiny/blobs/sha256%3A{HEX.upper()}"): BlobPull(TINY, Digest(HEX)),
    ("POST", "/v2/library/tiny/blobs/uploads/"): Other(),
    ("GET", "/v2/library/tiny/blobs/uploads"): Other(),
    ("PUT", "/v2/library/tiny/manifests/latest"): Other(),
    ("GET", "/v2/_catalog"): Other(),
    ("GET", "/v2/library/tiny/tags/list"): Other(),
    ("GET", f"/v2/library/tiny/chunksums/sha256:{HEX}"): ChunksumsPull(TINY, Digest(HEX)),
    ("GET", "/token?service=x&scope=a%2Fb"): Other(),
    ("GET", "/"): Other(),
}
REFUSED: dict[str, type[Verdict]] = {
    "": RequestInvalid,
    "*": RequestInvalid,
    "http://registry.ollama.ai/v2/": RequestInvalid,
    "/v2/library/ti\x00ny/manifests/latest": RequestInvalid,
    "/v2/library/tiny/manifests/%2e%2e": RequestInvalid,
    "/v2/library/../tiny/manifests/latest": RequestInvalid,
    "/v2/library/tiny/manifests/..": RequestInvalid,
    "/v2//library/tiny/manifests/latest": RequestInvalid,
    "/v2/library%2Ftiny/manifests/latest": RequestInvalid,
    "/v2/library/tiny/manifests/l\u00e4test": RequestInvalid,
    "/v2/library/tiny/manifests/a b": RequestInvalid,
    "/v2/library\\tiny": RequestInvalid,
    "/" + "a" * 8192: RequestInvalid,
    "/v2/library/tiny/blobs/sha256:abc": DigestInvalid,
    "/v2/library/tiny/blobs/latest": DigestInvalid,
    "/v2/library/tiny/chunksums/sha256:abc": DigestInvalid,
    "/v2/library/tiny/manifests/sha256:abc": DigestInvalid,
    "/v2/library/tiny/manifests/%C0%AF": NameInvalid,
    "/v2/lib.rary/tiny/manifests/latest": NameInvalid,
    f"/v2/library/{'x' * 81}/manifests/latest": NameInvalid,
}


@pytest.mark.parametrize(("method", "target"), ROUTES, ids=" ".join)
def test_every_request_of_a_pull_has_a_name(method: str, target: str) -> None:
    assert parse_route(method, target) == ROUTES[method, target]


@pytest.mark.parametrize("target", REFUSED)
def test_a_target_with_two_readings_is_refused(target: str) -> None:
    with pytest.raises(REFUSED[target]):
        parse_route("GET", target)


@given(st.text() | st.from_regex(r"/v2/[^/]*/[^/]*/(manifests|blobs)/.*"))
def test_any_target_has_a_route_or_a_verdict(target: str) -> None:
    try:
        route = parse_route("GET", target)
    except (RequestInvalid, NameInvalid, DigestInvalid):
        return
    assert isinstance(route, Ping | ManifestPull | BlobPull | Other)
