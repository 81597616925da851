"""A plan as the terminal and the page show it."""

from typing import Any

import pytest

from accel_asr.planning.plan_tables import no_speech_cell, show_plan
from accel_asr.reporting.plan_page import render_plan

PROMPT = "Anna, <Zurich>."
RATES = {"wer": 0.2, "wer_interval": [0.18, 0.22], "cer": 0.1, "cer_interval": [0.08, 0.12]}
NO_SPEECH = {"clips": 39, "with_words": 4, "share": 4 / 39, "share_interval": [0.041, 0.236]}
WAY = {
    "way": "adapters",
    "meaning": "LoRA adapters",
    "steps": 20,
    "utterances_a_step": 2,
    "step_s": 1.5,
    "hours": 0.5,
    "audio_hours_per_hour": 12.0,
    "peak_bytes": 2 * 10**9,
    "disk_bytes": 3 * 10**8,
    "largest_micro_batch": 0,
    "after": {"wer": 0.15},
}


def record(**changed: Any) -> dict[str, Any]:
    model = {
        "model": "a/model",
        **RATES,
        "prompted": {**RATES, "wer": 0.01},
        "guards": {"general": {"rate": 0.05}},
        "no_speech": NO_SPEECH,
        "worst_parts": [{"column": "speaker", "value": "<b>", "wer": 0.5, "utterances": 7}],
        "confusions": [{"reference": "Anna", "hypothesis": "", "count": 3}],
        "worst": [{"reference": "Anna", "hypothesis": "", "id": "1"}],
    }
    found = {
        "models": [model],
        "sample": 100,
        "train_hours": 1.0,
        "keywords": ["Anna", "<Zurich>"],
        "prompt": PROMPT,
        "ways": [WAY],
        "not_probed": {"encoder": "no time"},
        "answer": "prompt",
        "reasons": ["because"],
        "settings": {},
        "seconds": 100.0,
    }
    return found | changed


def test_the_terminal_shows_the_answer_and_the_prompt(capsys: pytest.CaptureFixture[str]) -> None:
    show_plan(record())
    shown = capsys.readouterr().out
    for text in ("answer: prompt", f"prompt: {PROMPT}", "4 of 39", "does not fit", '"Anna" missed', "1.00%"):
        assert text in shown
    show_plan(record(answer="adapters", settings={"lora": {"enabled": True}}))
    shown = capsys.readouterr().out
    assert "lora:\n  enabled: true" in shown
    assert "prompt:" not in shown


def test_the_page_has_the_same_and_escapes_it() -> None:
    page = render_plan(record())
    assert "<h1>Give it a prompt of your keywords</h1>" in page
    assert "Anna, &lt;Zurich&gt;." in page
    assert "<b>" not in page
    assert "4 of 39" in page


def test_a_replay_is_in_the_title() -> None:
    page = render_plan(record(answer="full, with replay", settings={"checkpoint": {"interpolate": True}}))
    assert "<h1>Fine-tune all weights, with replay</h1>" in page
    assert "interpolate: true" in page


def test_without_scored_clips_the_cell_says_so() -> None:
    assert no_speech_cell({"no_speech": None}) == "not scored"
