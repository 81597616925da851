"""The recordings behind a report, opened again when the data may no longer be what it was."""

from pathlib import Path

import pytest

from accel_asr.audio.decoding import AudioError
from accel_asr.config.settings import DataConfig, ModelConfig
from accel_asr.reporting.validation_audio import reopen
from tests.tiny_datasets import tone_clip, wav_bytes

NAMES = [f"{number}.wav" for number in range(6)]


@pytest.fixture
def data(tmp_path: Path) -> DataConfig:
    folder = tmp_path / "clips"
    folder.mkdir()
    for number, name in enumerate(NAMES):
        (folder / name).write_bytes(wav_bytes(tone_clip(["pay"] * (number + 1))))
    rows = "".join(f"{name},pay\n" for name in NAMES)
    (folder / "metadata.csv").write_text(f"file_name,text\n{rows}")
    return DataConfig(name_or_path=str(folder), eval_rows=2)


def test_a_recording_that_has_gone_takes_no_other_with_it(data: DataConfig) -> None:
    model = ModelConfig(name_or_path="quickstart", language="en")
    samples_of = reopen(data, model, seed=0)
    lengths = {name: len(samples_of(name)) for name in NAMES}
    assert len(set(lengths.values())) == len(NAMES)
    (Path(str(data.name_or_path)) / "3.wav").unlink()  # one of six is above data.max_bad_fraction
    samples_of = reopen(data, model, seed=0)
    # other rows would be held out now; whichever they were, their audio is there
    assert {name: len(samples_of(name)) for name in NAMES if name != "3.wav"} == {
        name: length for name, length in lengths.items() if name != "3.wav"
    }
    with pytest.raises((KeyError, AudioError)):
        samples_of("3.wav")
