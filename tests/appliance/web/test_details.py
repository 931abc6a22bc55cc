"""What a model's small blobs say, and what odd ones do not break."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.protocol.digest import digest_of
from appliance.protocol.manifest import Descriptor, Manifest
from appliance.web.details import (
    CONFIG_TYPE,
    describe_details,
    describe_shown,
    find_config,
    find_shown,
)

CONFIG = {
    "model_format": "gguf",
    "model_family": "llama",
    "model_families": ["llama", "clip"],
    "model_type": "3.2B",
    "file_type": "Q4_K_M",
}
EMPTY = {
    "parent_model": "",
    "format": "",
    "family": "",
    "families": None,
    "parameter_size": "",
    "quantization_level": "",
}
ODD = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=9),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=5), each),
)


def layer(kind: str) -> Descriptor:
    return Descriptor(kind, digest_of(kind.encode()), 1)


def test_a_config_gives_ollama_s_details() -> None:
    assert describe_details(json.dumps(CONFIG).encode()) == {
        "parent_model": "",
        "format": "gguf",
        "family": "llama",
        "families": ["llama", "clip"],
        "parameter_size": "3.2B",
        "quantization_level": "Q4_K_M",
    }


@pytest.mark.parametrize("config", [None, b"", b"[]", b"\xff", b"[" * 100_000, b"7"])
def test_no_config_gives_empty_details(config: bytes | None) -> None:
    assert describe_details(config) == EMPTY


@given(st.dictionaries(st.sampled_from(sorted(CONFIG)), ODD))
def test_details_have_their_types_whatever_the_config_says(config: dict[str, Any]) -> None:
    details = describe_details(json.dumps(config).encode())
    assert details.keys() == EMPTY.keys()
    families = details.pop("families")
    assert families is None or all(isinstance(each, str) for each in families)
    assert all(isinstance(each, str) for each in details.values())


def test_layers_are_found_by_their_kind() -> None:
    shown = [layer(f"application/vnd.ollama.image.{kind}") for kind in ("model", "template")]
    manifest = Manifest("", (*shown, layer(CONFIG_TYPE)))
    assert find_config(manifest) == layer(CONFIG_TYPE)
    assert find_shown(manifest) == {"template": shown[1]}
    assert find_config(Manifest("", ())) is None


def test_parameters_stand_in_ollama_s_column_one_value_a_line() -> None:
    layers = {
        "params": b'{"temperature": 0.6, "stop": ["<|a|>", "<|b|>"]}',
        "template": b"{{ .Prompt }}",
        "system": "Grüß Gott".encode(),
        "license": b"MIT",
        "messages": b'[{"role": "user", "content": "hi"}, {"role": 7}]',
    }
    shown = describe_shown("tiny:latest", None, layers)
    assert shown == {
        "license": "MIT",
        "modelfile": 'FROM tiny:latest\nTEMPLATE """{{ .Prompt }}"""\nSYSTEM """Grüß Gott"""\n'
        'LICENSE """MIT"""\nPARAMETER stop "<|a|>"\nPARAMETER stop "<|b|>"\n'
        "PARAMETER temperature 0.6\n",
        "parameters": f'{"stop":<30} "<|a|>"\n{"stop":<30} "<|b|>"\n{"temperature":<30} 0.6',
        "template": "{{ .Prompt }}",
        "system": "Grüß Gott",
        "messages": [{"role": "user", "content": "hi"}],
        "details": EMPTY,
    }


@given(st.dictionaries(st.sampled_from(["params", "messages", "system"]), st.binary() | ODD))
def test_odd_layers_break_nothing(layers: dict[str, Any]) -> None:
    spelt = {
        kind: each if isinstance(each, bytes) else json.dumps(each).encode()
        for kind, each in layers.items()
    }
    shown = describe_shown("tiny:latest", None, spelt)
    assert shown["modelfile"].startswith("FROM tiny:latest\n")
