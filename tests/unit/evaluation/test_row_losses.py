"""The losses of rows: those of transformers, clip by clip, whatever the batches; and the language that is heard."""

import math
from dataclasses import replace

import pytest
import torch

from accel_asr.audio.decoding import to_float32
from accel_asr.evaluation.decoding_settings import Decoding
from accel_asr.evaluation.generation import transcribe_utterances
from accel_asr.evaluation.row_losses import RowLosses, row_losses
from accel_asr.model import pretrained as modeling
from accel_asr.model.silence_merging import SilenceMerging


def found(model, items, accelerator, collator, *, batch_size: int = 3) -> list[RowLosses]:
    decoding = Decoding.of_model(model, normalizer=str.lower, batch_size=batch_size)
    return transcribe_utterances(
        model, items, decoding, accelerator=accelerator, collator=collator, closer_look=row_losses
    ).details


@torch.no_grad()
def loss_of(model, features: torch.Tensor, given: list[int], target: list[int]) -> float:
    """The mean loss of `target` after the tokens `given`, by transformers' own logits."""
    ids = torch.tensor([given + target])
    logits = model(input_features=features, decoder_input_ids=ids[:, :-1]).logits[0, len(given) - 1 :].float()
    return float(torch.nn.functional.cross_entropy(logits, torch.tensor(target)))


@pytest.mark.parametrize("batch_size", [1, 3, 7])
def test_losses_are_those_of_transformers_clip_by_clip(
    model_and_processor, utterances, clip_items, encoder, accelerator, collator, batch_size: int
) -> None:
    model, processor = model_and_processor
    end, given = model.config.eos_token_id, list(encoder.prefix("en", "transcribe"))
    details = found(model, clip_items, accelerator, collator, batch_size=batch_size)
    for utterance, row in zip(utterances, details, strict=True):
        features = processor.feature_extractor(
            to_float32(utterance.samples()), sampling_rate=16_000, return_tensors="pt"
        ).input_features
        text = list(encoder.encode(utterance.text).token_ids)[len(given) :]
        assert row.text_loss == pytest.approx(loss_of(model, features, given, text), rel=1e-4)
        most = model.generation_config.max_new_tokens
        own = model.generate(features, language="en", task="transcribe", max_new_tokens=most)[0].tolist()
        own = [token for token in own if token < end][:most]
        own += [end] if len(own) < most else []
        assert row.own_loss == pytest.approx(loss_of(model, features, given, own), rel=1e-4)


def test_the_language_heard_is_the_most_probable_after_the_start(
    model_and_processor, utterances, clip_items, accelerator, collator
) -> None:
    model, processor = model_and_processor
    tokens = model.generation_config.lang_to_id
    for utterance, row in zip(utterances, found(model, clip_items, accelerator, collator), strict=True):
        features = processor.feature_extractor(
            to_float32(utterance.samples()), sampling_rate=16_000, return_tensors="pt"
        ).input_features
        start = torch.tensor([[model.config.decoder_start_token_id]])
        logits = model(input_features=features, decoder_input_ids=start).logits[0, 0]
        probabilities = logits[list(tokens.values())].softmax(0).tolist()
        by_code = {name.strip("<|>"): value for name, value in zip(tokens, probabilities, strict=True)}
        assert row.language == max(by_code, key=by_code.__getitem__)
        assert row.language_probability == pytest.approx(by_code[row.language], abs=1e-4)
        assert row.expected_language == "en"


def test_with_merged_padding_too_the_batch_does_not_matter(
    model_and_processor, clip_items, accelerator, collator
) -> None:
    model, processor = model_and_processor
    merging = SilenceMerging.of_model(model, window_s=modeling.window_s(processor))
    merged = replace(collator, merging=replace(merging, margin_s=0.2, end_s=0.1))
    alone, together = (found(model, clip_items, accelerator, merged, batch_size=size) for size in (1, 7))
    for one, other in zip(alone, together, strict=True):
        assert one.own_loss == pytest.approx(other.own_loss, rel=1e-4)
        assert one.text_loss == pytest.approx(other.text_loss, rel=1e-4)
        assert one.language_probability == pytest.approx(other.language_probability, abs=1e-3)
    plain = found(model, clip_items, accelerator, collator, batch_size=7)
    assert [row.own_loss for row in plain] != [row.own_loss for row in together]


def test_a_closer_look_changes_no_transcript_and_no_loss(
    model_and_processor, clip_items, accelerator, collator
) -> None:
    model = model_and_processor[0]
    decoding = Decoding.of_model(model, normalizer=str.lower, batch_size=3)
    plain = transcribe_utterances(model, clip_items, decoding, accelerator=accelerator, collator=collator)
    looked = transcribe_utterances(
        model, clip_items, decoding, accelerator=accelerator, collator=collator, closer_look=row_losses
    )
    assert (looked.transcripts, looked.loss) == (plain.transcripts, plain.loss)
    assert plain.details == []
    assert all(math.isfinite(row.text_loss + row.own_loss) for row in looked.details)
