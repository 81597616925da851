"""The shapes that the benchmark measures, without their weights."""

import pytest
import torch
from transformers import WhisperForConditionalGeneration

from benchmarks.speed.material import SIZES, make_tokenizer, model_config


@pytest.mark.parametrize(
    ("name", "vocabulary", "parameters"),
    # on the Hub the models of these names have 37.8 and 809 million
    [("whisper-tiny", 51_865, 37_760_640), ("large-v3-turbo", 51_866, 808_878_080)],
)
def test_a_size_has_the_vocabulary_and_the_weights_of_its_name(name: str, vocabulary: int, parameters: int) -> None:
    size = SIZES[name]
    config = model_config(size, make_tokenizer(size))
    assert config.vocab_size == vocabulary
    with torch.device("meta"):
        model = WhisperForConditionalGeneration(config)
    assert sum(weight.numel() for weight in model.parameters()) == parameters
