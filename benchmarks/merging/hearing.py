"""How a model hears clips: the whole window, or its padding merged in one way or another."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import GenerationMixin, LogitsProcessorList, WhisperProcessor
from transformers.generation import WhisperTimeStampLogitsProcessor
from transformers.modeling_outputs import BaseModelOutput

from accel_asr.audio.decoding import to_int16
from accel_asr.audio.log_mel import features_shape, log_mel
from accel_asr.data.loading.collator import IGNORED_LABEL
from accel_asr.model import silence_merging
from accel_asr.model.silence_merging import KeptPositions, SilenceMerging, encode_clips
from accel_asr.model.spelling import Spelling
from accel_asr.model.whisper_for_training import WhisperForTraining
from benchmarks.merging.clips import Clip

MOST_NEW_TOKENS = 60
TIMESTAMP_S = 0.02
WORDS = """merged, whole, k=8, margin=3, end=0 (no dense end), middle or mean (of the embeddings of a group, not its
centre's), always (clips of any length), bf16, times"""


@dataclass(frozen=True)
class Way:
    """One way of hearing, named by words with commas between them; `merged` is the product's own."""

    name: str = "merged"
    is_whole: bool = False
    factor: int = silence_merging.MERGE_FACTOR
    margin_s: float = silence_merging.MARGIN_S
    end_s: float = silence_merging.END_S
    is_middle: bool = False
    is_mean: bool = False
    is_always: bool = False
    is_bf16: bool = False
    is_timed: bool = False

    @classmethod
    def parse(cls, name: str) -> "Way":
        """
        Raises:
            ValueError: a word that is none of WORDS.
        """
        flags = {word: f"is_{word}" for word in ("whole", "middle", "mean", "always", "bf16")}
        flags["times"] = "is_timed"
        numbers: dict[str, tuple[str, Callable[[str], Any]]] = {
            "k": ("factor", int),
            "margin": ("margin_s", float),
            "end": ("end_s", float),
        }
        way = cls(name)
        for word in name.split(","):
            key, _, value = word.partition("=")
            if word in flags:
                way = replace(way, **{flags[word]: True})
            elif key in numbers and value:
                field, number = numbers[key]
                way = replace(way, **{field: number(value)})
            elif word != "merged":
                raise ValueError(f"no way {word!r}; the words are {WORDS}")
        return way


@dataclass(frozen=True)
class Heard:
    """A transcript, and where the model says that the speech ends, in seconds, if it was asked for times."""

    clip_id: str
    text: str
    end_s: float | None = None


def middle_embeddings(embed: nn.Embedding, kept: KeptPositions) -> torch.Tensor:
    """The embedding of a group's middle position, the upper of two, (batch, kept, width)."""
    return embed(kept.positions)


def mean_embeddings(embed: nn.Embedding, kept: KeptPositions) -> torch.Tensor:
    """The mean of the embeddings of all of a group's positions, (batch, kept, width)."""
    counts = kept.log_counts.exp().round().long().clamp(min=1)
    first = kept.positions - counts // 2
    sums = nn.functional.pad(embed.weight.double().cumsum(0), (0, 0, 1, 0))
    return ((sums[first + counts] - sums[first]) / counts[..., None]).float()


class Listener:
    """A model on the CPU, and what it makes of clips."""

    def __init__(self, model: WhisperForTraining, processor: WhisperProcessor) -> None:
        self.model, self.processor = model.eval(), processor
        self.spelling = Spelling(processor.tokenizer)
        self.window_s = float(processor.feature_extractor.chunk_length)

    def merging(self, way: Way) -> SilenceMerging:
        return replace(
            SilenceMerging.of_model(self.model, window_s=self.window_s),
            factor=way.factor,
            margin_s=way.margin_s,
            end_s=way.end_s,
        )

    def kept_count(self, clip: Clip, way: Way) -> int:
        merging = self.merging(way)
        with as_asked(way):
            return merging.window_positions if way.is_whole else merging.kept_count(clip.seconds)

    def inputs(self, clips: Sequence[Clip], way: Way) -> tuple[torch.Tensor, KeptPositions | None]:
        """Features, (batch, mel bins, frames), and the positions to encode; None for the whole window."""
        extractor = self.processor.feature_extractor
        features = np.empty((len(clips), *features_shape(extractor)), dtype=np.float32)
        for row, clip in zip(features, clips, strict=True):
            log_mel(to_int16(clip.samples), extractor, out=row)
        if way.is_whole:
            return torch.from_numpy(features), None
        merging, seconds = self.merging(way), [clip.seconds for clip in clips]
        with as_asked(way):
            kept = merging.of_batch(seconds)
        if kept is None:
            return torch.from_numpy(features), None
        return torch.from_numpy(features)[..., : merging.frames_of(seconds)].contiguous(), kept

    def start(self, language: str, *, is_timed: bool = False) -> list[int]:
        """The tokens that a transcript starts with."""
        words = ["<|startoftranscript|>"]
        if getattr(self.model.generation_config, "is_multilingual", False):
            words += [f"<|{language}|>", "<|transcribe|>"]
        if not is_timed:
            words.append("<|notimestamps|>")
        return [self.processor.tokenizer.convert_tokens_to_ids(word) for word in words]

    @torch.no_grad()
    def transcribe(self, clips: Sequence[Clip], way: Way) -> list[Heard]:
        """Greedy transcripts of clips of one language."""
        (language,) = {clip.language for clip in clips}
        features, kept = self.inputs(clips, way)
        start = self.start(language, is_timed=way.is_timed)
        processors = LogitsProcessorList()
        settings = self.model.generation_config
        if way.is_timed:
            processors.append(WhisperTimeStampLogitsProcessor(settings, begin_index=len(start)))
        with as_asked(way):
            encoded = encode_clips(self.model, features, kept)
            written = GenerationMixin.generate(
                self.model,
                encoder_outputs=BaseModelOutput(last_hidden_state=encoded),
                decoder_input_ids=torch.tensor([start] * len(clips)),
                max_new_tokens=MOST_NEW_TOKENS,
                num_beams=1,
                do_sample=False,
                logits_processor=processors,
            )[:, len(start) :].tolist()
        first_time = settings.no_timestamps_token_id + 1
        heard = []
        for clip, tokens in zip(clips, written, strict=True):
            times = [(token - first_time) * TIMESTAMP_S for token in tokens if token >= first_time]
            heard.append(Heard(clip.clip_id, self.spelling.text(tokens), times[-1] if times else None))
        return heard

    def summed_loss(self, clips: Sequence[Clip], way: Way) -> torch.Tensor:
        """Of the tokens of the clips' texts, as training computes it."""
        features, kept = self.inputs(clips, way)
        read, targets = self._labels(clips)
        at = torch.nonzero(targets.flatten() != IGNORED_LABEL).flatten()
        with as_asked(way):
            return self.model(
                features, decoder_input_ids=read, target_positions=at, target_labels=targets.flatten()[at], kept=kept
            ).loss_sum

    @torch.no_grad()
    def next_tokens(self, clip: Clip, way: Way) -> torch.Tensor:
        """Log-probabilities of each token of the clip's text and of all others in its place, (tokens, vocabulary)."""
        features, kept = self.inputs([clip], way)
        with as_asked(way):
            encoded = BaseModelOutput(last_hidden_state=encode_clips(self.model, features, kept))
            logits = self.model(encoder_outputs=encoded, decoder_input_ids=self._labels([clip])[0]).logits[0]
        return logits[len(self.start(clip.language)) - 1 :].float().log_softmax(-1)

    def all_next_tokens(self, clips: Sequence[Clip], way: Way) -> list[torch.Tensor]:
        """`next_tokens` of each clip."""
        return [self.next_tokens(clip, way) for clip in clips]

    def gradient(self, clips: Sequence[Clip], way: Way) -> dict[str, torch.Tensor]:
        """Of the summed loss of all clips, by weight."""
        self.model.zero_grad(set_to_none=True)
        for clip in clips:
            self.summed_loss([clip], way).backward()
        weights = self.model.named_parameters()
        gradient = {name: weight.grad for name, weight in weights if weight.grad is not None}
        self.model.zero_grad(set_to_none=True)
        return gradient

    def _labels(self, clips: Sequence[Clip]) -> tuple[torch.Tensor, torch.Tensor]:
        """What the decoder reads and what it should write, both (batch, tokens)."""
        labels = [[*self.start(c.language), *self.spelling.ids(f" {c.text or ''}"), self._end] for c in clips]
        longest = max(map(len, labels)) - 1
        read, targets = torch.full((len(clips), longest), self._end), torch.full((len(clips), longest), IGNORED_LABEL)
        for row, label in enumerate(labels):
            read[row, : len(label) - 1] = torch.tensor(label[:-1])
            targets[row, : len(label) - 1] = torch.tensor(label[1:])
        return read, targets

    @property
    def _end(self) -> int:
        return int(self.processor.tokenizer.eos_token_id)


@contextmanager
def as_asked(way: Way) -> Iterator[None]:
    """What no setting changes: the precision, a group's embedding, and clips that are too long to be merged."""
    centre, most = silence_merging._centre_embeddings, silence_merging.MOST_KEPT
    try:
        if way.is_middle:
            silence_merging._centre_embeddings = middle_embeddings
        if way.is_mean:
            silence_merging._centre_embeddings = mean_embeddings
        if way.is_always:
            silence_merging.MOST_KEPT = 1.0
        with torch.autocast("cpu", torch.bfloat16, enabled=way.is_bf16):
            yield
    finally:
        silence_merging._centre_embeddings, silence_merging.MOST_KEPT = centre, most


def cosine(
    ones: dict[str, torch.Tensor], others: dict[str, torch.Tensor], belongs: Callable[[str], bool] = lambda name: True
) -> float:
    """Between two gradients, of the weights whose name `belongs`."""
    product = one = other = 0.0
    for name in filter(belongs, ones):
        first, second = ones[name].double().flatten(), others[name].double().flatten()
        product, one, other = (
            product + float(first @ second),
            one + float(first @ first),
            other + float(second @ second),
        )
    return product / (one * other) ** 0.5
