"""What a run works on: who masks what."""

import json
import shutil
from pathlib import Path

import pytest

from accel_asr.audio.spec_augment import SpecAugment
from accel_asr.config.augmentation_settings import SpecAugmentConfig
from accel_asr.config.settings import Config, DataConfig, ModelConfig
from accel_asr.config.training_settings import TrainingConfig
from accel_asr.run.job import Job, load_job
from tests.refusals import refused


@pytest.fixture
def load(tiny_folder: Path, tmp_path: Path):
    """`load(settings)`: the job of the quickstart's clips and a model that would mask by itself."""
    folder = tmp_path / "model"
    shutil.copytree(tiny_folder, folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "apply_spec_augment": True}), encoding="utf-8")

    def make(spec_augment: SpecAugmentConfig, **training: str) -> Job:
        data = DataConfig("quickstart", eval_rows=20)
        model = ModelConfig(name_or_path=str(folder), language="en")
        return load_job(
            Config(model=model, data=data, spec_augment=spec_augment, training=TrainingConfig(**training))  # type: ignore[arg-type]
        )

    return make


def test_our_masks_take_the_place_of_the_models_own_and_validation_has_none(load) -> None:
    job = load(SpecAugmentConfig(enabled=True, mask_time_prob=0.3))
    assert job.train_collator.spec_augment == SpecAugment(0.3, 100, 0.7, 27)
    assert job.collator.spec_augment is None
    assert job.model.config.apply_spec_augment is False
    assert [notice for notice in job.data.notices if "apply_spec_augment" in notice]


def test_without_ours_the_model_masks_as_its_configuration_says(load) -> None:
    job = load(SpecAugmentConfig())
    assert job.train_collator == job.collator
    assert job.model.config.apply_spec_augment is True
    assert not [notice for notice in job.data.notices if "spec_augment" in notice]


def test_merging_takes_padding_to_be_constant_which_the_models_own_masks_are_not(load) -> None:
    with refused("--training.audio_context", "apply_spec_augment", value="merged", remedy="--spec_augment.enabled"):
        load(SpecAugmentConfig(), audio_context="merged")
    job = load(SpecAugmentConfig(enabled=True), audio_context="merged")
    assert job.train_collator.merging is not None
    assert job.collator.merging is None
