"""`accel-asr augment-samples`: clips before and after, as training hears them, and refusals."""

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from accel_asr.commands.augment_samples import main
from accel_asr.config.command_line import parse_config
from accel_asr.run.job import load_job
from tests.tiny_datasets import SAMPLE_RATE_HZ, tone_utterances


@pytest.fixture
def settings(tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    lines = ["audio,text"]
    for index, (words, samples) in enumerate(tone_utterances(8)):
        soundfile.write(tmp_path / f"{index}.wav", samples, SAMPLE_RATE_HZ)
        lines.append(f"{index}.wav,<b>{' '.join(words)}")
    (tmp_path / "manifest.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    data = ["--data.name_or_path=manifest.csv", "--data.train_rows=6"]
    return [f"--model.name_or_path={tiny_folder}", "--model.language=en", *data]


EFFECTS = ["--augment.speed_prob=1", "--augment.gain_prob=0.5", "--augment.shift_prob=0.5"]


def test_the_clips_are_those_that_training_hears(settings: list[str], tmp_path: Path, capsys) -> None:
    assert main([*settings, *EFFECTS, "--clips", "20"]) == 0
    folder = tmp_path / "augmented"
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert page.count("<audio") == 12
    assert page.count("speed x ") == capsys.readouterr().out.count("speed x ") == 6
    assert page.count("&lt;b&gt;") == 6
    config = parse_config([*settings, *EFFECTS])
    job = load_job(config)
    heard = {job.train_items[0, row].clip.tobytes() for row in range(6)}
    written = [soundfile.read(folder / f"{number:02}_augmented.wav", dtype="int16")[0] for number in range(1, 7)]
    assert {samples.tobytes() for samples in written} == heard
    originals = [soundfile.read(folder / f"{number:02}_original.wav", dtype="int16")[0] for number in range(1, 7)]
    assert {samples.tobytes() for samples in originals} == {clip.samples().tobytes() for clip in job.data.train}
    # what is validated on is heard as it is
    validated = job.validation_items[0, 0]
    assert np.array_equal(validated.clip, job.data.validation[0].samples())


def test_earlier_clips_are_replaced_if_that_is_wanted_and_nothing_else_is(
    settings: list[str], tmp_path: Path, capsys
) -> None:
    assert main([*settings, *EFFECTS, "--clips", "3"]) == 0
    assert refusal([*settings, *EFFECTS], capsys).endswith("--overwrite\n")
    assert main([*settings, *EFFECTS, "--clips", "1", "--overwrite"]) == 0
    assert len(list((tmp_path / "augmented").glob("*.wav"))) == 2
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    assert "something else" in refusal([*settings, *EFFECTS, "--output_dir=mine", "--overwrite"], capsys)
    assert (tmp_path / "mine" / "notes.txt").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--augment: no effect is on"),
        (["--augment.speed_prob=2"], "--augment.speed_prob 2.0: is out of range"),
        (["--augment.noise_prob=1", "--augment.noise_dir=nowhere"], "--augment.noise_dir 'nowhere': is not a folder"),
        ([*EFFECTS, "--clips=0"], "--clips"),
    ],
)
def test_bad_input_is_one_message(
    settings: list[str], arguments: list[str], words: str, tmp_path: Path, capsys
) -> None:
    assert words in refusal([*settings, *arguments], capsys)
    assert not (tmp_path / "augmented").exists()


def refusal(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ")
    assert "Traceback" not in message
    return message


def test_a_pitch_without_its_library_is_one_message(
    settings: list[str], monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setitem(sys.modules, "python_stretch", None)
    assert "accel-asr[augment]" in refusal([*settings, "--augment.pitch_prob=1"], capsys)
