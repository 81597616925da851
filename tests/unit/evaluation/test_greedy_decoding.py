"""Our greedy loop: row for row what transformers' own loop writes, while rows that have ended cost nothing more."""

import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import soundfile
import torch
from transformers import DynamicCache, EncoderDecoderCache, GenerationMixin, WhisperForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

from accel_asr.evaluation import greedy_decoding
from accel_asr.evaluation.greedy_decoding import Left, decode_greedily
from accel_asr.model import pretrained as modeling
from accel_asr.model.silence_merging import KeyBias, encode_clips

ROWS = 9
ROOM = 12


@pytest.fixture
def model(model_and_processor) -> WhisperForConditionalGeneration:
    return model_and_processor[0].eval()


def leaning(model: WhisperForConditionalGeneration, strength: float) -> WhisperForConditionalGeneration:
    """A copy that prefers the end of text the more, the greater `strength`."""
    other = copy.deepcopy(model)
    with torch.no_grad():
        end = other.get_input_embeddings().weight[other.config.eos_token_id]
        other.model.decoder.layer_norm.bias += strength * end
    return other


def encoded(model: WhisperForConditionalGeneration, rows: int = ROWS) -> torch.Tensor:
    shape = (rows, model.config.num_mel_bins, 2 * model.config.max_source_positions)
    features = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return 10 * model.get_encoder()(features).last_hidden_state  # so that rows differ, and end in different places


def given_ids(model: WhisperForConditionalGeneration, *, prompt: int = 0, rows: int = ROWS) -> torch.Tensor:
    """(rows, tokens): a previous text of `prompt` tokens, the start, and languages that take turns."""
    languages = list(model.generation_config.lang_to_id.values())
    start, task = model.config.decoder_start_token_id, model.generation_config.task_to_id["transcribe"]
    texts = torch.randint(10, 60, (rows, prompt), generator=torch.Generator().manual_seed(1))
    starts = torch.tensor([[start, languages[row % len(languages)], task] for row in range(rows)])
    return torch.cat([texts, starts], dim=1)


@torch.no_grad()
def generated(model, heard: torch.Tensor, given: torch.Tensor, **options) -> torch.Tensor:
    return GenerationMixin.generate(
        model,
        encoder_outputs=BaseModelOutput(last_hidden_state=heard),
        decoder_input_ids=given,
        max_new_tokens=ROOM,
        **options,
    )


@contextmanager
def counted_rows(model: WhisperForConditionalGeneration) -> Iterator[list[int]]:
    """How many rows the decoder was given, in each step."""
    counts: list[int] = []
    hook = model.model.decoder.register_forward_pre_hook(
        lambda module, args, kwargs: counts.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    yield counts
    hook.remove()


def lengths(ids: torch.Tensor, model: WhisperForConditionalGeneration, start: int) -> list[int]:
    """Tokens of each transcript, its end included; those that were cut off are as long as there is room, and one."""
    end = model.generation_config.eos_token_id
    return [row.index(end) + 1 if end in row else ROOM + 1 for row in ids[:, start:].tolist()]


# -- the ids of transformers' own loop


@pytest.mark.parametrize("prompt", [0, 5])
def test_ids_are_those_of_transformers_wherever_rows_end(model, prompt: int) -> None:
    heard, given = encoded(model), given_ids(model, prompt=prompt)
    ends, mixed = set(), 0
    for strength in (1.1, 1.3, 1.4, 1.5):
        other = leaning(model, strength)
        wanted = generated(other, heard, given)
        with counted_rows(other) as counts:
            ids = generated(other, heard, given, custom_generate=decode_greedily)
        assert torch.equal(ids, wanted)
        found = lengths(wanted, other, given.shape[1])
        # in step n all rows are there that have not ended before it
        assert counts == [sum(length > step for length in found) for step in range(len(counts))]
        ends |= set(found)
        mixed += ROOM + 1 in found and min(found) <= ROOM
    assert len(ends) >= 5
    assert mixed  # some rows of a batch were cut off, others ended


@pytest.mark.parametrize(
    "setting", ["suppress_tokens", "begin_suppress_tokens", "repetition_penalty", "min_new_tokens"]
)
def test_settings_of_generation_hold(model, setting: str) -> None:
    model = leaning(model, 1.3)
    heard, given = encoded(model), given_ids(model)
    before = generated(model, heard, given)
    common = sorted(set(before[:, given.shape[1]].tolist()))
    value = {"repetition_penalty": 1.5, "min_new_tokens": 9}.get(setting, common)
    setattr(model.generation_config, setting, value)
    wanted = generated(model, heard, given)
    assert not torch.equal(wanted, before)
    assert torch.equal(generated(model, heard, given, custom_generate=decode_greedily), wanted)


@pytest.mark.parametrize("room", [1, 2])
def test_room_for_a_token_or_two(model, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    monkeypatch.setattr(f"{__name__}.ROOM", room)
    model = leaning(model, 1.2)
    heard, given = encoded(model), given_ids(model)
    wanted = generated(model, heard, given)
    assert wanted.shape == (ROWS, given.shape[1] + room)
    assert torch.equal(generated(model, heard, given, custom_generate=decode_greedily), wanted)


def test_of_a_device_that_is_not_looked_at_in_each_step(model, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU, but for the padding after the last end."""
    monkeypatch.setattr(greedy_decoding, "steps_between_looks", lambda device: 4)
    heard, given = encoded(model), given_ids(model)
    shorter = 0
    for strength in (1.3, 1.4, 1.5):
        other = leaning(model, strength)
        wanted = generated(other, heard, given)
        with counted_rows(other) as counts:
            ids = generated(other, heard, given, custom_generate=decode_greedily)
        width = wanted.shape[1]
        assert torch.equal(ids[:, :width], wanted)
        assert (ids[:, width:] == other.generation_config.pad_token_id).all()
        assert counts[0] == counts[3] == ROWS
        shorter += len(counts) > 4 and counts[4] < ROWS
    assert shorter


def test_the_bias_of_a_row_goes_where_its_row_goes(model) -> None:
    """Rows of a batch get as bias what they get alone."""
    heard, given = encoded(model), given_ids(model)
    bias = 4 * torch.rand(ROWS, 1, 1, heard.shape[1], generator=torch.Generator().manual_seed(2))
    key_bias = KeyBias.of_model(model)

    def biased(rows: list[int], **options) -> list[list[int]]:
        key_bias.of_batch = bias[rows].clone()
        ids = generated(model, heard[rows].clone(), given[rows], **options)[:, given.shape[1] :]
        return [row[:length] for row, length in zip(ids.tolist(), lengths(ids, model, 0), strict=True)]

    with torch.no_grad():
        model.model.decoder.layer_norm.bias += 1.4 * model.get_input_embeddings().weight[model.config.eos_token_id]
    alone = [biased([row])[0] for row in range(ROWS)]
    assert len({len(row) for row in alone}) >= 3
    assert biased(list(range(ROWS)), custom_generate=decode_greedily) == alone
    key_bias.of_batch = None
    assert generated(model, heard, given).tolist() != [[*given[row].tolist(), *alone[row]] for row in range(ROWS)]


# -- what it costs


def test_the_encoder_is_read_once_for_the_loss_and_the_transcripts(transcribe, model_and_processor) -> None:
    decoder, calls = model_and_processor[0].model.decoder, []
    for layer in decoder.layers:
        layer.encoder_attn.k_proj.register_forward_hook(lambda *_: calls.append(1))
    transcribe(batch_size=4)  # two batches
    assert len(calls) == 2 * len(decoder.layers)


def test_only_the_last_position_meets_the_vocabulary(model) -> None:
    shapes = []
    model.proj_out.register_forward_hook(lambda module, args, output: shapes.append(args[0].shape[:-1]))
    generated(model, encoded(model), given_ids(model, prompt=5), custom_generate=decode_greedily)
    assert shapes == [(ROWS,)] * ROOM


# -- which rows move


@pytest.mark.parametrize("ended", [[0], [8], [0, 1, 2], [6, 7, 8], [1, 4, 8], [0, 2, 4, 6, 8], list(range(8))])
def test_rows_that_go_on_are_all_there_and_few_of_them_move(ended: list[int]) -> None:
    has_ended = torch.tensor([row in ended for row in range(ROWS)])
    left = Left.of(has_ended)
    rows = left.rows_of(torch.arange(ROWS))
    assert sorted(rows.tolist()) == [row for row in range(ROWS) if row not in ended]
    assert left.count == ROWS - len(ended)
    assert sum(row != place for place, row in enumerate(rows.tolist())) == len(left.moved) <= len(ended)
    cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
    states = torch.arange(ROWS, dtype=torch.float32)[:, None, None, None].expand(ROWS, 2, 3, 4)
    for part in (cache.self_attention_cache, cache.cross_attention_cache):
        part.update(states.clone(), states.clone() + 100, 0)
    left.keep_in_cache(cache)
    for part in (cache.self_attention_cache, cache.cross_attention_cache):
        assert torch.equal(part.layers[0].keys, rows[:, None, None, None].expand(-1, 2, 3, 4).float())
        assert torch.equal(part.layers[0].values, part.layers[0].keys + 100)


# -- real weights


@pytest.mark.realmodel
@pytest.mark.realdata
def test_real_transcripts_are_those_of_transformers(whisper_tiny_en: Path, realdata: Path) -> None:
    model, processor = modeling.load_model_and_processor(str(whisper_tiny_en))
    model.eval()
    folder = realdata / "speechocean762"
    lines = (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()[:8]
    samples = [soundfile.read(folder / json.loads(line)["file"], dtype="float32")[0] for line in lines]
    clips = processor.feature_extractor(samples, sampling_rate=16_000, return_tensors="pt").input_features
    with torch.no_grad():
        heard = encode_clips(model, clips, None)
    given = torch.full((len(clips), 1), model.config.decoder_start_token_id)
    given = torch.cat([given, torch.full_like(given, model.generation_config.no_timestamps_token_id)], dim=1)
    options = {"encoder_outputs": BaseModelOutput(last_hidden_state=heard), "decoder_input_ids": given}
    with torch.no_grad(), counted_rows(model) as counts:
        wanted = GenerationMixin.generate(model, max_new_tokens=60, **options)
        counts.clear()
        ids = GenerationMixin.generate(model, max_new_tokens=60, custom_generate=decode_greedily, **options)
    assert torch.equal(ids, wanted)
    assert len(set(counts)) >= 3  # they end at many lengths
