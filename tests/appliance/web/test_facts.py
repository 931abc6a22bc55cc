"""Facts are as the box was started: nobody changes them."""

from dataclasses import FrozenInstanceError

import pytest

from tests.appliance.web.conftest import facts_of
from tests.fakes.registry import Shop


async def test_facts_stay_as_they_are(shop: Shop) -> None:
    facts = facts_of(shop, {})
    with pytest.raises(FrozenInstanceError):
        facts.version = "9"  # type: ignore[misc]  # That is what is refused.


async def test_what_changes_is_asked_each_time(shop: Shop) -> None:
    checks: dict[str, object] = {}
    facts = facts_of(shop, checks)  # type: ignore[arg-type]  # Filled below.
    assert not facts.checks()
    checks["dns"] = None
    assert facts.checks()
