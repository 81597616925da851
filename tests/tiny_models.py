"""A Whisper small enough for tests, complete but untrained: random weights, real layout.

The folder has what `openai/whisper-tiny` has on the Hub: weights, configuration, generation settings and a processor
with the same special tokens in the same order, over a byte-level vocabulary of a few hundred entries.
"""

import json
from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from transformers import (
    GenerationConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperTokenizer,
)
from transformers.models.whisper.tokenization_whisper import LANGUAGES

SAMPLE_RATE_HZ = 16_000
POSITIONS_PER_SECOND = 50  # 100 log-mel frames a second, halved by the encoder's second convolution
MEL_BINS = 80
BYTES = 256
MERGES = 144
# 25 times the usual: each clip has a different transcript (at 0.2, 16 clips shared one or two), and greedy decoding
# does not hang on the last bit of a logit
INIT_STD = 0.5

# whisper-tiny knows 99 languages: Cantonese ("yue"), last in the library's table, came with large-v3
LANGUAGE_TOKENS = [f"<|{code}|>" for code in list(LANGUAGES)[:99]]
# OpenAI's order, which transformers relies on: languages follow the start token, timestamps follow the last special
SPECIAL_TOKENS = [
    "<|startoftranscript|>",
    *LANGUAGE_TOKENS,
    "<|translate|>",
    "<|transcribe|>",
    "<|startoflm|>",
    "<|startofprev|>",
    "<|nocaptions|>",
    "<|notimestamps|>",
]
END_OF_TEXT = "<|endoftext|>"
NEVER_GENERATED = [token for token in SPECIAL_TOKENS if token not in (*LANGUAGE_TOKENS, "<|notimestamps|>")]
SPELLINGS = {
    "cheque": "check",
    "cancelled": "canceled",
    "authorise": "authorize",
    "colour": "color",
    "centre": "center",
}

SENTENCES = [
    "I would like to set up a joint account with my partner.",
    "how do I transfer money to my savings account",
    "Can you tell me the balance on my credit card please?",
    "my card was declined at the cash machine this morning",
    "I want to change my address and pay the electricity bill",
    "freeze my account, somebody stole my wallet last night",
    "what is the highest amount that I can take out abroad",
    "hello, the app does not let me log in any more, thank you",
]


def make_tiny_whisper(
    folder: str | Path,
    *,
    seed: int = 0,
    max_source_positions: int = 1500,
    max_target_positions: int = 448,
    width: int = 16,
    layers: int = 2,
    multilingual: bool = True,
) -> Path:
    """Write model and processor to `folder` and return it; the same arguments give the same bytes.

    `max_source_positions` sets the window: 50 positions a second, so 1500 is Whisper's 30 s and 100 is 2 s; the feature
    extractor and the timestamp tokens follow it. `multilingual=False` gives what an English-only checkpoint such as
    `whisper-tiny.en` looks like: the same tokens, but `generate` refuses language and task.
    Untrained, the model rarely says the end of text: ask `generate` for few tokens.
    Leaves torch's global random state as it was. Takes about 0.1 s after the imports.
    """
    window_s, rest = divmod(max_source_positions, POSITIONS_PER_SECOND)
    assert rest == 0, f"max_source_positions={max_source_positions}: the feature extractor takes whole seconds only"
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)

    tokenizer = _make_tokenizer(folder, timestamps=max_source_positions + 1, max_target_positions=max_target_positions)
    tokenizer.save_pretrained(folder)
    # not as one WhisperProcessor: that would leave processor_config.json where the Hub has preprocessor_config.json
    WhisperFeatureExtractor(
        feature_size=MEL_BINS, sampling_rate=SAMPLE_RATE_HZ, chunk_length=window_s, processor_class="WhisperProcessor"
    ).save_pretrained(folder)

    end_of_text = tokenizer.convert_tokens_to_ids(END_OF_TEXT)
    start = tokenizer.convert_tokens_to_ids("<|startoftranscript|>")
    config = WhisperConfig(
        vocab_size=len(tokenizer),
        num_mel_bins=MEL_BINS,
        d_model=width,
        encoder_layers=layers,
        decoder_layers=layers,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=2 * width,
        decoder_ffn_dim=2 * width,
        max_source_positions=max_source_positions,
        max_target_positions=max_target_positions,
        bos_token_id=end_of_text,
        eos_token_id=end_of_text,
        pad_token_id=end_of_text,
        decoder_start_token_id=start,
        init_std=INIT_STD,
        suppress_tokens=None,
        begin_suppress_tokens=None,  # as on the Hub today, these live in generation_config.json
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = WhisperForConditionalGeneration(config)
        _make_words_likely(model, end_of_text)
    model.generation_config = _make_generation_config(
        tokenizer, max_length=max_target_positions, layers=layers, multilingual=multilingual
    )
    model.save_pretrained(folder)
    return folder


def _make_tokenizer(folder: Path, *, timestamps: int, max_target_positions: int) -> WhisperTokenizer:
    backend = Tokenizer(BPE())
    backend.pre_tokenizer = ByteLevel(add_prefix_space=False)
    trainer = BpeTrainer(
        vocab_size=BYTES + MERGES, initial_alphabet=sorted(ByteLevel.alphabet()), show_progress=False, special_tokens=[]
    )
    backend.train_from_iterator(SENTENCES, trainer)
    trained = json.loads(backend.to_str())["model"]
    assert len(trained["vocab"]) == BYTES + MERGES, "too few sentences for that many merges"

    normalizer_file = folder / "normalizer.json"
    normalizer_file.write_text(json.dumps(SPELLINGS, indent=2) + "\n", encoding="utf-8")
    tokenizer = WhisperTokenizer(
        vocab=trained["vocab"],
        merges=[tuple(pair) for pair in trained["merges"]],
        normalizer_file=str(normalizer_file),
        pad_token=END_OF_TEXT,
        extra_special_tokens=SPECIAL_TOKENS,
        model_max_length=max_target_positions,
    )
    # plain tokens, not special: Whisper's decoding tells timestamps from specials by their ids
    tokenizer.add_tokens([AddedToken(f"<|{index * 0.02:.2f}|>", special=False) for index in range(timestamps)])
    return tokenizer


def _make_words_likely(model: WhisperForConditionalGeneration, end_of_text: int) -> None:
    """Make everything but words improbable, so that transcripts are valid UTF-8 to read.

    Timestamps above all: a model that says them without being asked has `generate` go over the same clip many times.
    """
    weight = model.get_input_embeddings().weight  # (vocabulary, width), tied to the output projection
    improbable = torch.ones(len(weight), 1, dtype=torch.bool)
    improbable[BYTES : BYTES + MERGES] = False
    with torch.no_grad():
        weight.mul_(torch.where(improbable, 0.1, 1.0))
        # also the padding token, whose row starts as zeros; a trained checkpoint's does not, and zeros hide bad masks
        weight[end_of_text].normal_(std=INIT_STD)


def _make_generation_config(
    tokenizer: WhisperTokenizer, *, max_length: int, layers: int, multilingual: bool
) -> GenerationConfig:
    ids = tokenizer.convert_tokens_to_ids
    languages_and_tasks = {
        "lang_to_id": {token: ids(token) for token in LANGUAGE_TOKENS},
        "task_to_id": {task: ids(f"<|{task}|>") for task in ("transcribe", "translate")},
    }
    return GenerationConfig(
        max_length=max_length,
        bos_token_id=ids(END_OF_TEXT),
        eos_token_id=ids(END_OF_TEXT),
        pad_token_id=ids(END_OF_TEXT),
        decoder_start_token_id=ids("<|startoftranscript|>"),
        prev_sot_token_id=ids("<|startofprev|>"),
        no_timestamps_token_id=ids("<|notimestamps|>"),
        max_initial_timestamp_index=50,
        return_timestamps=False,
        is_multilingual=multilingual,
        suppress_tokens=sorted(ids([*'"#()*+/:;<=>@[]^_`{|}~', *NEVER_GENERATED])),
        begin_suppress_tokens=[ids("Ġ"), ids(END_OF_TEXT)],
        alignment_heads=[[layers - 1, 0], [layers - 1, 1]],
        **(languages_and_tasks if multilingual else {}),
    )
