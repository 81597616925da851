"""Compiled decoding: the transcripts of the other way, one compilation for all batches, and nothing left on the model.

Where it is the shapes that count, torch traces and does not compile (its backend `eager`): that takes a tenth of the
time.
"""

import copy
import functools
import gc
import weakref
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from torch._dynamo.utils import counters
from transformers import CompileConfig, WhisperForConditionalGeneration

from accel_asr.data.labels import LabelEncoder
from accel_asr.data.loading.batches import evaluation_batches
from accel_asr.data.loading.clip_items import ClipItems
from accel_asr.data.loading.collator import Collator
from accel_asr.data.reading.rows import Row
from accel_asr.evaluation import compiled_decoding, generation
from accel_asr.evaluation.generation import transcribe_utterances
from accel_asr.model import pretrained as modeling
from accel_asr.model.compiled_layers import compile_encoder_layers
from accel_asr.model.silence_merging import SilenceMerging
from accel_asr.model.whisper_for_training import CACHE_ARGUMENT
from accel_asr.ranks import agreement
from tests.conftest import MAX_NEW_TOKENS, forget_accelerate
from tests.refusals import refused
from tests.tiny_datasets import tone_utterances, wav_bytes
from tests.tiny_models import make_tiny_whisper
from tests.unit.data.local_sources import utterances_of
from tests.unit.evaluation.conftest import decoding_of

pytestmark = pytest.mark.integration  # waits for a compiler


@pytest.fixture(autouse=True)
def nothing_compiled() -> None:
    """As at the start of a process."""
    torch._dynamo.reset()
    counters.clear()


@pytest.fixture
def traced_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled_decoding, "CompileConfig", functools.partial(CompileConfig, backend="eager"))


def compilations() -> int:
    """How many graphs torch has made; that it ran them shows in that there are any."""
    assert not counters["graph_break"]
    assert counters["frames"]["total"] == counters["frames"]["ok"] == counters["stats"]["unique_graphs"]
    return counters["frames"]["total"]


@pytest.fixture
def mixed_items(model_and_processor, encoder, tmp_path: Path) -> ClipItems:
    """Nine clips of several languages and tasks; four after texts of two lengths, so that 4, 7 and 9 tokens or so are
    given."""
    said = [
        ("de", None, None),
        (None, "pay the bill", None),
        ("fr", "pay", "translate"),
        (None, None, None),
        (None, "pay", None),
        (None, "pay the bill", None),
        (None, None, None),
        ("de", None, None),
        ("fr", None, None),
    ]
    rows = [
        Row(f"clip-{index}", wav_bytes(clip), " ".join(words), language=language, prompt=prompt, task=task)
        for index, ((words, clip), (language, prompt, task)) in enumerate(
            zip(tone_utterances(len(said)), said, strict=True)
        )
    ]
    utterances = utterances_of(rows, tmp_path)
    return ClipItems(utterances, feature_extractor=model_and_processor[1].feature_extractor, encoder=encoder)


def changed(model: WhisperForConditionalGeneration) -> None:
    """Train a step, in place."""
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    ids = torch.arange(1, 5)[None]
    frames = 2 * model.config.max_source_positions
    model(input_features=torch.ones(1, model.config.num_mel_bins, frames), labels=ids).loss.backward()
    optimizer.step()
    optimizer.zero_grad()


# -- really compiled


def test_transcripts_are_those_of_the_other_way(transcribe, mixed_items) -> None:
    starts = {batch.start_tokens for batch in evaluation_batches(mixed_items, 3)}
    sizes = [len(batch.rows) for batch in evaluation_batches(mixed_items, 3)]
    assert len(starts) == 3
    assert sizes[:3] == [3, 2, 2]  # of those without a text before them
    wanted = transcribe(items=mixed_items)
    assert transcribe(items=mixed_items, is_compiled=True) == wanted
    assert compilations() == 1
    assert len({row.hypothesis for row in wanted.transcripts}) > 3  # the clips are told apart


@pytest.mark.usefixtures("traced_only")
def test_a_model_that_ends_does_so_in_the_same_places(transcribe, model_and_processor) -> None:
    model = model_and_processor[0]
    end = model.get_input_embeddings().weight[model.config.eos_token_id].detach().clone()
    with torch.no_grad():
        model.model.decoder.layer_norm.bias += 1.1 * end
    for _ in range(20):
        with torch.no_grad():
            model.model.decoder.layer_norm.bias += 0.02 * end
        wanted = transcribe()
        if 2 <= sum(row.cut_off for row in wanted.transcripts) <= 5:
            break
    else:
        raise AssertionError("no strength lets only some clips end")
    assert transcribe(is_compiled=True) == wanted


# -- the shapes


@pytest.mark.usefixtures("traced_only")
def test_two_evaluations_with_training_between_them_compile_once(transcribe, model_and_processor, mixed_items) -> None:
    model = model_and_processor[0]
    before = transcribe(items=mixed_items, is_compiled=True)
    assert compilations() == 1
    changed(model)
    after = transcribe(items=mixed_items, is_compiled=True)
    assert model.training
    assert compilations() == 1
    assert after == transcribe(items=mixed_items)
    assert after != before


@pytest.mark.usefixtures("traced_only")
def test_all_batches_use_the_memory_of_the_first(transcribe, mixed_items, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a GPU would record its graphs anew for each of them."""
    addresses = []
    options_of = compiled_decoding.CompiledDecoding.options

    def options(self, positions: int) -> dict[str, object]:
        made = options_of(self, positions)
        cache = made[CACHE_ARGUMENT]
        for part in (cache.self_attention_cache, cache.cross_attention_cache):
            layer = part.layers[0]
            if layer.is_initialized:  # by the first batch
                assert not layer.keys.any()
                assert not layer.cumulative_length
                addresses.append([tensor.data_ptr() for tensor in (layer.keys, layer.values, layer.cumulative_length)])
        return made

    monkeypatch.setattr(compiled_decoding.CompiledDecoding, "options", options)
    assert transcribe(items=mixed_items, is_compiled=True) == transcribe(items=mixed_items)
    assert compilations() == 1
    batches = len(evaluation_batches(mixed_items, 3))
    assert batches > 3
    assert len(addresses) == 2 * (batches - 1)
    assert len({tuple(pointers) for pointers in addresses}) == 2


@pytest.mark.usefixtures("traced_only")
def test_without_filling_up_a_short_batch_would_be_compiled_again(transcribe, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above can fail: the counter sees it."""
    options_of = compiled_decoding.CompiledDecoding.options

    def options_with_a_new_cache(self, positions: int) -> dict[str, object]:
        self.caches.clear()
        return options_of(self, positions)

    monkeypatch.setattr(compiled_decoding.CompiledDecoding, "options", options_with_a_new_cache)
    monkeypatch.setattr(compiled_decoding.CompiledDecoding, "filled", lambda self, tensor: tensor)
    transcribe(is_compiled=True)
    assert compilations() == 2


@pytest.mark.usefixtures("traced_only")
def test_an_english_only_model(tiny_english_folder: Path, utterances, transcribe) -> None:
    model, processor = modeling.load_model_and_processor(str(tiny_english_folder))
    modeling.configure_generation(
        model, processor, language=None, task="transcribe", max_new_tokens=MAX_NEW_TOKENS, num_beams=1
    )
    items = ClipItems(
        utterances, feature_extractor=processor.feature_extractor, encoder=LabelEncoder(processor.tokenizer)
    )
    assert transcribe(model, items=items, is_compiled=True) == transcribe(model, items=items)
    assert compilations() == 1


@pytest.mark.usefixtures("traced_only")
def test_where_padding_is_merged_there_are_three_compilations_however_many_lengths(
    tmp_path: Path, transcribe, encoder
) -> None:
    model, processor = modeling.load_model_and_processor(
        str(make_tiny_whisper(tmp_path / "twelve-seconds", max_source_positions=600))
    )
    modeling.configure_generation(
        model, processor, language="en", task="transcribe", max_new_tokens=MAX_NEW_TOKENS, num_beams=1
    )
    merging = SilenceMerging.of_model(model, window_s=12)
    rows = [
        Row(f"clip-{index}", wav_bytes(clip.repeat(times)), " ".join(words))
        for index, ((words, clip), times) in enumerate(zip(tone_utterances(4), (1, 3, 4, 8), strict=True))
    ]
    items = ClipItems(utterances_of(rows, tmp_path), feature_extractor=processor.feature_extractor, encoder=encoder)
    assert len({merging.kept_count(utterance.duration_s) for utterance in items.utterances}) == 4

    run = functools.partial(
        transcribe,
        model,
        items=items,
        batch_size=1,
        collator=Collator(
            feature_extractor=processor.feature_extractor,
            start_token_id=model.config.decoder_start_token_id,
            pad_token_id=model.config.pad_token_id,
            merging=merging,
        ),
    )
    wanted = run()
    assert run(is_compiled=True) == wanted == run(is_compiled=True)
    assert compilations() == 3  # the whole window, the first that is merged, and any length


@pytest.mark.usefixtures("traced_only")
def test_a_recording_that_vanished_leaves_the_shape_as_it_is(clip_files: ClipItems, transcribe, tmp_path: Path) -> None:
    for name in ("clip-1.wav", "clip-4.wav"):
        (tmp_path / name).unlink()
    assert transcribe(items=clip_files, is_compiled=True) == transcribe(items=clip_files)
    assert compilations() == 1


@pytest.mark.usefixtures("traced_only")
def test_ranks_together_give_the_table_of_one(transcribe, monkeypatch: pytest.MonkeyPatch, accelerator) -> None:
    alone = transcribe(batch_size=2)
    monkeypatch.setattr(agreement, "summed_over_ranks", lambda flags, _: flags)  # there are no other ranks
    together: list = []
    for rank in range(5):  # one more than there are batches
        gathered: list[list] = []
        monkeypatch.setattr(generation, "gather_object", lambda mine, kept=gathered: kept.append(mine) or mine)
        monkeypatch.setattr(type(accelerator), "num_processes", property(lambda self: 5))
        monkeypatch.setattr(type(accelerator), "process_index", property(lambda self, rank=rank: rank))
        with pytest.raises(AssertionError, match="missing or there twice"):
            transcribe(batch_size=2, is_compiled=True)
        together += gathered[0]
    assert [(row, text) for row, text, *_ in sorted(together)] == [
        (row, transcript.hypothesis) for row, transcript in enumerate(alone.transcripts)
    ]


@pytest.mark.usefixtures("traced_only", "accelerator")
def test_a_model_that_is_trained_in_bf16(model_and_processor, clip_items, collator) -> None:
    forget_accelerate()
    accelerator = Accelerator(cpu=True, mixed_precision="bf16")
    model = model_and_processor[0]
    accelerator.prepare(model, torch.optim.AdamW(model.parameters()))
    model = accelerator.unwrap_model(model)
    plain, compiled = (
        transcribe_utterances(model, clip_items, decoding, accelerator=accelerator, collator=collator)
        for decoding in (decoding_of(model, batch_size=3, is_compiled=is_compiled) for is_compiled in (False, True))
    )
    assert plain == compiled
    assert compilations() == 1


# -- what stays


@pytest.mark.usefixtures("traced_only")
def test_a_copy_of_an_evaluated_model_transcribes_with_its_own_weights_and_compiles_nothing(
    transcribe, model_and_processor
) -> None:
    """A sharded run evaluates a fresh copy each time."""
    model = model_and_processor[0]
    transcribe(is_compiled=True)
    other = copy.deepcopy(model)
    changed(other)
    wanted = transcribe(other)
    assert wanted != transcribe(model)
    assert transcribe(other, is_compiled=True) == wanted
    assert compilations() == 1


@pytest.mark.usefixtures("traced_only")
def test_compiled_encoder_layers_in_the_same_model_change_nothing(transcribe, model_and_processor, mixed_items) -> None:
    model, reference = model_and_processor[0], copy.deepcopy(model_and_processor[0])
    compile_encoder_layers(model, device=torch.device("cpu"), backend="eager")
    counters.clear()
    for _ in range(2):
        changed(model)
        changed(reference)
        expected = transcribe(reference, items=mixed_items)
        assert transcribe(model, items=mixed_items, is_compiled=True) == expected
    assert not counters["graph_break"]
    assert counters["stats"]["unique_graphs"] == 2  # a layer and the decoder


@pytest.mark.usefixtures("traced_only")
def test_the_model_is_let_go_and_keeps_its_settings(transcribe, model_and_processor) -> None:
    model = copy.deepcopy(model_and_processor[0])
    settings, state = model.generation_config.to_dict(), list(model.state_dict())
    transcribe(model, is_compiled=True)
    assert compilations() == 1
    assert model.generation_config.to_dict() == settings
    assert list(model.state_dict()) == state
    weight = weakref.ref(model.proj_out.weight)
    gc.collect()
    gc.disable()
    try:
        del model
        assert weight() is None  # at once, not when a collection of garbage comes along
    finally:
        gc.enable()


def test_what_can_not_be_compiled_is_one_clear_error(transcribe, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_compiler(*_: object, **__: object) -> None:
        raise RuntimeError("No working C++ compiler found")

    monkeypatch.setattr(compiled_decoding, "CompileConfig", functools.partial(CompileConfig, backend=without_compiler))
    with refused("--evaluation.compile_decoding", "No working C++ compiler found", remedy="install a C++ compiler"):
        transcribe(is_compiled=True)
