"""Fill the cache of encoder outputs before training: the frozen encoder encodes each training clip once."""

from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial

import numpy as np
import torch
from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration

from accel_asr.audio.decoding import AudioError
from accel_asr.audio.log_mel import log_mel
from accel_asr.data.loading.encoder_cache import EncoderCache
from accel_asr.data.loading.prefetch import MadeAhead
from accel_asr.data.selection.utterances import Utterance
from accel_asr.errors import UserError

Chunk = tuple[int, list[int], torch.Tensor]  # its number, clips to compute, their features (clips, mel bins, frames)


def _clips_to_compute(
    chunk: int, *, cache: EncoderCache, utterances: Sequence[Utterance], feature_extractor: WhisperFeatureExtractor
) -> Chunk:
    """The missing and damaged clips of a chunk, with their features, in a worker process.

    Clips that can't be decoded are left out; a chunk that misses only those comes back empty.
    """
    features: dict[int, torch.Tensor] = {}
    needed = sorted({*cache.missing(chunk), *cache.damaged(chunk)})
    # then the other clips too: the same clip in another batch may be rounded differently
    for clip in (*needed, *(clip for clip in cache.clips_of(chunk) if clip not in needed)):
        if clip not in needed and not features:
            break
        try:
            samples = utterances[clip].samples()
        except AudioError:
            continue  # reported when its turn comes in training, as in any run
        features[clip] = torch.from_numpy(log_mel(samples, feature_extractor))
    clips = sorted(features)
    return chunk, clips, torch.stack([features[clip] for clip in clips]) if clips else torch.empty(0)


def fill_encoder_cache(
    model: WhisperForConditionalGeneration,
    cache: EncoderCache,
    utterances: Sequence[Utterance],
    *,
    feature_extractor: WhisperFeatureExtractor,
    rank: int,
    num_processes: int,
    num_workers: int,
    on_progress: Callable[[int], object] = lambda cached: None,
) -> int:
    """Compute what the cache lacks. Every rank must call this, with the model not prepared yet, on its device.

    Each rank begins with its own part and then helps the others, coordinated through the cache alone: no rank waits in
    a collective; machines without a shared disk each compute all clips; several runs may fill one cache.

    The encoder works in fp32 whatever the run's precision, without dropout, on whole chunks of the data's order. So the
    outputs depend neither on the ranks nor on where an earlier run was killed, unless a clip can be decoded now that
    could not be before; on other hardware or with other libraries they are equal to float16 rounding. Training on one
    cache is bit for bit repeatable, since what is kept is never written again.

    Args:
        on_progress: Called with the number of clips in the cache so far, whichever rank computed them.

    Returns:
        How many clips this rank recomputed because their cache entries were damaged.

    Raises:
        UserError: an output does not fit into float16.
    """
    renewed = 0
    encoder = model.get_encoder()
    was_training = encoder.training
    encoder.eval()
    first = cache.chunks * rank // num_processes
    left = [*range(first, cache.chunks), *range(first)]

    def names(chunk: int) -> list[str]:
        return [utterances[clip].utterance_id for clip in cache.missing(chunk)]

    for wait in (False, True):  # chunks that other ranks are computing are checked again at the end
        passed_over = []
        make = partial(_clips_to_compute, cache=cache, utterances=utterances, feature_extractor=feature_extractor)
        chunks = MadeAhead(make, left, num_workers=min(num_workers, len(left)), names=names)
        with closing(chunks):
            for chunk, clips, features in chunks:
                if clips:
                    with cache.claimed(chunk, wait=wait) as is_mine:
                        if not is_mine:
                            passed_over.append(chunk)
                        # another rank may have stored them since they were decoded
                        elif missing := {*cache.missing(chunk), *(damaged := cache.damaged(chunk))}:
                            renewed += len(damaged)
                            outputs = _outputs(encoder, features, [utterances[clip].utterance_id for clip in clips])
                            new = [place for place, clip in enumerate(clips) if clip in missing]
                            cache.keep([clips[place] for place in new], outputs[new])
                on_progress(cache.kept())
        left = passed_over
    encoder.train(was_training)
    return renewed


def _outputs(encoder: torch.nn.Module, features: torch.Tensor, names: Sequence[str]) -> np.ndarray:
    """What the encoder says of clips, float16, shape (clips, positions, width)."""
    with torch.no_grad():
        device = next(encoder.parameters()).device
        outputs = encoder(features.to(device)).last_hidden_state.to(torch.float16).cpu()
    for name, output in zip(names, outputs, strict=True):
        if not output.isfinite().all():
            raise UserError(
                f"the encoder output of {name!r} does not fit into float16",
                setting="--model.cache_encoder_outputs",
                value=True,
                remedy="look at that recording, or leave the setting out",
            )
    array: np.ndarray = outputs.numpy()
    return array
