"""What every row is measured on: a random Whisper of true size, synthetic clips, and texts of 20 to 40 tokens."""

import itertools
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from tokenizers import AddedToken
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    GenerationConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperProcessor,
    WhisperTokenizer,
)
from transformers.models.whisper.tokenization_whisper import LANGUAGES

from accel_asr.data.labels import LabelEncoder
from accel_asr.data.loading.collator import Batch, Collator
from accel_asr.data.loading.items import Item
from accel_asr.model.whisper_for_training import WhisperForTraining

RATE_HZ = 16_000
POSITIONS_PER_SECOND = 50
END_OF_TEXT, START = "<|endoftext|>", "<|startoftranscript|>"
LANGUAGE_CODES = list(LANGUAGES)


@dataclass(frozen=True)
class Size:
    """A model and its clips. Labels have up to `label_tokens` tokens, where each row draws its own from this range."""

    name: str
    width: int
    encoder_layers: int
    decoder_layers: int
    heads: int
    letters: str
    merges: int  # of the tokenizer: with 256 bytes, the specials and the timestamps they make the vocabulary
    window_s: int
    clip_s: float
    label_tokens: tuple[int, int]
    max_new_tokens: int
    mel_bins: int = 80
    languages: int = 99

    def describe(self) -> str:
        """One sentence."""
        low, high = self.label_tokens
        layers = f"{self.encoder_layers} + {self.decoder_layers} layers"
        return (
            f"A random Whisper of the size of {self.name}: {self.width} wide, {layers}, a window of {self.window_s} s; "
            f"synthetic clips of {self.clip_s:g} s, labels of {low - 2} to {high} tokens, transcripts of "
            f"{self.max_new_tokens}."
        )


LETTERS = "abcdefghijklmnopqrstuvwxyz"
# whisper-tiny: 384 wide, 4 + 4 layers, 80 mels, 30 s, vocabulary 256 + 50,001 + 107 + 1,501 = 51,865
TRUE = Size("whisper-tiny", 384, 4, 4, 6, LETTERS, 50_001, 30, 10.0, (22, 40), 40)
BASE = Size("whisper-base", 512, 6, 6, 8, LETTERS, 50_001, 30, 10.0, (22, 40), 40)
# large-v3-turbo has one language more: 256 + 50,001 + 108 + 1,501 = 51,866. Its clips fill the window
TURBO = Size("large-v3-turbo", 1280, 32, 4, 20, LETTERS, 50_001, 30, 30.0, (80, 120), 40, mel_bins=128, languages=100)
TINY = Size("tiny", 16, 1, 1, 2, "abcdefghij", 300, 2, 1.0, (10, 16), 8)
SIZES = {size.name: size for size in (TRUE, BASE, TURBO, TINY)}


class Material:
    """A model folder that all load, and reproducible rows of (samples, text).

    Args:
        folder: The model is written to `folder / "model"`.
    """

    def __init__(self, folder: Path, size: Size, *, device: torch.device) -> None:
        self.folder, self.size, self.device = folder, size, device
        self.model_dir = folder / "model"
        if not self.model_dir.exists():
            unfinished = folder / "unfinished"  # left there if this process is ended
            shutil.rmtree(unfinished, ignore_errors=True)
            write_model(unfinished, size)
            unfinished.rename(self.model_dir)
        self.processor = WhisperProcessor.from_pretrained(self.model_dir)
        self.processor.tokenizer.set_prefix_tokens(language="en", task="transcribe", predict_timestamps=False)
        self.encoder = LabelEncoder(self.processor.tokenizer)
        self.extractor: WhisperFeatureExtractor = self.processor.feature_extractor

    def model(self, *, attention: str) -> WhisperForTraining:
        """A copy of the model, on the device."""
        model = WhisperForTraining.from_pretrained(self.model_dir, attn_implementation=attention, dtype=torch.float32)
        # fixed sinusoids; transformers 5 marks them as trainable when it loads a model
        model.get_encoder().embed_positions.requires_grad_(False)
        return model.to(self.device)

    def describe(self) -> str:
        """One sentence."""
        return self.size.describe()

    def duration_s(self, row: int) -> float:
        """How long the row's clip is."""
        return self.size.clip_s

    def samples(self, row: int) -> np.ndarray:
        """int16 at RATE_HZ: two tones that come and go, and noise."""
        generator = np.random.default_rng((1, row))
        time_s = np.arange(round(self.size.clip_s * RATE_HZ)) / RATE_HZ
        tones = sum(np.sin(2 * np.pi * hz * time_s) for hz in generator.uniform(150, 3_000, size=2))
        loudness = np.abs(np.sin(2 * np.pi * generator.uniform(1, 3) * time_s))
        noise = generator.normal(scale=300, size=len(time_s))
        return (4_000 * loudness * tones + noise).astype(np.int16)

    def text(self, row: int) -> str:
        """Words of four letters, as many as the row's label has tokens for; most take two tokens."""
        generator = np.random.default_rng((2, row))
        low, high = self.size.label_tokens
        room = int(generator.integers(low, high + 1)) - len(self.encoder.prefix()) - 1
        words = [self._words[int(number)] for number in generator.integers(0, len(self._words), size=room)]
        return self.encoder.cut(" ".join(words), room)

    def items(self, rows: int) -> list[Item]:
        """The first rows as items of a batch, their features made by the model's own extractor."""
        items = []
        for row in range(rows):
            features = self.extractor(self.samples(row) / np.float32(32_768), sampling_rate=RATE_HZ).input_features[0]
            label = self.encoder.encode(self.text(row))
            items.append(Item(f"row-{row}", self.duration_s(row), np.asarray(features), label.token_ids))
        return items

    @cached_property
    def collator(self) -> Collator:
        ids = self.processor.tokenizer.convert_tokens_to_ids
        return Collator(
            feature_extractor=self.extractor,
            start_token_id=ids(START),
            pad_token_id=ids(END_OF_TEXT),
        )

    def batch(self, rows: int) -> Batch:
        """The first rows as one batch, on the device."""
        return self.collator(self.items(rows)).to(self.device)

    @cached_property
    def _words(self) -> list[str]:
        return [token for token in _merged_tokens(self.size) if len(token) == 4]


def write_model(folder: Path, size: Size) -> None:
    """Write a Whisper with random weights and its processor, complete but untrained."""
    folder.mkdir(parents=True)
    tokenizer = make_tokenizer(size)
    ids = tokenizer.convert_tokens_to_ids
    tokenizer.save_pretrained(folder)
    WhisperFeatureExtractor(
        feature_size=size.mel_bins,
        sampling_rate=RATE_HZ,
        chunk_length=size.window_s,
        processor_class="WhisperProcessor",
    ).save_pretrained(folder)
    end = ids(END_OF_TEXT)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = WhisperForConditionalGeneration(model_config(size, tokenizer))
        with torch.no_grad():  # words are likely: after a timestamp, `generate` would go over the same clip again
            model.get_input_embeddings().weight[end:].mul_(0.1)
    model.generation_config = GenerationConfig(
        max_length=448,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
        decoder_start_token_id=ids(START),
        prev_sot_token_id=ids("<|startofprev|>"),
        no_timestamps_token_id=ids("<|notimestamps|>"),
        max_initial_timestamp_index=50,
        return_timestamps=False,
        is_multilingual=True,
        suppress_tokens=[],
        begin_suppress_tokens=[end],
        alignment_heads=[[size.decoder_layers - 1, 0]],
        lang_to_id={f"<|{code}|>": ids(f"<|{code}|>") for code in LANGUAGE_CODES[: size.languages]},
        task_to_id={task: ids(f"<|{task}|>") for task in ("transcribe", "translate")},
    )
    model.save_pretrained(folder)


def model_config(size: Size, tokenizer: WhisperTokenizer) -> WhisperConfig:
    """The shape of the model, whose tokenizer is `make_tokenizer(size)`."""
    ids = tokenizer.convert_tokens_to_ids
    end = ids(END_OF_TEXT)
    return WhisperConfig(
        vocab_size=len(tokenizer),
        num_mel_bins=size.mel_bins,
        d_model=size.width,
        encoder_layers=size.encoder_layers,
        decoder_layers=size.decoder_layers,
        encoder_attention_heads=size.heads,
        decoder_attention_heads=size.heads,
        encoder_ffn_dim=4 * size.width,
        decoder_ffn_dim=4 * size.width,
        max_source_positions=size.window_s * POSITIONS_PER_SECOND,
        max_target_positions=448,
        pad_token_id=end,
        bos_token_id=end,
        eos_token_id=end,
        decoder_start_token_id=ids(START),
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )


def _merged_tokens(size: Size) -> list[str]:
    """All pairs of letters, then pairs of pairs, as many as there are merges."""
    pairs = [a + b for a in size.letters for b in size.letters]
    fours = [a + b for a, b in itertools.product(pairs, pairs[: size.merges // len(pairs) + 1])]
    return (pairs + fours)[: size.merges]


def make_tokenizer(size: Size) -> WhisperTokenizer:
    """Of bytes, pairs and pairs of pairs of letters, Whisper's special tokens, and a timestamp for each 20 ms."""
    merged = _merged_tokens(size)
    vocabulary = [*sorted(ByteLevel.alphabet()), *merged]
    half = {2: 1, 4: 2}
    specials = [START, *(f"<|{code}|>" for code in LANGUAGE_CODES[: size.languages]), "<|translate|>", "<|transcribe|>"]
    specials += ["<|startoflm|>", "<|startofprev|>", "<|nocaptions|>", "<|notimestamps|>"]
    tokenizer = WhisperTokenizer(
        vocab={token: number for number, token in enumerate([*vocabulary, END_OF_TEXT])},
        merges=[(token[: half[len(token)]], token[half[len(token)] :]) for token in merged],
        unk_token=END_OF_TEXT,
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        pad_token=END_OF_TEXT,
        extra_special_tokens=specials,
        model_max_length=448,
    )
    stamps = size.window_s * POSITIONS_PER_SECOND + 1
    tokenizer.add_tokens([AddedToken(f"<|{number * 0.02:.2f}|>", special=False) for number in range(stamps)])
    return tokenizer
