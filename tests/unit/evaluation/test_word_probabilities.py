"""The probability of each word, by the model's own logits."""

from dataclasses import replace

import pytest
import torch

from accel_asr.evaluation.evaluating import evaluate_model
from accel_asr.evaluation.word_probabilities import WordProbabilities
from tests.unit.evaluation.conftest import decoding_of


def test_of_a_word_it_is_the_geometric_mean_of_its_tokens(encoder) -> None:
    spelling = encoder.spelling
    ids, probabilities, expected = [], [], []
    for word, probability in ((" my", 0.9), (" zyxwvuts", 0.7), (" card", 0.8)):
        tokens = spelling.ids(word)
        of_tokens = [probability] * (len(tokens) - 1) + [probability / 4]
        ids += tokens
        probabilities += of_tokens
        expected.append(pytest.approx(probability / 4 ** (1 / len(tokens)), abs=1e-4))
    assert len(ids) > 3  # some word has several tokens
    end = encoder.tokenizer.eos_token_id
    words = WordProbabilities(spelling)._of_words([*ids, end, end], [*probabilities, 0.01, 0.01])
    assert list(words) == expected


def test_each_word_of_each_transcript_has_one_and_the_transcripts_stay(
    model_and_processor, clip_items, collator, accelerator
) -> None:
    model, _ = model_and_processor
    decoding = decoding_of(model, batch_size=3)
    parts = {"accelerator": accelerator, "collator": collator}
    plain = evaluate_model(model, clip_items, decoding, **parts)
    found = evaluate_model(model, clip_items, replace(decoding, word_confidence=True), **parts)
    assert plain.word_confidence is None
    for line, other in zip(plain.scored, found.scored, strict=True):
        assert line.transcript.word_confidences == ()
        assert replace(other.transcript, word_confidences=()) == line.transcript
        confidences = other.transcript.word_confidences
        assert len(confidences) == len(other.transcript.hypothesis.split())
        assert all(0 <= confidence <= 1 for confidence in confidences)
    assert found.word_confidence is not None
    assert found.word_confidence["words"] == sum(len(line.transcript.word_confidences) for line in found.scored)


def test_they_are_the_models_own(model_and_processor, clip_items, collator, accelerator) -> None:
    model, _ = model_and_processor
    decoding = replace(decoding_of(model, batch_size=1), word_confidence=True, max_new_tokens=1)
    line = (
        evaluate_model(model, clip_items.first(1), decoding, accelerator=accelerator, collator=collator)
        .scored[0]
        .transcript
    )
    batch = collator(clip_items.of([(0, 0)]))
    start = len(clip_items.encoder.prefix())
    with torch.no_grad():
        logits = model(input_features=batch.input_features, decoder_input_ids=batch.decoder_input_ids[:, :start]).logits
    best = logits[0, -1].softmax(-1)
    if line.word_confidences:
        assert min(abs(float(value) - line.word_confidences[0]) for value in best) < 1e-4
