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
    """Each way as changed settings of the run, the more telling first; what the run freezes or adds is set aside.

    Adapters only where peft is installed; merged padding only where the run does not have it anyway.
    """
    model = replace(config.model, freeze=[], cache_encoder_outputs=False, frozen_dtype="float32")
    plain = replace(config, model=model, lora=LoraConfig())

    def way(name: str, meaning: str, changed: Config, added: dict[str, dict[str, Any]]) -> Way:
        undone = _undone(config)
        return Way(
            name,
            meaning,
            changed,
            {section: undone.get(section, {}) | added.get(section, {}) for section in dict.fromkeys([*undone, *added])},
        )

    yield way(FULL, "all weights", plain, {})
    if find_spec("peft") is not None:
        # adapters take other rates than weights: their own default
        training = replace(plain.training, learning_rate=None)
        with_adapters = replace(plain, training=training, lora=replace(config.lora, enabled=True))
        added: dict[str, dict[str, Any]] = {"lora": {"enabled": True}}
        if config.training.learning_rate is not None:
            added["training"] = {"learning_rate": None}
        yield way(ADAPTERS, "LoRA adapters", with_adapters, added)
    frozen = replace(plain, model=replace(model, freeze=["decoder"]))
    yield way(ENCODER, "the encoder alone", frozen, {"model": {"freeze": ["decoder"]}})
    if config.training.audio_context != "merged":
        merged = replace(plain, training=replace(plain.training, audio_context="merged"))
        yield way(MERGED, "all weights, padding merged", merged, {"training": {"audio_context": "merged"}})


def _undone(config: Config) -> dict[str, dict[str, Any]]:
    """What takes back the way that the run's own settings choose."""
    model: dict[str, Any] = {}
    if config.model.freeze:
        model["freeze"] = []
    if config.model.cache_encoder_outputs:
        model["cache_encoder_outputs"] = False
    if config.model.frozen_dtype != "float32":
        model["frozen_dtype"] = "float32"
    lora = {"lora": {"enabled": False}} if config.lora.enabled else {}
    return {**({"model": model} if model else {}), **lora}
