"""Transcribing a set: every utterance once, in order, whatever the batches; the loss; transcripts that were cut off."""

import copy
import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from accel_asr.audio.decoding import to_float32
from accel_asr.data.labels import LabelEncoder
from accel_asr.data.loading.clip_items import ClipItems
from accel_asr.data.reading.rows import Row
from accel_asr.evaluation import generation
from accel_asr.evaluation.evaluating import Evaluation, evaluate_model
from accel_asr.evaluation.generation import Transcription
from accel_asr.evaluation.scoring import Transcript, corpus_score, score_utterance
from accel_asr.model import pretrained as modeling
from accel_asr.model.silence_merging import SilenceMerging
from accel_asr.ranks import agreement
from tests.conftest import MAX_NEW_TOKENS
from tests.odd_tokenizers import with_tokenizer
from tests.tiny_datasets import tone_utterances, wav_bytes
from tests.unit.data.local_sources import utterances_of
from tests.unit.evaluation.conftest import decoding_of


def one_by_one(model, processor, utterances) -> list[tuple[str, bool]]:
    """(text, whether it fills all places) by transformers alone: each clip for itself, with room for more."""
    special = processor.tokenizer.convert_tokens_to_ids("<|endoftext|>")  # the first id that is not text
    results = []
    for utterance in utterances:
        features = processor.feature_extractor(
            to_float32(utterance.samples()), sampling_rate=16_000, return_tensors="pt"
        ).input_features
        ids = model.generate(features, language="en", task="transcribe", max_new_tokens=MAX_NEW_TOKENS + 4)[0]
        text_ids = ids[ids < special][:MAX_NEW_TOKENS]
        results.append((processor.tokenizer.decode(text_ids).strip(), len(text_ids) == MAX_NEW_TOKENS))
    return results


def leaning_to_the_end(model, strength: float):
    """A copy that prefers the end of text the more, the greater `strength`; from 2 on it says one token and ends."""
    leaning = copy.deepcopy(model)
    with torch.no_grad():
        end = leaning.get_input_embeddings().weight[leaning.config.eos_token_id]
        leaning.model.decoder.layer_norm.bias += strength * end
    return leaning


@pytest.mark.parametrize("batch_size", [1, 4, 7, 100])
def test_every_utterance_is_transcribed_once_in_the_order_given(transcribe, utterances, batch_size: int) -> None:
    table = transcribe(batch_size=batch_size).transcripts
    assert [row.utterance_id for row in table] == [f"clip-{index}" for index in range(7)]
    assert [row.reference for row in table] == [utterance.text for utterance in utterances]
    assert [row.duration_s for row in table] == [round(utterance.duration_s, 3) for utterance in utterances]


def test_the_order_given_is_the_order_of_the_table(transcribe, utterances, encoder, model_and_processor) -> None:
    order, extractor = [3, 0, 6, 5, 1], model_and_processor[1].feature_extractor
    shuffled = ClipItems(utterances.select(np.array(order)), feature_extractor=extractor, encoder=encoder)
    expected = {row.utterance_id: row for row in transcribe().transcripts}
    assert transcribe(items=shuffled).transcripts == [expected[f"clip-{index}"] for index in order]


@pytest.mark.parametrize("batch_size", [1, 4])
def test_transcripts_are_those_of_transformers_clip_by_clip(
    transcribe, model_and_processor, utterances, batch_size: int
) -> None:
    expected = one_by_one(*model_and_processor, utterances)
    table = transcribe(batch_size=batch_size).transcripts
    assert [(row.hypothesis, row.cut_off) for row in table] == expected
    assert len({row.hypothesis for row in table}) > 2  # the clips are told apart


@pytest.mark.parametrize("setting", ["num_beams", "suppress_tokens", "begin_suppress_tokens"])
def test_settings_of_generation_hold_as_in_transformers(
    transcribe, model_and_processor, utterances, setting: str
) -> None:
    model, processor = copy.deepcopy(model_and_processor[0]), model_and_processor[1]
    features = [
        processor.feature_extractor(
            to_float32(utterance.samples()), sampling_rate=16_000, return_tensors="pt"
        ).input_features
        for utterance in utterances
    ]

    def alone() -> list[str]:
        made = [model.generate(one, max_new_tokens=MAX_NEW_TOKENS)[0] for one in features]
        return [processor.tokenizer.decode(ids, skip_special_tokens=True).strip() for ids in made]

    before = alone()
    first_tokens = sorted({int(model.generate(one, max_new_tokens=1)[0][-1]) for one in features})
    setattr(model.generation_config, setting, 3 if setting == "num_beams" else first_tokens)
    expected = alone()
    assert expected != before
    assert [row.hypothesis for row in transcribe(model).transcripts] == expected


def test_the_loss_is_the_mean_of_a_target_token(transcribe, model_and_processor, utterances, encoder) -> None:
    model, processor = model_and_processor
    exact = copy.deepcopy(model).double()
    total, tokens = 0.0, 0
    for utterance in utterances:
        features = processor.feature_extractor(
            to_float32(utterance.samples()), sampling_rate=16_000, return_tensors="pt"
        ).input_features.double()
        ids = torch.tensor(encoder.encode(utterance.text).token_ids)
        with torch.no_grad():
            logits = exact(input_features=features, decoder_input_ids=ids[None, :-1]).logits[0]
        total -= float(logits.log_softmax(dim=-1)[torch.arange(len(ids) - 1), ids[1:]].sum())
        tokens += len(ids) - 1
    for batch_size in (1, 4):
        assert transcribe(batch_size=batch_size).loss == pytest.approx(total / tokens, rel=1e-6)  # 1e-7 seen


# -- cut off at the length limit


def test_a_model_that_never_ends_is_cut_off(transcribe) -> None:
    assert all(row.cut_off for row in transcribe().transcripts)


@pytest.mark.parametrize("batch_size", [1, 4])
def test_a_model_that_ends_is_not_cut_off(transcribe, model_and_processor, batch_size: int) -> None:
    table = transcribe(leaning_to_the_end(model_and_processor[0], 3.0), batch_size=batch_size).transcripts
    assert not any(row.cut_off for row in table)
    assert all(row.hypothesis for row in table)  # transformers does not let a transcript begin with the end


def test_in_one_batch_some_may_end_and_others_be_cut_off(transcribe, model_and_processor, utterances) -> None:
    model, processor = model_and_processor
    for strength in np.arange(1.1, 1.5, 0.02):
        leaning = leaning_to_the_end(model, strength)
        expected = one_by_one(leaning, processor, utterances)
        if 2 <= sum(cut_off for _, cut_off in expected) <= 5:
            break
    else:
        raise AssertionError("no strength lets only some clips end")
    table = transcribe(leaning, batch_size=7).transcripts
    assert [(row.hypothesis, row.cut_off) for row in table] == expected


def test_an_end_in_the_very_last_place_is_an_end(transcribe, model_and_processor) -> None:
    model = leaning_to_the_end(model_and_processor[0], 3.0)
    model.generation_config.max_new_tokens = 2  # one word and the end
    assert not any(row.cut_off for row in transcribe(model).transcripts)
    model.generation_config.max_new_tokens = 1
    assert all(row.cut_off for row in transcribe(model).transcripts)


# -- around it


def test_progress_counts_the_utterances_of_each_batch(transcribe) -> None:
    counts: list[int] = []
    transcribe(batch_size=3, on_batch=counts.append)
    assert counts == [3, 3, 1]


@pytest.mark.parametrize("training", [True, False])
def test_the_model_goes_back_to_what_it_was_doing(transcribe, model_and_processor, training: bool) -> None:
    model = model_and_processor[0].train(training)
    model.config.dropout = 0.5
    for module in model.modules():
        if hasattr(module, "dropout"):
            module.dropout = 0.5
    first = transcribe(model)
    assert model.training is training
    assert transcribe(model) == first  # no dropout in an evaluation
    assert all(weight.grad is None for weight in model.parameters())


def test_the_generators_are_left_alone(transcribe) -> None:
    before = torch.get_rng_state()
    transcribe()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    "fault", [lambda rows: rows[1:], lambda rows: [*rows, rows[0]], lambda rows: [*rows[:-1], rows[0]]]
)
def test_a_table_with_an_utterance_missing_or_twice_is_an_error(
    transcribe, monkeypatch: pytest.MonkeyPatch, fault
) -> None:
    monkeypatch.setattr(generation, "gather_object", fault)
    with pytest.raises(AssertionError, match="missing or there twice"):
        transcribe()


def test_ranks_together_give_the_table_of_one(transcribe, monkeypatch: pytest.MonkeyPatch, accelerator) -> None:
    alone = transcribe(batch_size=2)
    monkeypatch.setattr(agreement, "summed_over_ranks", lambda flags, _: flags)  # there are no other ranks
    together: list[list] = []
    for rank in range(3):  # what each rank has to give: rows, then losses
        gathered: list[list] = []
        monkeypatch.setattr(generation, "gather_object", lambda mine, kept=gathered: kept.append(mine) or mine)
        monkeypatch.setattr(type(accelerator), "num_processes", property(lambda self: 3))
        monkeypatch.setattr(type(accelerator), "process_index", property(lambda self, rank=rank: rank))
        with pytest.raises(AssertionError, match="missing or there twice"):
            transcribe(batch_size=2)
        together.append(gathered[0])
    rows = sorted(row for mine in together for row in mine)
    assert [row[1:] for row in rows] == [(row.hypothesis, row.cut_off, row.silent, None) for row in alone.transcripts]
    assert [row for row, *_ in rows] == list(range(7))


def test_an_evaluation_holds_the_scores_of_its_transcripts(
    transcribe, model_and_processor, clip_items, accelerator, collator
) -> None:
    result = evaluate_model(
        model_and_processor[0],
        clip_items,
        decoding_of(model_and_processor[0], batch_size=3),
        accelerator=accelerator,
        collator=collator,
    )
    plain: Transcription = transcribe()
    assert [scored.transcript for scored in result.scored] == plain.transcripts
    assert result.loss == plain.loss
    assert (result.score.utterances, result.score.cut_off) == (7, 7)
    rates = {"wer", "wer_ortho", "cer", "cer_ortho"}
    counts = {"substitutions", "deletions", "insertions", "reference_words", "utterances", "empty_references"}
    counts |= {"cut_off", "unreadable"}
    assert set(result.record()) == {
        *rates,
        *(f"{rate}_interval" for rate in rates),
        *counts,
        "sentence_error_rate",
        "loss",
    }
    assert result.record()["unreadable"] == 0
    assert math.isfinite(result.record()["wer"])
    assert result.seconds > 0


# -- recordings that can not be read when their turn comes


@pytest.mark.parametrize("batch_size", [1, 4, 7])
def test_a_recording_that_vanished_is_scored_as_an_empty_hypothesis_in_its_place(
    clip_files: ClipItems, model_and_processor, accelerator, collator, tmp_path: Path, batch_size: int
) -> None:
    counts: list[int] = []

    def evaluate():
        return evaluate_model(
            model_and_processor[0],
            clip_files,
            decoding_of(model_and_processor[0], batch_size=batch_size),
            accelerator=accelerator,
            collator=collator,
            on_batch=counts.append,
        )

    whole = evaluate()
    for name in ("clip-1.wav", "clip-4.wav"):
        (tmp_path / name).unlink()
    result = evaluate()
    transcripts = [scored.transcript for scored in result.scored]
    expected = [scored.transcript for scored in whole.scored]
    for row in (1, 4):
        assert expected[row].hypothesis
        reason = "the file can't be reached (No such file or directory)"
        expected[row] = dataclasses.replace(expected[row], hypothesis="", cut_off=False, audio_problem=reason)
        words = result.scored[row].words
        assert (words.deletions, words.errors) == (words.reference_length, words.reference_length)
    assert transcripts == expected
    assert (result.score.utterances, result.score.unreadable, result.score.cut_off) == (7, 2, 5)
    assert (whole.score.unreadable, result.record()["unreadable"]) == (0, 2)
    assert math.isfinite(result.loss)
    assert sum(counts) == 2 * 7


def test_when_no_recording_is_left_all_hypotheses_are_empty(clip_files: ClipItems, transcribe, tmp_path: Path) -> None:
    for path in tmp_path.glob("clip-*.wav"):
        path.unlink()
    table = transcribe(items=clip_files)
    assert [row.hypothesis for row in table.transcripts] == [""] * 7
    assert all(row.audio_problem for row in table.transcripts)
    assert math.isnan(table.loss)


# -- what a row says of itself


def test_a_prompt_for_all_is_what_each_row_would_say_itself(
    transcribe, model_and_processor, encoder, tmp_path: Path
) -> None:
    extractor = model_and_processor[1].feature_extractor
    clips = [(words, wav_bytes(clip)) for words, clip in tone_utterances(4)]
    prompt = "pay, the, bill."

    def hypotheses(own: str | None, for_all: str | None) -> list[str]:
        rows = [Row(f"clip-{n}", clip, " ".join(words), prompt=own) for n, (words, clip) in enumerate(clips)]
        utterances = utterances_of(rows, tmp_path)
        items = ClipItems(utterances, feature_extractor=extractor, encoder=encoder, prompt=for_all)
        return [row.hypothesis for row in transcribe(items=items).transcripts]

    prompted = hypotheses(prompt, None)
    assert hypotheses(None, prompt) == prompted
    assert hypotheses("card", prompt) == prompted, "it takes the place of the row's own"
    assert hypotheses(None, None) != prompted


@pytest.mark.parametrize("batch_size", [1, 4])
def test_each_row_is_transcribed_in_its_own_language_and_after_its_own_prompt(
    transcribe, model_and_processor, encoder, utterances, tmp_path: Path, batch_size: int
) -> None:
    model, processor = model_and_processor
    said = [("de", None, None), (None, "pay the bill", None), ("fr", "pay", "translate"), (None, None, None)]
    rows = [
        Row(f"clip-{index}", wav_bytes(clip), " ".join(words), language=language, prompt=prompt, task=task)
        for index, ((words, clip), (language, prompt, task)) in enumerate(zip(tone_utterances(4), said, strict=True))
    ]
    items = ClipItems(utterances_of(rows, tmp_path), feature_extractor=processor.feature_extractor, encoder=encoder)
    table = transcribe(items=items, batch_size=batch_size)
    for row, utterance, (language, prompt, task) in zip(table.transcripts, items.utterances, said, strict=True):
        features = processor.feature_extractor(
            to_float32(utterance.samples()), sampling_rate=16_000, return_tensors="pt"
        ).input_features
        prompt_ids = processor.tokenizer.get_prompt_ids(prompt, return_tensors="pt") if prompt else None
        ids = model.generate(
            features, language=language or "en", task=task or "transcribe", prompt_ids=prompt_ids
        )  # by transformers alone
        text = processor.tokenizer.decode(ids[0], skip_special_tokens=True).strip()
        assert row.hypothesis == text.removeprefix(prompt or "").strip()
        assert row.language == language
    plain = ClipItems(utterances[:4], feature_extractor=processor.feature_extractor, encoder=encoder)
    bare = transcribe(items=plain, batch_size=batch_size)
    assert bare.transcripts[3].hypothesis == table.transcripts[3].hypothesis
    assert [one.hypothesis != other.hypothesis for one, other in zip(bare.transcripts, table.transcripts, strict=True)][
        :3
    ].count(True) >= 2  # the model does listen to it


@pytest.mark.parametrize("merging", [None, SilenceMerging(100, 0.02, margin_s=0.1, end_s=0.1)])
def test_features_made_on_the_device_give_the_same(transcribe, collator, merging: SilenceMerging | None) -> None:
    on_cpu, on_device = (
        transcribe(collator=dataclasses.replace(collator, features_on_device=where, merging=merging))
        for where in (False, True)
    )
    assert on_device.transcripts == on_cpu.transcripts
    assert on_device.loss == pytest.approx(on_cpu.loss, abs=1e-5)
    assert (on_cpu.loss != transcribe().loss) is (merging is not None)


def test_after_merged_padding_the_model_hears_the_whole_window_again(
    transcribe, collator, model_and_processor, accelerator, clip_items
) -> None:
    model = model_and_processor[0]
    merging = dataclasses.replace(collator, merging=SilenceMerging(100, 0.02, margin_s=0.1, end_s=0.1))
    features = torch.stack([collator([item]).input_features[0] for item in clip_items.of([(0, 1), (0, 3)])])
    options = {"language": "en", "task": "transcribe", "max_new_tokens": 5}
    before = model.generate(features, **options)
    transcribe(collator=merging)
    assert torch.equal(model.generate(features, **options), before)
    ways = ((collator, {}), (merging, {"audio_context": "merged"}))
    for way, said in ways:
        decoding = decoding_of(model, batch_size=4)
        record = evaluate_model(model, clip_items, decoding, accelerator=accelerator, collator=way).record()
        assert {name: value for name, value in record.items() if name == "audio_context"} == said


def test_scores_are_also_given_by_language_and_source_where_there_are_several() -> None:
    def scored(name: str, language: str | None, source: str | None, hypothesis: str):
        return score_utterance(
            Transcript(name, 1.0, "my card", hypothesis, False, language=language, source=source), str.lower
        )

    rows = [scored("a", "de", "calls", "my card"), scored("b", None, "calls", "my"), scored("c", "de", "calls", "x y")]
    record = Evaluation(corpus_score(rows), 1.0, 1.0, rows).record()
    assert "by_source" not in record  # there is one
    assert list(record["by_language"]) == ["unset", "de"]
    assert record["by_language"]["de"]["wer"] == 2 / 4
    assert record["by_language"]["unset"] == dataclasses.asdict(corpus_score(rows[1:2]))
    assert record["wer"] == 3 / 6


def test_control_tokens_are_no_words_whatever_the_tokenizer_says_of_them(
    transcribe, tiny_folder: Path, tmp_path: Path, utterances, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, processor = modeling.load_model_and_processor(
        str(with_tokenizer(tiny_folder, tmp_path / "m", "added_tokens.json"))
    )
    modeling.configure_generation(
        model, processor, language="en", task="transcribe", max_new_tokens=MAX_NEW_TOKENS, num_beams=1
    )
    encoder = LabelEncoder(processor.tokenizer)
    words = encoder.spelling.ids(" my card")
    made = [
        encoder.start_id,
        encoder.first_timestamp_id,
        *words,
        encoder.no_timestamps_id,
        encoder.first_timestamp_id + 9,
    ]

    def generate(self, *, decoder_input_ids: torch.Tensor, **options: object) -> torch.Tensor:
        rows = torch.tensor([[*made, processor.tokenizer.eos_token_id]]).expand(len(decoder_input_ids), -1)
        return torch.cat([decoder_input_ids, rows], dim=1)

    monkeypatch.setattr(generation.GenerationMixin, "generate", generate)
    items = ClipItems(utterances, feature_extractor=processor.feature_extractor, encoder=encoder)
    table = transcribe(model, items=items)
    assert {row.hypothesis for row in table.transcripts} == {"my card"}
