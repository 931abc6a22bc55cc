"""Verdicts render themselves as the registry API's error documents."""

import json

import pytest

from appliance.protocol import errors
from appliance.protocol.errors import RangeNotSatisfiable, Verdict

VERDICTS = [
    each
    for each in vars(errors).values()
    if isinstance(each, type) and issubclass(each, Verdict) and each is not Verdict
]


@pytest.mark.parametrize("verdict", VERDICTS, ids=lambda each: each.__name__)
def test_every_verdict_is_an_oci_error_document(verdict: type[Verdict]) -> None:
    made = RangeNotSatisfiable(7) if verdict is RangeNotSatisfiable else verdict("because")
    (error,) = json.loads(made.body())["errors"]
    assert error == {"code": verdict.code, "message": made.message}
    assert 400 <= made.status < 600
    assert made.fields()["Content-Type"] == "application/json"


def test_a_416_says_how_long_the_blob_is() -> None:
    assert RangeNotSatisfiable(10).fields()["Content-Range"] == "bytes */10"
