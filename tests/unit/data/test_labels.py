"""Labels: what Whisper was trained on, the run's or the row's language, a previous text, and no more than fits."""

import tracemalloc

import numpy as np
import pytest
from transformers import WhisperTokenizer

from accel_asr.data.labels import Label, LabelEncoder
from accel_asr.data.loading.clip_items import ClipItems
from accel_asr.data.loading.collator import IGNORED_LABEL, Collator
from accel_asr.data.reading.rows import Row
from accel_asr.data.text_processing import TextProcessing
from accel_asr.model.written_tokens import TimedWords
from tests.tiny_datasets import wav_bytes
from tests.unit.data.local_sources import utterances_of

TEXTS = ("my card", "", "Überweisung, bitte!", "well-known  'card'", "a" * 300, "你好", "x")
PREFIX = "<|startoftranscript|><|en|><|transcribe|><|notimestamps|>"


@pytest.fixture
def tokenizer(encoder: LabelEncoder) -> WhisperTokenizer:
    return encoder.tokenizer


# -- of the run


def test_a_label_is_what_whisper_was_trained_on(encoder: LabelEncoder, tokenizer: WhisperTokenizer) -> None:
    label = encoder.encode("my card")
    assert tokenizer.decode(label.token_ids) == f"{PREFIX}my card<|endoftext|>"
    assert label.token_ids.count(tokenizer.convert_tokens_to_ids("<|startoftranscript|>")) == 1
    assert label.token_ids.count(tokenizer.convert_tokens_to_ids("<|endoftext|>")) == 1
    assert label.prompt_tokens == 0


@pytest.mark.parametrize(("language", "task"), [("en", "transcribe"), ("de", "transcribe"), ("fr", "translate")])
@pytest.mark.parametrize("text", TEXTS)
def test_a_label_is_the_tokenizers_own_for_the_runs_language(
    tokenizer: WhisperTokenizer, text: str, language: str, task: str
) -> None:
    tokenizer.set_prefix_tokens(language=language, task=task, predict_timestamps=False)
    assert LabelEncoder(tokenizer).encode(text) == Label(tuple(tokenizer(text).input_ids))


def test_markup_in_a_text_does_not_become_control_tokens(encoder: LabelEncoder, tokenizer: WhisperTokenizer) -> None:
    said = "a <|startoftranscript|> b <|endoftext|> c"
    ids = encoder.encode(said, prompt=said).token_ids
    assert ids.count(tokenizer.convert_tokens_to_ids("<|startoftranscript|>")) == 1
    assert ids.count(tokenizer.convert_tokens_to_ids("<|endoftext|>")) == 1


@pytest.mark.parametrize("prefix", ["", "multilingual"])
def test_lengths_are_those_of_labels(encoder: LabelEncoder, tokenizer: WhisperTokenizer, prefix: str) -> None:
    if not prefix:
        tokenizer.set_prefix_tokens(language=None, task=None, predict_timestamps=False)
    texts = [*TEXTS, "a <|endoftext|> b"] * 3
    lengths = encoder.lengths(texts)
    assert lengths.dtype == np.int32
    assert lengths.tolist() == [len(encoder.encode(text).token_ids) for text in texts]
    assert encoder.lengths([]).shape == (0,)


# -- of a row


def test_a_rows_language_and_task_take_the_place_of_the_runs(
    encoder: LabelEncoder, tokenizer: WhisperTokenizer
) -> None:
    def said(**row: str) -> str:
        return tokenizer.decode(encoder.encode("x", **row).token_ids)

    assert said(language="de") == "<|startoftranscript|><|de|><|transcribe|><|notimestamps|>x<|endoftext|>"
    assert said(task="translate") == "<|startoftranscript|><|en|><|translate|><|notimestamps|>x<|endoftext|>"
    assert said(language="fr", task="translate").startswith("<|startoftranscript|><|fr|><|translate|><|notimestamps|>")
    for language in ("de", "fr"):  # to the token what the tokenizer makes of a run in that language
        tokenizer.set_prefix_tokens(language=language, task="transcribe", predict_timestamps=False)
        own = tuple(tokenizer("my card").input_ids)
        tokenizer.set_prefix_tokens(language="en", task="transcribe", predict_timestamps=False)
        assert encoder.encode("my card", language=language).token_ids == own


def test_an_english_only_model_has_no_token_for_a_language(tiny_english_folder) -> None:
    tokenizer = WhisperTokenizer.from_pretrained(tiny_english_folder)
    encoder = LabelEncoder(tokenizer)
    assert encoder.encode("x", language="en", task="transcribe") == encoder.encode("x")
    assert encoder.encode("x").token_ids == tuple(tokenizer("x").input_ids)


# -- a previous text


def test_a_previous_text_comes_first_and_is_counted(encoder: LabelEncoder, tokenizer: WhisperTokenizer) -> None:
    label = encoder.encode("my card", prompt="\n pay the bill ")
    before = label.token_ids[: label.prompt_tokens]
    assert tokenizer.decode(before) == "<|startofprev|> pay the bill"
    assert label.token_ids[label.prompt_tokens :] == encoder.encode("my card").token_ids
    for empty in ("", " ", "\n", None):
        assert encoder.encode("my card", prompt=empty) == encoder.encode("my card")


def test_of_a_previous_text_that_is_too_long_the_end_is_kept(
    encoder: LabelEncoder, tokenizer: WhisperTokenizer
) -> None:
    prompt = " ".join(f"word{number}" for number in range(200))
    label = encoder.encode("my card", prompt=prompt)
    assert label.prompt_tokens == encoder.max_label_tokens // 2
    assert len(label.token_ids) <= encoder.max_label_tokens
    kept = tokenizer.decode(label.token_ids[1 : label.prompt_tokens])
    assert prompt.endswith(kept)
    assert label.token_ids[label.prompt_tokens :] == encoder.encode("my card").token_ids


def test_a_previous_text_gives_way_to_the_text(tokenizer: WhisperTokenizer) -> None:
    encoder = LabelEncoder(tokenizer, max_label_tokens=60)
    for letters in range(1, 60):
        plain = encoder.encode("z" * letters)
        label = encoder.encode("z" * letters, prompt="q" * 100)
        assert label.token_ids[label.prompt_tokens :] == plain.token_ids
        # one place stays for an end time
        assert len(encoder.with_timestamps(label, 1.0).token_ids) <= max(60, len(plain.token_ids) + 1)
        assert label.prompt_tokens <= 30
        assert label.prompt_tokens != 1  # a mark of a previous text without any


def test_a_batch_reads_a_previous_text_and_does_not_learn_it(
    encoder: LabelEncoder, collator: Collator, model_and_processor, tmp_path
) -> None:
    clip = wav_bytes(np.zeros(1600), sampling_rate_hz=16_000)
    utterances = utterances_of([Row("a", clip, "my card", prompt="pay"), Row("b", clip, "my card")], tmp_path)
    items = ClipItems(utterances, feature_extractor=model_and_processor[1].feature_extractor, encoder=encoder)
    batch = collator([items[0, 0], items[0, 1]])
    prompted, plain = encoder.encode("my card", prompt="pay"), encoder.encode("my card")
    before = prompted.prompt_tokens
    assert before >= 2
    assert batch.decoder_input_ids[0].tolist() == list(prompted.token_ids[:-1])
    assert batch.labels[0].tolist() == [IGNORED_LABEL] * before + list(plain.token_ids[1:])
    targets = batch.labels[batch.labels != IGNORED_LABEL].reshape(2, -1)
    assert targets[0].tolist() == targets[1].tolist() == list(plain.token_ids[1:])


# -- too long for the decoder


@pytest.mark.parametrize("room", range(8, 40, 3))
def test_a_text_that_is_too_long_is_cut_at_a_word(tokenizer: WhisperTokenizer, room: int) -> None:
    encoder = LabelEncoder(tokenizer, max_label_tokens=room)
    text = "my card was declined at the cash machine this morning please"
    label = encoder.encode(text)
    assert len(label.token_ids) <= room
    kept = tokenizer.decode(label.token_ids, skip_special_tokens=True).split()
    assert kept == text.split()[: len(kept)]
    one_more = " ".join(text.split()[: len(kept) + 1])
    assert kept == text.split() or LabelEncoder(tokenizer).lengths([one_more])[0] > room
    assert label.token_ids[-1] == tokenizer.eos_token_id
    spaced = "my  card  please"  # cutting would make one space of two
    fits = LabelEncoder(tokenizer).encode(spaced)
    assert LabelEncoder(tokenizer, max_label_tokens=len(fits.token_ids)).encode(spaced) == fits


# -- times


@pytest.mark.parametrize(
    ("duration_s", "end"),
    [(1.0, "1.00"), (1.999, "1.98"), (0.02, "0.02"), (0.019, "0.00"), (1.16, "1.16"), (0.58, "0.58"), (0.06, "0.06")],
)
def test_times_are_put_where_the_tokenizer_reads_them(
    encoder: LabelEncoder, tokenizer: WhisperTokenizer, duration_s: float, end: str
) -> None:
    plain = encoder.encode("my card")
    timed = encoder.with_timestamps(plain, duration_s)
    read = tokenizer.decode(timed.token_ids, decode_with_timestamps=True)
    assert read == f"<|startoftranscript|><|en|><|transcribe|><|0.00|>my card<|{end}|><|endoftext|>"
    assert len(timed.token_ids) == len(plain.token_ids) + 1
    assert tokenizer.decode(timed.token_ids, skip_special_tokens=True).strip() == "my card"
    prompted = encoder.encode("my card", prompt="pay")
    before = prompted.prompt_tokens
    assert encoder.with_timestamps(prompted, duration_s).token_ids == prompted.token_ids[:before] + timed.token_ids
    assert encoder.with_timestamps(prompted, duration_s).prompt_tokens == before


def test_a_label_has_the_times_of_its_parts(encoder: LabelEncoder, tokenizer: WhisperTokenizer) -> None:
    parts = [TimedWords("my card", 0.1, 0.5), TimedWords(" was declined", 0.5, 1.0)]
    label = encoder.encode("my card was declined", timed=parts, prompt="pay", language="de")
    read = tokenizer.decode(label.token_ids[label.prompt_tokens :], decode_with_timestamps=True)
    assert read == (
        "<|startoftranscript|><|de|><|transcribe|><|0.10|>my card<|0.50|><|0.50|> was declined<|1.00|><|endoftext|>"
    )
    assert label.token_ids[: label.prompt_tokens] == encoder.encode("", prompt="pay").token_ids[: label.prompt_tokens]
    assert encoder.timed_length(parts) == len(label.token_ids) - label.prompt_tokens


@pytest.mark.parametrize("room", range(10, 30, 3))
def test_a_label_with_times_that_is_too_long_ends_after_a_part(tokenizer: WhisperTokenizer, room: int) -> None:
    encoder = LabelEncoder(tokenizer, max_label_tokens=room)
    parts = [TimedWords(" card", second, second + 1.0) for second in range(8)]
    label = encoder.encode("card " * 8, timed=parts, prompt="pay the bill")
    assert len(label.token_ids) <= room + 1  # the decoder reads all but the last
    assert label.token_ids[-1] == tokenizer.eos_token_id
    assert label.token_ids[-2] >= encoder.first_timestamp_id


def test_clips_that_are_timed_have_the_times_that_their_texts_say(
    encoder: LabelEncoder, tokenizer: WhisperTokenizer, model_and_processor, tmp_path
) -> None:
    clip = wav_bytes(np.zeros(9_600), sampling_rate_hz=16_000)
    rows = [Row("a", clip, "<|0.00|> my<|0.20|><|0.20|> card<|0.60|>"), Row("b", clip, "pay")]
    utterances = utterances_of(rows, tmp_path, text=TextProcessing(written_times="read"))
    extractor = model_and_processor[1].feature_extractor
    plain, timed = (
        ClipItems(utterances, feature_extractor=extractor, encoder=encoder, timestamps_probability=share)
        for share in (0.0, 1.0)
    )

    def said(items: ClipItems, key: object) -> str:
        (item,) = items.of([(0, key)])
        return tokenizer.decode(item.token_ids, decode_with_timestamps=True).partition("<|transcribe|>")[2]

    assert said(plain, 0) == "<|notimestamps|>my card<|endoftext|>"
    assert said(timed, 0) == "<|0.00|>my<|0.20|><|0.20|> card<|0.60|><|endoftext|>"
    assert said(timed, 1) == "<|0.00|>pay<|0.60|><|endoftext|>"
    assert said(plain, (0, 1)) == "<|notimestamps|>my card pay<|endoftext|>"
    # packed with a pause of 0.2 s between
    assert said(timed, (0, 1)) == "<|0.00|>my<|0.20|><|0.20|> card<|0.60|><|0.80|> pay<|1.40|><|endoftext|>"
    assert said(timed, (1, 0)) == "<|0.00|>pay<|0.60|><|0.80|> my<|1.00|><|1.00|> card<|1.40|><|endoftext|>"


def test_a_text_of_megabytes_is_too_long_without_spelling_it_all(encoder: LabelEncoder) -> None:
    megabytes = "card " * 2_000_000
    tracemalloc.start()
    assert encoder.lengths([megabytes])[0] > encoder.max_label_tokens
    assert len(encoder.encode(megabytes).token_ids) == encoder.max_label_tokens
    label = encoder.encode("my card", prompt=megabytes + "the end")
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert label.prompt_tokens == encoder.max_label_tokens // 2
    assert encoder.spelling.text(label.token_ids[: label.prompt_tokens]).endswith("card the end")
    assert peak_bytes < 500 << 20
