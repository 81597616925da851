"""The ways of training that a plan compares, as changes of a run's settings."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

from accel_asr.config.lora_settings import LoraConfig
from accel_asr.config.settings import Config

FULL, ENCODER, ADAPTERS, MERGED = "full", "encoder", "adapters", "merged"


@dataclass(frozen=True)
class Way:
    """One way. `settings` are what it adds to the run's, as a YAML file has them."""

    name: str
    meaning: str
    config: Config
    settings: dict[str, Any]


def ways_of(config: Config) -> Iterator[Way]:
    """Each way as changed settings of the run; what the run freezes or adds by itself is set aside.

    Adapters only where peft is installed; merged padding only where the run does not have it anyway.
    """
    model = replace(config.model, freeze=[], cache_encoder_outputs=False, frozen_dtype="float32")
    plain = replace(config, model=model, lora=LoraConfig())
    yield Way(FULL, "all weights", plain, {})
    if config.training.audio_context != "merged":
        merged = replace(plain, training=replace(plain.training, audio_context="merged"))
        yield Way(MERGED, "all weights, padding merged", merged, {"training": {"audio_context": "merged"}})
    if find_spec("peft") is not None:
        # adapters take other rates than weights: their own default
        training = replace(plain.training, learning_rate=None)
        with_adapters = replace(plain, training=training, lora=replace(config.lora, enabled=True))
        yield Way(ADAPTERS, "LoRA adapters", with_adapters, {"lora": {"enabled": True}})
    frozen = replace(plain, model=replace(model, freeze=["decoder"]))
    yield Way(ENCODER, "the encoder alone", frozen, {"model": {"freeze": ["decoder"]}})
