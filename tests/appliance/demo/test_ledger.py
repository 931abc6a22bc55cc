"""The ledger: what was asked can be found again."""

from appliance.demo.ledger import Asked, Ledger
from appliance.protocol.digest import digest_of


def test_requests_are_found_by_method_site_and_target() -> None:
    ledger = Ledger()
    ledger.asked += [
        Asked("registry.test", "GET", "/v2/a", (("Range", "bytes=0-1"),)),
        Asked("cdn.test", "GET", "/data", ()),
        Asked("registry.test", "HEAD", "/v2/a", ()),
    ]
    assert ledger.count() == 3
    assert ledger.count("GET") == 2
    assert ledger.count(site="cdn") == 1
    assert ledger.requests("GET", "/v2/")[0].field("range") == "bytes=0-1"
    assert ledger.requests("HEAD")[0].field("Range") is None


def test_bytes_are_summed_over_blobs() -> None:
    ledger = Ledger()
    ledger.blob_bytes[digest_of(b"a")] += 3
    ledger.blob_bytes[digest_of(b"b")] += 4
    assert ledger.upstream_bytes == 7
