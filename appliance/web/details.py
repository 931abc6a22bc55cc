"""What a model is, from its config and its other small blobs, as Ollama's API tells it.

All of it was written by whoever published the model: nothing is trusted to have the right type.
"""

import json
from collections.abc import Mapping
from typing import Any

from appliance.protocol.manifest import Descriptor, Manifest

CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
_LAYER_TYPE = "application/vnd.ollama.image."
_SHOWN_LAYERS = ("license", "template", "system", "params", "messages")
_PARAMETER_WIDTH = 30  # Ollama's own column.


def find_config(manifest: Manifest) -> Descriptor | None:
    """The blob that tells family, size and quantization."""
    return next((each for each in manifest.descriptors if each.media_type == CONFIG_TYPE), None)


def find_shown(manifest: Manifest) -> dict[str, Descriptor]:
    """The layers that `show` shows, by Ollama's word for each; of several alike the last."""
    kinds = {each.media_type.removeprefix(_LAYER_TYPE): each for each in manifest.descriptors}
    return {kind: kinds[kind] for kind in _SHOWN_LAYERS if kind in kinds}


def describe_details(config: bytes | None) -> dict[str, Any]:
    """`details`; empty where the config is not held, or does not say."""
    document = _parse_object(config)

    def said(key: str) -> str:
        value = document.get(key)
        return value if isinstance(value, str) else ""

    listed = document.get("model_families")
    listed = listed if isinstance(listed, list) else []
    families = [each for each in listed if isinstance(each, str)]
    return {
        "parent_model": "",
        "format": said("model_format"),
        "family": said("model_family"),
        "families": families or None,  # What Ollama answers for none.
        "parameter_size": said("model_type"),
        "quantization_level": said("file_type"),
    }


def describe_shown(name: str, config: bytes | None, layers: Mapping[str, bytes]) -> dict[str, Any]:
    """`/api/show` but for `modified_at`. As with Ollama, what a model has not is not there."""
    texts = {kind: layers[kind].decode("utf-8", "replace") for kind in layers}
    parameters = format_parameters(layers.get("params"))
    shown = {
        "license": texts.get("license", ""),
        "modelfile": _format_modelfile(name, texts, parameters),
        "parameters": "\n".join(f"{key:<{_PARAMETER_WIDTH}} {value}" for key, value in parameters),
        "template": texts.get("template", ""),
        "system": texts.get("system", ""),
        "messages": _parse_messages(layers.get("messages")),
    }
    said = {key: value for key, value in shown.items() if value}
    return {**said, "details": describe_details(config)}


def format_parameters(content: bytes | None) -> list[tuple[str, str]]:
    """Each parameter and a value of it, as a Modelfile spells them."""
    return [
        (key, json.dumps(each, ensure_ascii=False))
        for key, value in sorted(_parse_object(content).items())
        for each in (value if isinstance(value, list) else [value])
    ]


def _format_modelfile(
    name: str, texts: Mapping[str, str], parameters: list[tuple[str, str]]
) -> str:
    said = [kind for kind in ("template", "system", "license") if kind in texts]
    lines = [
        f"FROM {name}",
        *(f'{kind.upper()} """{texts[kind]}"""' for kind in said),
        *(f"PARAMETER {key} {value}" for key, value in parameters),
    ]
    return "\n".join(lines) + "\n"


def _parse_messages(content: bytes | None) -> list[dict[str, str]]:
    document = _parse(content)
    messages = document if isinstance(document, list) else []
    return [
        {"role": each["role"], "content": each["content"]}
        for each in messages
        if isinstance(each, dict)
        and isinstance(each.get("role"), str)
        and isinstance(each.get("content"), str)
    ]


def _parse_object(content: bytes | None) -> dict[str, Any]:
    document = _parse(content)
    return document if isinstance(document, dict) else {}


def _parse(content: bytes | None) -> object:
    try:
        return json.loads(content or b"null")
    except (ValueError, RecursionError):
        return None
