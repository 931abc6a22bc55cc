"""What the box holds, as JSON: keys that ollama-lancache's scripts know, and ours after them."""

import datetime
from typing import Any

from appliance.protocol.reference import NAMESPACE_DEFAULT, TAG_DEFAULT
from appliance.store.models import ModelRow


def describe_model(row: ModelRow, base_url: str, registry_name: str) -> dict[str, Any]:
    """One model. `base_url` is the box as the asking client reaches it, without a last slash."""
    repository, tag = row.reference.repository, row.reference.tag or TAG_DEFAULT
    is_library = repository.namespace == NAMESPACE_DEFAULT
    name = repository.model if is_library else str(repository)
    return {
        "name": name,
        "tag": tag,
        "size": row.total_size_bytes,
        "modified": format_instant(row.stored_at),
        "download_url": f"{base_url}/models/{name}:{tag}",
        "manifest_url": f"{base_url}/v2/{repository}/manifests/{tag}",
        "namespace": repository.namespace,
        "registry": registry_name,
        "digest": str(row.digest),
        "complete": row.is_complete,
        "cached_bytes": row.held_size_bytes,
        "last_pulled": format_instant(row.last_pulled_at) if row.last_pulled_at else None,
        "pulls": row.pulls,
        "pinned": row.is_pinned,
    }


def matches(row: ModelRow, wanted: str) -> bool:
    """Whether a model's name or tag contains `wanted`, whatever its case."""
    return wanted.lower() in str(row.reference).lower()


def format_instant(at: float) -> str:
    """Seconds since the epoch as RFC 3339, in UTC."""
    instant = datetime.datetime.fromtimestamp(at, datetime.UTC)
    return instant.isoformat(timespec="seconds").replace("+00:00", "Z")
