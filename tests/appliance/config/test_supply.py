"""The supply's sections as they come out: the true registry, checked, and room left on the disk."""

from appliance.config.supply import Blobs, Cache, Origin


def test_the_origin_is_the_true_registry_and_never_inside() -> None:
    origin = Origin()
    assert (origin.name, origin.url) == ("registry.ollama.ai", "https://registry.ollama.ai")
    assert (origin.allow_private, origin.ca_file, origin.proxy) == (False, None, None)


def test_a_model_is_never_refused_unless_somebody_says_so() -> None:
    assert (Blobs().delivery, Blobs().fallback) == ("auto", "origin")


def test_the_disk_is_not_filled() -> None:
    cache = Cache()
    assert cache.max_size.bytes_of(1000) + cache.min_free.bytes_of(1000) < 1000
