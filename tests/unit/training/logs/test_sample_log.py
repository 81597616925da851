"""Samples in the trackers: the same utterances at each evaluation, their audio once, and no text is markup."""

import html
import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugin_util import markdown_to_safe_html

from accel_asr.data.loading.clip_items import ClipItems
from accel_asr.training.logs.sample_log import AUDIO, TABLE, SampleLog, evaluated_before, markdown_table
from accel_asr.training.logs.trackers import start_trackers
from tests.unit.training.logs.stand_in_trackers import stand_in

ROWS = [("clip-0", "pay my card", "pay my car"), ("clip-1", "hello", "")]
NewLog = Callable[..., SampleLog]


@pytest.fixture
def new_log(accelerator, tmp_path: Path, utterances) -> Iterator[NewLog]:
    """A log of the first two clips, as a process that starts at `first_step` has it."""
    made = []

    def new_log(*names: str, first_step: int = 1, of: Any = utterances, **options: Any) -> SampleLog:
        accelerator.trackers = []
        (tmp_path / "run").mkdir(exist_ok=True)
        folder = {"output_dir": tmp_path / "run", "first_step": first_step}
        start_trackers(
            accelerator, report_to=names, project_name="p", configuration={}, say=lambda line: None, **folder
        )
        made.append(SampleLog(accelerator, of[:2], sampling_rate_hz=16_000, **folder, **options))
        return made[-1]

    yield new_log
    for log in made:
        log.close()


def read_back(tmp_path: Path) -> EventAccumulator:
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard" / "samples"), size_guidance={"audio": 0})
    events.Reload()
    return events


def tables(events: EventAccumulator) -> list[tuple[int, str]]:
    found = events.Tensors(f"{TABLE}/text_summary")
    return [(event.step, event.tensor_proto.string_val[0].decode()) for event in found]


def test_each_evaluation_has_its_table_and_the_first_the_audio(new_log: NewLog, utterances, tmp_path: Path) -> None:
    log = new_log("tensorboard")
    log.log(0, ROWS)
    log.log(30, [("clip-0", "pay my card", "pay my card"), ROWS[1]])
    events = read_back(tmp_path)
    first, second = tables(events)
    assert first[0] == 0
    assert first[1].splitlines() == [
        "|utterance|reference|hypothesis|",
        "|---|---|---|",
        "|clip&#45;0|pay my card|pay my car|",
        "|clip&#45;1|hello||",
    ]
    assert (second[0], "|pay my card|pay my card|" in second[1]) == (30, True)
    assert events.Tags()["audio"] == [f"{AUDIO}/1 clip-0", f"{AUDIO}/2 clip-1"]
    for tag, utterance in zip(events.Tags()["audio"], utterances[:2], strict=True):
        (clip,) = events.Audio(tag)
        samples, rate = soundfile.read(io.BytesIO(clip.encoded_audio_string), dtype="int16")
        assert (clip.step, rate) == (0, 16_000)
        np.testing.assert_allclose(samples, utterance.samples(), atol=1)  # TensorBoard scales by 32767


def test_texts_and_voices_are_apart_from_the_curves(new_log: NewLog, tmp_path: Path) -> None:
    new_log("tensorboard").log(0, ROWS)
    curves = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    curves.Reload()
    assert (curves.Tags()["audio"], curves.Tags()["tensors"]) == ([], [])
    (file,) = (tmp_path / "run" / "tensorboard").glob("events*")
    assert b"clip-0" not in file.read_bytes()


@pytest.mark.parametrize(
    "nasty",
    [
        *(
            "a|b",
            "*x* _y_ `z`",
            "<b>bold</b><script>alert(1)</script>",
            "[a](http://b)",
            "![i](http://b/i.png)",
            "# head",
        ),
        *("- list", "1. one", "&amp; &#124;", "\\| \\* \\", "~~s~~", "नमस्ते, dünn", "---", "[x]: http://y", "a\n\n|b|"),
    ],
)
def test_tensorboard_shows_every_text_as_it_is(nasty: str) -> None:
    shown = markdown_to_safe_html(markdown_table([["id", nasty, "end"]]))
    cells = [html.unescape(cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", shown, flags=re.S)]
    assert cells == ["id", " ".join(nasty.split()), "end"]


def test_a_recording_that_is_gone_is_left_out_and_said(new_log: NewLog, clip_files: ClipItems, tmp_path: Path) -> None:
    (tmp_path / "clip-0.wav").unlink()
    message: list[str] = []
    new_log("tensorboard", of=clip_files.utterances, say=message.append).log(0, ROWS)
    assert len(message) == 1
    assert message[0].startswith("tracking.log_samples: no audio of clip-0.wav (")
    assert read_back(tmp_path).Tags()["audio"] == [f"{AUDIO}/2 clip-1.wav"]


def test_a_resumed_run_does_not_show_the_audio_again(new_log: NewLog, tmp_path: Path) -> None:
    new_log("tensorboard").log(0, ROWS)
    evaluations = tmp_path / "run" / "evaluations"
    evaluations.mkdir()
    (evaluations / "step-00000000.jsonl").touch()
    new_log("tensorboard", first_step=31).log(60, ROWS)
    events = read_back(tmp_path)
    assert [step for step, _ in tables(events)] == [0, 60]
    assert [len(events.Audio(tag)) for tag in events.Tags()["audio"]] == [1, 1]


@pytest.mark.parametrize(("first_step", "before"), [(1, False), (30, False), (31, True)])
def test_an_evaluation_that_is_hidden_by_a_resume_does_not_count(tmp_path: Path, first_step: int, before: bool) -> None:
    (tmp_path / "evaluations").mkdir()
    (tmp_path / "evaluations" / "step-00000030.jsonl").touch()
    assert evaluated_before(first_step, tmp_path) == before


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_the_others_get_a_table_and_audio_in_one_go(
    name: str, new_log: NewLog, utterances, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("WANDB_CACHE_DIR", "WANDB_DATA_DIR", "TRACKIO_DIR"):
        monkeypatch.setenv(variable, str(tmp_path))
    with stand_in(name, tmp_path, monkeypatch) as module:
        log = new_log(name)
        log.log(0, ROWS)
        log.log(30, ROWS)
    (first_step, first), (second_step, second) = module.runs[0].logged
    assert (first_step, second_step) == (0, 30)
    assert first[TABLE].named == {"columns": ["utterance", "reference", "hypothesis"], "data": [*map(list, ROWS)]}
    assert list(first) == [TABLE, f"{AUDIO}/1", f"{AUDIO}/2"]
    audio = first[f"{AUDIO}/2"]
    assert audio.named == {"sample_rate": 16_000, "caption": "clip-1"}
    np.testing.assert_array_equal(audio.values[0], utterances[1].samples())
    assert list(second) == [TABLE]


def test_without_trackers_or_samples_nothing_is_decoded(
    accelerator, new_log: NewLog, utterances, tmp_path: Path
) -> None:
    class Undecodable:
        def __len__(self) -> int:
            return 2

        def __iter__(self) -> Iterator[Any]:
            raise AssertionError("decoded for nothing")

    # as on the other ranks, which have no trackers
    log = SampleLog(accelerator, Undecodable(), sampling_rate_hz=16_000, output_dir=tmp_path, first_step=1)  # type: ignore[arg-type]
    log.log(0, ROWS)
    log.close()
    new_log("tensorboard", of=utterances[:0]).log(0, [])
    assert not (tmp_path / "run" / "tensorboard" / "samples").exists()
