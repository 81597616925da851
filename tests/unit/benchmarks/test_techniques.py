"""The benchmark of techniques: what it says of scores and checkpoints, and its noises."""

import json
from pathlib import Path

import numpy as np
import soundfile
from safetensors.numpy import save_file

from accel_asr.evaluation.intervals import Difference
from benchmarks.techniques import ROWS, Row, table, trained_parameters, write_noises


def test_a_row_is_compared_with_full_fine_tuning() -> None:
    none, worse = Difference(0.0, (0.0, 0.0), 1.0), Difference(0.02, (-0.01, 0.05), 0.9)
    full = Row("full", 0.2, (0.1, 0.3), none, 0.5, none, 2_000_000, 24_000_000, 8.0)
    lora = Row("LoRA", 0.22, (0.12, 0.32), worse, None, None, 200_000, 2_400_000, 6.0)
    assert list(table([full, lora]))[2:] == [
        "| full | 20.00% (10.00% to 30.00%) |  | 50.00% |  | 2.00 M | 24.0 MB | 1.00x |",
        "| LoRA | 22.00% (12.00% to 32.00%) | +2.00 (-1.00 to +5.00) |  |  | 0.20 M | 2.4 MB | 0.75x |",
    ]


def test_trained_parameters_are_those_of_the_optimizer(tmp_path: Path) -> None:
    tensors = {"a": np.zeros((3, 4)), "b": np.zeros(5), "frozen": np.zeros(100)}
    save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "state.json").write_text(json.dumps({"trained_parameters": [["a"], ["b"]]}))
    assert trained_parameters(tmp_path) == 17


def test_noises_to_train_and_to_test_with_are_others_and_the_same_every_time(tmp_path: Path) -> None:
    clips = [np.full(16_000, 1_000, np.int16)] * 3
    first, again = (write_noises(tmp_path / name, clips) for name in ("first", "again"))
    train, test = ({path.name: soundfile.read(path)[0] for path in folder.iterdir()} for folder in first)
    assert (set(train), set(test)) == ({"white.flac", "babble.flac"}, {"pink.flac"})
    assert all(len(noise) == 60 * 16_000 for noise in (*train.values(), *test.values()))
    assert all((again[0] / name).read_bytes() == (first[0] / name).read_bytes() for name in train)


def test_every_row_but_the_first_differs_from_full_fine_tuning() -> None:
    assert [name for name, settings in ROWS.items() if not settings] == ["full"]
