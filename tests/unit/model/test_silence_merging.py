"""Merged padding: exact where the merged positions are alike or nothing is merged, and a function of the clip alone."""

import copy
import math

import pytest
import torch
from transformers import WhisperForConditionalGeneration

from accel_asr.model import pretrained as modeling
from accel_asr.model.silence_merging import (
    BUCKET,
    KeptPositions,
    SilenceMerging,
    _centre_embeddings,
    encode_clips,
    encode_merged,
)
from tests.tiny_models import make_tiny_whisper

WHISPER = SilenceMerging(window_positions=1500, position_s=0.02)
TOKENS = torch.tensor([[0, 1, 2, 3], [3, 2, 1, 0]])
CLIPS_S = [0.7, 2.3]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> WhisperForConditionalGeneration:
    """A random Whisper with a window of 12 s, 600 positions."""
    modeling.quiet_libraries()
    folder = make_tiny_whisper(tmp_path_factory.mktemp("twelve-seconds"), max_source_positions=600)
    return modeling.load_model_and_processor(str(folder))[0].eval()


@pytest.fixture(scope="module")
def merging(model: WhisperForConditionalGeneration) -> SilenceMerging:
    return SilenceMerging.of_model(model, window_s=12)


def padded(model: WhisperForConditionalGeneration, clips_s: list[float] = CLIPS_S) -> torch.Tensor:
    """Random features of clips, and of each another constant after it, as where padding is silence."""
    features = torch.randn(len(clips_s), model.config.num_mel_bins, 1200, generator=torch.Generator().manual_seed(0))
    for row, clip_s in enumerate(clips_s):
        features[row, :, round(100 * clip_s) :] = -0.3 - 0.2 * row
    return features


def alike_in_groups(model: WhisperForConditionalGeneration, kept: KeptPositions) -> WhisperForConditionalGeneration:
    """A copy in which all positions of a group have the embedding of the kept one: merging must then change nothing.

    Both rows keep the same positions.
    """
    alike = copy.deepcopy(model)
    positions, counts = kept.positions[0], kept.log_counts[0].exp().round().long()
    stands_for = positions.repeat_interleave(counts)
    weight = alike.get_encoder().embed_positions.weight
    with torch.no_grad():
        # the kept one is the middle of its group: groups follow each other without a gap
        weight.copy_(weight[stands_for].clone())
    return alike


def test_it_is_exact_where_the_merged_positions_are_alike(
    model: WhisperForConditionalGeneration, merging: SilenceMerging
) -> None:
    clips_s = [2.3, 2.3]
    kept = merging.of_batch(clips_s)
    assert kept is not None
    assert kept.log_counts.exp().sum(1).round().tolist() == [600, 600]
    alike, features = alike_in_groups(model, kept), padded(model, clips_s)
    whole = alike(input_features=features, decoder_input_ids=TOKENS)
    expected = whole.encoder_last_hidden_state.gather(1, kept.positions[..., None].expand(-1, -1, model.config.d_model))
    expected_gradients = gradients(alike, whole.logits)

    cut = features[..., : merging.frames_of(clips_s)]
    encoded = encode_clips(alike, cut, kept)
    logits = alike(encoder_outputs=(encoded,), decoder_input_ids=TOKENS).logits

    torch.testing.assert_close(encoded, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(logits, whole.logits, rtol=1e-4, atol=1e-5)
    for (name, ours), (_, theirs) in zip(gradients(alike, logits).items(), expected_gradients.items(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4 * float(theirs.abs().max()), msg=name)


def gradients(model: WhisperForConditionalGeneration, logits: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad()
    logits.logsumexp(-1).sum().backward()
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}


def test_the_window_itself_is_encoded_bit_for_bit_where_clips_fill_it_or_nothing_is_merged(
    model: WhisperForConditionalGeneration, merging: SilenceMerging
) -> None:
    features = padded(model, [11.9, 11.5])
    assert merging.of_batch([11.9, 11.5]) is None
    assert SilenceMerging(600, 0.02, factor=1).of_batch(CLIPS_S) is None
    with torch.no_grad():
        clip_by_clip = [model.get_encoder()(clip).last_hidden_state for clip in features.split(1)]
        assert torch.equal(encode_clips(model, features, None), torch.cat(clip_by_clip))
    with torch.enable_grad():  # as in training
        whole = model.get_encoder()(features).last_hidden_state
        assert torch.equal(encode_clips(model, features, None), whole)
        # and by the merging code, all positions kept
        all_kept = KeptPositions(torch.arange(600).expand(2, -1), torch.zeros(2, 600))
        assert torch.equal(encode_merged(model.get_encoder(), features, all_kept), whole)


def test_a_clip_is_encoded_the_same_in_any_batch(
    model: WhisperForConditionalGeneration, merging: SilenceMerging
) -> None:
    features = padded(model, [*CLIPS_S, 6.0])
    results = []
    for clips in ([0], [0, 1], [2, 0, 1]):
        clips_s = [[*CLIPS_S, 6.0][clip] for clip in clips]
        kept = merging.of_batch(clips_s)
        assert kept is not None
        with torch.no_grad():
            encoded = encode_clips(model, features[clips][..., : merging.frames_of(clips_s)], kept)
            logits = model(encoder_outputs=(encoded,), decoder_input_ids=TOKENS[:1].expand(len(clips), -1)).logits
        own = merging.kept_count(CLIPS_S[0])
        assert kept.log_counts[clips.index(0), own:].tolist() == [-math.inf] * (encoded.shape[1] - own)
        results.append((encoded[clips.index(0), :own], logits[clips.index(0)]))
    for encoded, logits in results[1:]:
        torch.testing.assert_close(encoded, results[0][0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(logits, results[0][1], rtol=1e-4, atol=1e-5)


def test_without_the_weights_of_the_keys_it_is_another_model(
    model: WhisperForConditionalGeneration, merging: SilenceMerging
) -> None:
    """Or the test of exactness would show nothing."""
    kept = merging.of_batch([2.3, 2.3])
    assert kept is not None
    features = padded(model, [2.3, 2.3])[..., : merging.frames_of([2.3, 2.3])]
    with torch.no_grad():
        weighed = encode_clips(model, features, kept)
        logits = model(encoder_outputs=(weighed,), decoder_input_ids=TOKENS).logits
        unweighed = encode_clips(model, features, KeptPositions(kept.positions, torch.zeros_like(kept.log_counts)))
        assert (weighed - unweighed).abs().max() > 1e-4
        assert (model(encoder_outputs=(weighed,), decoder_input_ids=TOKENS).logits - logits).abs().max() > 1e-6


@pytest.mark.parametrize(
    ("clip_s", "kept"), [(0.0, 512), (3.0, 640), (8.0, 832), (15.0, 1088), (22.0, 1344), (23.0, 1500)]
)
def test_how_many_positions_are_kept(clip_s: float, kept: int) -> None:
    assert WHISPER.kept_count(clip_s) == kept


@pytest.mark.parametrize("clip_s", [0.0, 0.013, 1.0, 3.33, 8.0, 14.99, 22.0])
def test_the_kept_positions_stand_for_the_whole_window(clip_s: float) -> None:
    positions, counts = WHISPER.of_clip(clip_s)
    assert len(positions) == len(counts) == WHISPER.kept_count(clip_s)
    assert len(positions) % BUCKET == 0
    assert int(counts.sum()) == 1500
    assert set(counts.tolist()) <= {1, 2, 3, 4}
    assert torch.equal(positions, positions.unique())
    dense = int((counts == 1)[: len(counts) - 50].sum())
    assert dense * 0.02 >= clip_s + 2.0
    assert positions[:dense].tolist() == list(range(dense))
    assert positions[-50:].tolist() == list(range(1450, 1500))
    assert counts[-50:].tolist() == [1] * 50
    # the middle one of each group
    first = torch.cumsum(counts, 0) - counts
    assert torch.equal(positions, first + counts // 2)


def test_the_features_that_are_needed_end_soon_after_the_longest_clip() -> None:
    assert WHISPER.frames_of([1.0, 3.0]) == 2 * (150 + 8)
    assert WHISPER.frames_of([29.99]) == 3000


def test_a_group_has_the_embedding_of_its_centre() -> None:
    embedding = torch.nn.Embedding(12, 4)
    # 0, 1, then 2 to 5, 6 to 8, 9 and 10, 11
    kept = KeptPositions(torch.tensor([[0, 1, 4, 7, 10, 11]]), torch.tensor([[1.0, 1.0, 4.0, 3.0, 2.0, 1.0]]).log())
    weight = embedding.weight.detach()
    expected = (weight[[0, 1, 4, 7, 10, 11]] + weight[[0, 1, 3, 7, 9, 11]]) / 2
    assert torch.equal(_centre_embeddings(embedding, kept)[0], expected)
