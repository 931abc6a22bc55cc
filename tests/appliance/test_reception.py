"""What a running box answers the verbs, in this process and on loopback."""

import asyncio
import json
from pathlib import Path

import pytest

from appliance.control import BoxRefusesError, ask_box, follow_box, wish_of_box
from appliance.policy.roles import DEEDS
from appliance.upstream.builtin import BUILTIN
from appliance.web.learnt import FORGET_LEARNT
from tests.appliance.boxes import make_config, running_box


@pytest.fixture(scope="module")
def questions() -> tuple[str, ...]:
    return ("status", "models", "learnt", "scrub", "verify", "stats", "tokens")


async def test_every_question_has_an_answer(tmp_path: Path, questions: tuple[str, ...]) -> None:
    async with running_box(make_config(tmp_path / "state")) as box:
        state_dir = box.config.state_dir
        told = {each: await ask_box(state_dir, each) for each in questions}
        assert told["verify"] == {"asked": None}
        assert told["stats"]["cache_directory"] == str(state_dir)
        assert told["stats"]["blob_count"] == 0
        assert told["models"] == told["learnt"] == told["tokens"] == []
        assert told["status"]["status"] == "healthy"
        assert await wish_of_box(state_dir, FORGET_LEARNT, {}) == []
        for deed in set(DEEDS) - {"pin", "unpin", "rm", "evict"}:
            await wish_of_box(state_dir, deed, {})


async def test_a_prefetch_is_told_to_its_end_and_audited(tmp_path: Path) -> None:
    async with running_box(make_config(tmp_path / "state")) as box:
        state_dir = box.config.state_dir
        # The box's own model is the one that needs no Internet.
        wish = {"model": str(BUILTIN.repository)}
        lines = [line async for line in follow_box(state_dir, "prefetch", wish)]
        assert lines[0] == {"status": "pulling manifest"}
        assert lines[-1] == {"status": "success"}
        wish = {"model": "llama3.2"}
        lines = [line async for line in follow_box(state_dir, "prefetch", wish)]
        assert "error" in lines[-1]
        with pytest.raises(BoxRefusesError, match="no model's name"):
            await anext(follow_box(state_dir, "prefetch", {"model": "a b"}))
    audited = await asyncio.to_thread((state_dir / "audit.jsonl").read_text, "utf-8")
    notes = [json.loads(line) for line in audited.splitlines()]
    assert [each["deed"] for each in notes] == ["prefetch", "prefetch"]
    assert notes[0]["outcome"] == "done"
    assert notes[1]["outcome"].startswith("refused: ")
