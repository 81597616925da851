"""Load a Whisper model with its processor, and tell it which language and task it is for."""

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from huggingface_hub.utils import logging as hub_logging
from safetensors import SafetensorError, safe_open
from torch import nn
from transformers import WhisperForConditionalGeneration, WhisperProcessor
from transformers.utils import logging
from xxhash import xxh3_128

from accel_asr.console.bars import waiting_is_said
from accel_asr.errors import UserError
from accel_asr.model.folder.configuration import ARCHITECTURE
from accel_asr.model.folder.examination import examine, say_notes, why_no_weights
from accel_asr.model.folder.folder_files import raise_hub_problem
from accel_asr.model.folder.generation_settings import usable_alignment_heads
from accel_asr.model.languages import NO_STAND_INS, language_of_labels
from accel_asr.model.tokenizer_probe import require_fitting_tokenizer
from accel_asr.model.whisper_for_training import WhisperForTraining
from accel_asr.quickstart import model_source


def quiet_libraries() -> None:
    """Errors only, and no progress bars for files that are there already.

    `generate` warns at every call about settings that are as they should be, and a Hub that is out of reach is
    reported once by us and not at each try.
    """
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    hub_logging.set_verbosity_error()


def load_model_and_processor(
    name_or_path: str, *, revision: str | None = None
) -> tuple[WhisperForTraining, WhisperProcessor]:
    """Load from a local folder, the Hub, or the embedded quickstart; weights in fp32, attention by SDPA.

    Safetensors only: a pickled checkpoint could run code. What of the model is not used is said on stderr.

    Raises:
        UserError: not found, not a Whisper model that fits together, or the Hub can't be reached; with the remedy.
    """
    source = model_source(name_or_path)
    examined = examine(source, name=name_or_path, revision=revision)
    try:
        with waiting_is_said(f"loading the model {name_or_path}"):
            # from_pretrained would keep a half precision checkpoint in half; training needs fp32 master weights
            model, loaded = WhisperForTraining.from_pretrained(
                source,
                revision=revision,
                dtype=torch.float32,
                attn_implementation="sdpa",
                use_safetensors=True,
                output_loading_info=True,
            )
            processor = WhisperProcessor.from_pretrained(source, revision=revision)
    except Exception as error:  # transformers checks little of what it reads, and raises whatever comes of it
        if not Path(source).exists():
            why = why_no_weights(source, revision=revision, config=examined.config)
            raise_hub_problem(name_or_path, OSError(why) if why else error)
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise UserError(
            f"model.name_or_path: {name_or_path!r} can't be loaded as a Whisper model and its processor ({reason})"
        ) from error
    missing = sorted(loaded["missing_keys"])
    if missing:  # from_pretrained fills them with random numbers
        raise UserError(f"model.name_or_path: {name_or_path!r} lacks weights: {', '.join(missing)}")
    damaged = not_finite(dict(model.named_parameters()))
    if damaged:
        raise UserError(
            f"model.name_or_path: {name_or_path!r} has weights that are not finite (NaN, infinity): {damaged[0]}, one "
            f"of {len(damaged):,}; its training went wrong, so give an earlier checkpoint"
        )
    require_fitting_tokenizer(processor.tokenizer, model_name=name_or_path)
    _keep_usable_alignment_heads(model)
    say_notes(examined.notes, name=name_or_path)
    # sinusoids, not weights; transformers 5 marks them as trainable when it loads a model
    model.get_encoder().embed_positions.requires_grad_(False)
    return model, processor


def configure_generation(
    model: WhisperForConditionalGeneration,
    processor: WhisperProcessor,
    *,
    language: str | None,
    task: str,
    max_new_tokens: int,
    num_beams: int,
    language_of_rows: bool = False,
    stand_ins: Mapping[str, str] = NO_STAND_INS,
) -> None:
    """Fix how transcripts are made, in the model's own generation settings.

    Nothing is guessed for each clip (detecting the language costs an encoder pass), the labels start with the same
    tokens, and whoever loads the saved model later, `pipeline` included, transcribes as it was scored here.

    Args:
        max_new_tokens: Most tokens of a transcript, start tokens not counted; cut to what the decoder can hold.
        language_of_rows: Rows say what is spoken: without a `language`, whoever loads the saved model has it detected.
        stand_ins: `model.language_stand_ins`.

    Raises:
        UserError: a multilingual model without a language, a language it does not know, or an English-only model
            that is asked for anything else.
    """
    generation = model.generation_config
    generation.forced_decoder_ids = None  # the old way to set the language; it would contradict the new one
    if getattr(model.config, "forced_decoder_ids", None) is not None:
        model.config.forced_decoder_ids = None
    is_multilingual = getattr(generation, "is_multilingual", True)
    code = language_of_labels(
        language,
        task,
        is_multilingual=is_multilingual,
        lang_to_id=getattr(generation, "lang_to_id", None),
        language_of_rows=language_of_rows,
        stand_ins=stand_ins,
    )
    if is_multilingual:
        generation.language, generation.task = code, task
        # where only rows say what is spoken, their languages take the place of this one in every label
        processor.tokenizer.set_prefix_tokens(language=code or "en", task=task, predict_timestamps=False)
    room = model.config.max_target_positions - len(processor.tokenizer.prefix_tokens)
    generation.max_length = None
    generation.max_new_tokens = min(max_new_tokens, room)
    generation.num_beams = num_beams


def window_s(processor: WhisperProcessor) -> float:
    """Seconds of audio that the encoder takes at once: 30 for OpenAI's models."""
    extractor = processor.feature_extractor
    return extractor.n_samples / extractor.sampling_rate


def freeze_encoder(model: WhisperForConditionalGeneration) -> None:
    """Exclude the encoder's weights from training."""
    for parameter in model.get_encoder().parameters():
        parameter.requires_grad_(False)


def require_constant_encoder(model: WhisperForConditionalGeneration) -> None:
    """The encoder must say the same of a clip whenever it hears it, in training too.

    Raises:
        UserError: the model's configuration has dropout, layer drop or SpecAugment.
    """
    config = model.config
    chances = {
        "apply_spec_augment": config.apply_spec_augment,
        "dropout": config.dropout,
        "attention_dropout": config.attention_dropout,
        "activation_dropout": config.activation_dropout,
        "encoder_layerdrop": config.encoder_layerdrop,
    }
    found = ", ".join(f"{name} {value}" for name, value in chances.items() if value)
    if found:
        raise UserError(
            f"model.cache_encoder_outputs: true does not go with the model's config.json, which has {found}: the "
            "encoder would hear each clip otherwise in every epoch; set that to 0 or false there, or leave out "
            "model.cache_encoder_outputs"
        )


def encoder_digest(model: WhisperForConditionalGeneration) -> str:
    """A checksum of the encoder's weights, and of how it reckons with them: equal ones say the same of the same."""
    config = model.config
    digest = hashlib.sha256(
        f"{config.encoder_attention_heads} {config.activation_function} {config.scale_embedding}".encode()
    )
    for name, tensor in sorted(model.get_encoder().state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()


_TRAINS_ALIKE = ("drop", "mask_", "apply_spec_augment", "activation_function", "scale_embedding", "attention_heads")
_SAID_OF_TOKENS = ("is_multilingual", "decoder_start_token_id", "suppress_tokens", "begin_suppress_tokens")


def base_digest(model: WhisperForConditionalGeneration, processor: WhisperProcessor) -> str:
    """A checksum of what training begins with: weights, the settings they are trained by, vocabulary and features.

    Another folder or revision with the same content has the same one.
    """
    config, extractor = model.config.to_dict(), processor.feature_extractor
    digest = xxh3_128()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().data)
    facts = {name: value for name, value in config.items() if any(part in name for part in _TRAINS_ALIKE)}
    facts["features"] = [extractor.feature_size, extractor.sampling_rate, extractor.hop_length, extractor.n_fft]
    facts["window"] = extractor.chunk_length
    facts["tokens"] = [getattr(model.generation_config, name, None) for name in _SAID_OF_TOKENS]
    digest.update(json.dumps([facts, sorted(processor.tokenizer.get_vocab().items())], sort_keys=True).encode())
    return digest.hexdigest()


def not_finite(tensors: Mapping[str, torch.Tensor]) -> list[str]:
    """The names of the tensors that hold NaN or infinity, such as weights or the optimizer's moments.

    Reads each tensor once at the speed of memory, and waits for the device once.
    """
    floats = {name: tensor for name, tensor in tensors.items() if tensor.is_floating_point() and tensor.numel()}
    if not floats:
        return []
    # a sum is not finite if a term is not, and adds up ten times as fast as isfinite looks; it may overflow by itself,
    # so what it suspects is looked at
    sums = torch.stack([tensor.sum(dtype=torch.float32) for tensor in floats.values()])
    suspects = [name for name, is_finite in zip(floats, sums.isfinite().tolist(), strict=True) if not is_finite]
    return [name for name in suspects if not bool(floats[name].isfinite().all())]


def not_finite_in_file(path: Path) -> list[str]:
    """As `not_finite`, of a safetensors file; one tensor at a time.

    Raises:
        OSError, SafetensorError: it can't be read.
    """
    with safe_open(path, "pt") as file:
        return [name for name in file.keys() if not_finite({name: file.get_tensor(name)})]  # noqa: SIM118


def require_finite_folder(folder: Path) -> None:
    """Refuse to publish a model folder whose weights are not finite.

    Raises:
        UserError: some are not, or can't be read.
    """
    for path in sorted(folder.glob("*.safetensors")):
        try:
            broken = not_finite_in_file(path)
        except (OSError, SafetensorError) as error:
            raise UserError(f"{str(path)!r} can't be read ({error}); nothing is published") from error
        if broken:
            raise UserError(
                f"{str(path)!r} has weights that are not finite ({named_not_finite(broken)}): training diverged. "
                "Nothing is published; train again with a lower --training.learning_rate or --training.weight_decay"
            )


def named_not_finite(names: Sequence[str]) -> str:
    """The first of these names and how many more there are, for a message."""
    return f"{names[0]}, and {len(names) - 1:,} more tensors" if len(names) > 1 else names[0]


def parameter_counts(model: nn.Module) -> tuple[int, int]:
    """(all, trainable) parameters."""
    parameters = list(model.parameters())
    return sum(p.numel() for p in parameters), sum(p.numel() for p in parameters if p.requires_grad)


def without_weights(model: WhisperForConditionalGeneration) -> WhisperForConditionalGeneration:
    """A model of the same kind and settings on torch's `meta` device. Give it memory, then tie its weights."""
    with torch.device("meta"):
        empty = WhisperForConditionalGeneration(copy.deepcopy(model.config))
    assert not list(empty.buffers()), "they would be left empty"
    empty.generation_config = copy.deepcopy(model.generation_config)
    return empty


def save_model_folder(
    model: WhisperForConditionalGeneration, processor: WhisperProcessor, folder: Path, **save_options: object
) -> None:
    """Write a Hugging Face model folder (safetensors, tokenizer, generation settings) that `pipeline` loads."""
    model.save_pretrained(folder, **save_options)
    model.config.architectures = [ARCHITECTURE]  # save_pretrained has named its own class there
    model.config.save_pretrained(folder)
    processor.save_pretrained(folder)
    # transformers 5 leaves out what other tools read, and what its own tokenizer.normalize needs when loaded again
    processor.feature_extractor.save_pretrained(folder)
    spelling = processor.tokenizer.english_spelling_normalizer
    if spelling is not None:
        (folder / "normalizer.json").write_text(json.dumps(spelling, indent=2, ensure_ascii=False), encoding="utf-8")


def _keep_usable_alignment_heads(model: WhisperForConditionalGeneration) -> None:
    """What is saved, exported or pushed names no head that the decoder lacks: CTranslate2 crashes on such."""
    settings, config = model.generation_config, model.config
    heads = getattr(settings, "alignment_heads", None)
    usable, others = usable_alignment_heads(
        heads, layers=config.decoder_layers, heads_of_layer=config.decoder_attention_heads
    )
    if others and usable:
        settings.alignment_heads = usable
    elif heads is not None and not usable:
        del settings.alignment_heads  # not []: those who read it then choose heads themselves
