"""Manifests: what Ollama's registry sends is read, what a captive portal sends is not."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.protocol.digest import Digest
from appliance.protocol.manifest import (
    MANIFEST_SIZE_BYTES_MAX,
    MANIFEST_TYPE,
    Descriptor,
    ManifestMalformedError,
    parse_manifest,
)

LAYER = {
    "mediaType": "application/vnd.ollama.image.model",
    "size": 7,
    "digest": "sha256:" + "A" * 64,
}
CONFIG = {
    "mediaType": "application/vnd.docker.container.image.v1+json",
    "size": 3,
    "digest": "sha256:" + "b" * 64,
}


def manifest(**changes: Any) -> bytes:
    document = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": CONFIG, "layers": [LAYER]}
    return json.dumps(document | changes).encode()


def test_layers_come_first_and_the_config_last() -> None:
    read = parse_manifest(manifest())
    assert [each.digest for each in read.descriptors] == [Digest("a" * 64), Digest("b" * 64)]
    assert read.descriptors[0] == Descriptor(LAYER["mediaType"], Digest("a" * 64), 7)  # type: ignore[arg-type]
    assert read.total_size_bytes == 10


@pytest.mark.parametrize("config", [None, {}, {"digest": "", "size": 0}])
def test_an_empty_config_is_legal(config: Any) -> None:
    assert len(parse_manifest(manifest(config=config)).descriptors) == 1


def test_a_manifest_has_a_largest_size() -> None:
    largest = manifest().ljust(MANIFEST_SIZE_BYTES_MAX)
    assert parse_manifest(largest) == parse_manifest(manifest())
    with pytest.raises(ManifestMalformedError, match="too many"):
        parse_manifest(largest + b" ")


def test_a_layer_listed_twice_is_downloaded_once() -> None:
    assert parse_manifest(manifest(layers=[LAYER, LAYER])).total_size_bytes == 10


def test_a_manifest_without_a_media_type_is_dockers() -> None:
    document = json.loads(manifest())
    del document["mediaType"]
    assert parse_manifest(json.dumps(document).encode()).media_type == MANIFEST_TYPE


MALFORMED = {
    "html": b"<html><body>Log in to continue</body></html>",
    "nothing": b"",
    "deep": b"[" * 100_000,
    "a list": b"[]",
    "error": b'{"errors":[]}',
    "too long": b" " * (MANIFEST_SIZE_BYTES_MAX + 1),
    "schema 1": manifest(schemaVersion=1),
    "manifest list": manifest(
        mediaType="application/vnd.docker.distribution.manifest.list.v2+json"
    ),
    "odd media type": manifest(mediaType=7),
    "no layers": manifest(layers=None),
    "layer is text": manifest(layers=["sha256"]),
    "media type is a list": manifest(mediaType=[]),
    "media type is an object": manifest(mediaType={}),
    "config is text": manifest(config="sha256"),
    "negative size": manifest(layers=[LAYER | {"size": -1}]),
    "true size": manifest(layers=[LAYER | {"size": True}]),
    "huge size": manifest(layers=[LAYER | {"size": 2**63}]),
    "short digest": manifest(layers=[LAYER | {"digest": "sha256:ab"}]),
    "no media type": manifest(layers=[{"size": 1, "digest": LAYER["digest"]}]),
}


@pytest.mark.parametrize("content", MALFORMED.values(), ids=MALFORMED)
def test_what_is_not_a_manifest_is_refused(content: bytes) -> None:
    with pytest.raises(ManifestMalformedError):
        parse_manifest(content)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(
    st.binary()
    | JSON.map(lambda each: manifest(layers=each))
    | JSON.map(lambda each: manifest(mediaType=each))
    | JSON.map(lambda each: manifest(config=each))
    | JSON.map(lambda each: manifest(layers=[LAYER | {"digest": each, "mediaType": each}]))
    | JSON.map(lambda each: json.dumps(each).encode())
)
def test_any_bytes_are_a_manifest_or_malformed(content: bytes) -> None:
    try:
        read = parse_manifest(content)
    except ManifestMalformedError:
        return
    assert all(each.size_bytes >= 0 for each in read.descriptors)
