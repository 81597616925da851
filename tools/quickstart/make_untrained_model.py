"""Make the quickstart's base model as it is before pretraining: a Whisper of 1.6 M random weights and its processor.

    python -m tools.quickstart.make_untrained_model --texts pretraining.parquet --output untrained_model

It has all of a real multilingual Whisper's special tokens in the real order, and hears 5 s windows, not 30 s.
"""

import argparse
import json
import sys
from pathlib import Path

import pyarrow
import pyarrow.parquet
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GenerationConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperProcessor,
    WhisperTokenizer,
)
from transformers.models.whisper.tokenization_whisper import LANGUAGES

WINDOW_S = 5
SAMPLING_RATE_HZ = 16_000
NUM_MEL_BINS = 80
ENCODER_POSITIONS_PER_S = 50  # 10 ms hop, halved by the second convolution
TIMESTAMP_STEP_S = 0.02

# All 99 of Whisper, in its order, though the model learns English only: WhisperTokenizer computes a language's id from
# its place in that order, and with a language left out would take the next token without a word.
LANGUAGE_TOKENS = [f"<|{code}|>" for code in list(LANGUAGES)[:99]]
END_OF_TEXT = "<|endoftext|>"  # also begins and pads
START_OF_TRANSCRIPT = "<|startoftranscript|>"
TRANSLATE, TRANSCRIBE = "<|translate|>", "<|transcribe|>"
START_OF_LM, START_OF_PREVIOUS = "<|startoflm|>", "<|startofprev|>"
NO_SPEECH, NO_TIMESTAMPS = "<|nocaptions|>", "<|notimestamps|>"
SPECIAL_TOKENS = [
    START_OF_TRANSCRIPT,
    *LANGUAGE_TOKENS,
    TRANSLATE,
    TRANSCRIBE,
    START_OF_LM,
    START_OF_PREVIOUS,
    NO_SPEECH,
    NO_TIMESTAMPS,
]  # they follow <|endoftext|>; the timestamps follow them
TIMESTAMP_TOKENS = [f"<|{i * TIMESTAMP_STEP_S:.2f}|>" for i in range(round(WINDOW_S / TIMESTAMP_STEP_S) + 1)]
SPELLINGS = {"travelling": "traveling", "cheque": "check"}  # British to American, for WhisperTokenizer.normalize


def train_tokenizer(texts: list[str], *, vocabulary_size: int) -> WhisperTokenizer:
    """Train byte-level BPE on `texts` and add Whisper's special tokens; any text can be encoded."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocabulary_size,
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        ),
    )
    trained = json.loads(bpe.to_str())["model"]
    tokenizer = WhisperTokenizer(
        vocab=trained["vocab"],
        merges=[tuple(pair) for pair in trained["merges"]],
        pad_token=END_OF_TEXT,
        extra_special_tokens=SPECIAL_TOKENS,
        model_max_length=1024,
    )
    tokenizer.add_tokens([AddedToken(token, normalized=True, special=False) for token in TIMESTAMP_TOKENS])
    return tokenizer


def build_model(tokenizer: WhisperTokenizer, *, seed: int) -> WhisperForConditionalGeneration:
    """Build the model with random weights, and a generation configuration as complete as a published Whisper's."""

    def token_id(token: str) -> int:
        return tokenizer.get_vocab()[token]

    space = tokenizer.encode(" ", add_special_tokens=False)
    end_of_text = token_id(END_OF_TEXT)
    not_said = [START_OF_TRANSCRIPT, TRANSLATE, TRANSCRIBE, START_OF_LM, START_OF_PREVIOUS, NO_SPEECH]
    config = WhisperConfig(
        vocab_size=len(tokenizer),
        num_mel_bins=NUM_MEL_BINS,
        d_model=144,
        init_std=0.06,  # about 0.7 / sqrt(d_model); with Whisper's 0.02 so narrow a model hears nothing at first
        encoder_layers=3,
        encoder_attention_heads=4,
        encoder_ffn_dim=576,
        decoder_layers=2,
        decoder_attention_heads=4,
        decoder_ffn_dim=576,
        max_source_positions=WINDOW_S * ENCODER_POSITIONS_PER_S,
        max_target_positions=96,  # 12 spoken words are about 16 tokens; room for a longer text spelled in bytes
        pad_token_id=end_of_text,
        bos_token_id=end_of_text,
        eos_token_id=end_of_text,
        decoder_start_token_id=token_id(START_OF_TRANSCRIPT),
        suppress_tokens=None,  # both belong to the generation configuration
        begin_suppress_tokens=None,
    )
    torch.manual_seed(seed)
    model = WhisperForConditionalGeneration(config)
    model.generation_config = GenerationConfig(
        bos_token_id=end_of_text,
        pad_token_id=end_of_text,
        eos_token_id=end_of_text,
        decoder_start_token_id=token_id(START_OF_TRANSCRIPT),
        prev_sot_token_id=token_id(START_OF_PREVIOUS),
        no_timestamps_token_id=token_id(NO_TIMESTAMPS),
        max_initial_timestamp_index=round(1.0 / TIMESTAMP_STEP_S),  # speech starts within the first second
        max_length=config.max_target_positions,
        suppress_tokens=[token_id(token) for token in not_said],
        begin_suppress_tokens=[*space, end_of_text],
        is_multilingual=True,
        lang_to_id={token: token_id(token) for token in LANGUAGE_TOKENS},
        task_to_id={"transcribe": token_id(TRANSCRIBE), "translate": token_id(TRANSLATE)},
        return_timestamps=False,
        alignment_heads=[[config.decoder_layers - 1, head] for head in range(config.decoder_attention_heads)],
    )
    return model


def main() -> int:
    """Make tokenizer and model, print what they are. Returns the exit code: 2 for bad input."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=Path, required=True, help="a Parquet file with a column english_transcription")
    parser.add_argument("--output", type=Path, required=True, help="the folder to write")
    parser.add_argument("--vocabulary-size", type=int, default=900, help="bytes and merges (default: 900)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    try:
        texts = pyarrow.parquet.read_table(arguments.texts, columns=["english_transcription"])
    except (OSError, pyarrow.ArrowInvalid) as error:
        print(f"error: --texts {arguments.texts}: {error}", file=sys.stderr)
        return 2
    texts = texts["english_transcription"].to_pylist()

    tokenizer = train_tokenizer(texts, vocabulary_size=arguments.vocabulary_size)
    feature_extractor = WhisperFeatureExtractor(
        feature_size=NUM_MEL_BINS, sampling_rate=SAMPLING_RATE_HZ, chunk_length=WINDOW_S
    )
    model = build_model(tokenizer, seed=arguments.seed)
    model.save_pretrained(arguments.output)
    WhisperProcessor(feature_extractor, tokenizer).save_pretrained(arguments.output)
    # transformers 5 reads this file with the tokenizer, but no longer writes it.
    (arguments.output / "normalizer.json").write_text(json.dumps(SPELLINGS, indent=2) + "\n", encoding="utf-8")

    words = {" " + word for text in texts for word in text.split()}
    single_tokens = sum(len(tokenizer.encode(word, add_special_tokens=False)) == 1 for word in words)
    print(f"parameters                 {model.num_parameters():,}")
    kinds = f"{tokenizer.vocab_size} text, {1 + len(SPECIAL_TOKENS)} special, {len(TIMESTAMP_TOKENS)} timestamps"
    print(f"vocabulary                 {len(tokenizer)}: {kinds}")
    print(f"words of one token         {single_tokens} of {len(words)}")
    print(f"{arguments.output}: {', '.join(sorted(path.name for path in arguments.output.iterdir()))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
