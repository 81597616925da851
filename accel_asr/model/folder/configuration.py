"""config.json: does it describe a Whisper that can be built and trained?"""

from collections.abc import Callable, Mapping
from typing import Any

WHISPER = "whisper"
ARCHITECTURE = "WhisperForConditionalGeneration"
SAME_WEIGHTS = (ARCHITECTURE, "WhisperModel")  # the latter lacks only the output projection, which is the embeddings
OTHER_ARCHITECTURES = {
    "WhisperForAudioClassification": "it has an encoder and classes, and no decoder",
    "WhisperForCausalLM": "it has a decoder only",
    "WhisperEncoder": "it has an encoder only",
    "WhisperDecoder": "it has a decoder only",
}
DEFAULTS = {  # transformers', for what config.json leaves out
    "vocab_size": 51_865,
    "num_mel_bins": 80,
    "d_model": 384,
    "encoder_layers": 4,
    "decoder_layers": 4,
    "encoder_attention_heads": 6,
    "decoder_attention_heads": 6,
    "encoder_ffn_dim": 1536,
    "decoder_ffn_dim": 1536,
    "max_source_positions": 1500,
    "max_target_positions": 448,
}
MOST = {  # at least ten times the largest Whisper; a larger model would take hours or all memory to build
    "vocab_size": 1_000_000,
    "num_mel_bins": 1_024,
    "d_model": 16_384,
    "encoder_layers": 256,
    "decoder_layers": 256,
    "encoder_attention_heads": 256,
    "decoder_attention_heads": 256,
    "encoder_ffn_dim": 65_536,
    "decoder_ffn_dim": 65_536,
    "max_source_positions": 30_000,  # 10 minutes
    "max_target_positions": 16_384,
}
DTYPES = ("float32", "float16", "bfloat16", "float64")
ACTIVATIONS = {
    *("gelu", "gelu_10", "gelu_fast", "gelu_new", "gelu_python", "gelu_pytorch_tanh", "gelu_python_tanh"),
    *("gelu_accurate", "quick_gelu", "relu", "relu2", "relu6", "leaky_relu", "silu", "swish", "mish", "hardswish"),
    *("tanh", "sigmoid", "linear", "laplace", "sqrtsoftplus"),
}
REMOTE_CODE = ("auto_map", "custom_pipelines", "trust_remote_code")


Fitting = Mapping[str, tuple[str, Callable[[Any], bool]]]  # setting -> what to give, and whether a value is that


def setting(config: Mapping[str, Any], name: str) -> Any:
    """A size, or transformers' default where config.json leaves it out."""
    return config.get(name, DEFAULTS[name])


def is_count(value: Any) -> bool:
    """Whether it is a whole number; JSON's true and 4.0 are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_flag(value: Any) -> bool:
    """Whether it is true or false."""
    return isinstance(value, bool)


def misfits(place: str, settings: Mapping[str, Any], fitting: Fitting) -> list[str]:
    """The settings in file `place` with a value that does not fit; what is left out fits."""
    return [
        f"{place}: {name} is {settings[name]!r}; give {what}"
        for name, (what, fits) in fitting.items()
        if name in settings and not fits(settings[name])
    ]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


# beside the sizes: settings that only training looks at, or nobody; transformers refuses other types
FITTING: Fitting = {
    **dict.fromkeys(
        ("dropout", "attention_dropout", "activation_dropout", "encoder_layerdrop", "decoder_layerdrop"),
        ("a number from 0 to below 1", lambda value: _is_number(value) and 0 <= value < 1),
    ),
    **dict.fromkeys(
        ("mask_time_prob", "mask_feature_prob"),
        ("a number from 0 to 1", lambda value: _is_number(value) and 0 <= value <= 1),
    ),
    **dict.fromkeys(
        ("tie_word_embeddings", "scale_embedding", "apply_spec_augment", "use_cache", "use_weighted_layer_sum"),
        ("true or false", is_flag),
    ),
    "is_encoder_decoder": ("true, as a Whisper has both", lambda value: value is True),
    **dict.fromkeys(
        (
            *("mask_time_length", "mask_time_min_masks", "mask_feature_length", "mask_feature_min_masks"),
            *("classifier_proj_size", "median_filter_width"),
        ),
        ("a whole number of at least 0", lambda value: is_count(value) and value >= 0),
    ),
    "init_std": ("a number such as 0.02", lambda value: isinstance(value, float) and value >= 0),
    "bos_token_id": ("a token's id", lambda value: value is None or is_count(value)),
    **dict.fromkeys(
        ("dtype", "torch_dtype"),
        (f"one of {', '.join(DTYPES)}", lambda value: value is None or str(value).removeprefix("torch.") in DTYPES),
    ),
    "activation_function": (
        "an activation that there is; Whisper's is gelu",
        lambda value: isinstance(value, str) and value in ACTIVATIONS,
    ),
}


def kind_problem(config: Mapping[str, Any]) -> str | None:
    """Why config.json does not describe a Whisper that transcribes; None if it does."""
    if "n_mels" in config and "n_audio_ctx" in config:
        return (
            "it is a Whisper for MLX (config.json has n_mels, n_audio_ctx); give the Hugging Face folder that it was "
            "converted from, such as openai/whisper-small"
        )
    kind = config.get("model_type")
    if kind is None:
        return (
            'config.json names no model_type, and that of a Whisper is "model_type": "whisper"; take config.json '
            "from the model that it was made from"
        )
    if kind != WHISPER:
        return (
            f"it is a model of type {kind!r} (model_type in config.json), and only a Whisper can be used here; give "
            "openai/whisper-small, for example"
        )
    classes = config.get("architectures")
    if classes is None or (isinstance(classes, list) and (not classes or set(map(str, classes)) & set(SAME_WEIGHTS))):
        return None
    name = str(classes[0]) if isinstance(classes, list) else str(classes)
    if name in OTHER_ARCHITECTURES or not name.startswith("Whisper"):
        why = OTHER_ARCHITECTURES.get(name, f"what is trained here is a {ARCHITECTURE}")
        return (
            f"it is a {name} (architectures in config.json): {why}; give a {ARCHITECTURE}, such as the model that it "
            "was made from"
        )
    return None


def configuration_problems(config: Mapping[str, Any]) -> list[str]:
    """Values that no Whisper has, and weights that are not plain ones."""
    problems = []
    for name, most in MOST.items():
        value = setting(config, name)
        if not is_count(value) or not 1 <= value <= most:
            problems.append(f"config.json: {name} is {value!r}; a Whisper has a whole number from 1 to {most:,} there")
    if problems:
        return problems
    width = setting(config, "d_model")
    for side in ("encoder", "decoder"):
        heads = setting(config, f"{side}_attention_heads")
        if width % heads:
            problems.append(
                f"config.json: {side}_attention_heads {heads} does not divide d_model {width}; take both from the "
                "model that it was made from"
            )
    if width % 2 or width < 4:
        problems.append(f"config.json: d_model is {width}; it must be even, and at least 4")
    unfit = misfits("config.json", config, FITTING)
    problems += unfit
    if not unfit and config.get("apply_spec_augment"):
        rooms = {
            "mask_time_length": 2 * setting(config, "max_source_positions"),
            "mask_feature_length": setting(config, "num_mel_bins"),
        }
        problems += [
            f"config.json: {name} is {config[name]}, and apply_spec_augment needs 1 to {room}"
            for name, room in rooms.items()
            if not 1 <= config.get(name, 1) <= room
        ]
    if config.get("quantization_config") is not None:
        problems.append(
            "config.json has a quantization_config: its weights are quantised, and can't be trained or "
            "converted; give the model that it was quantised from"
        )
    if config.get("transformers_weights") is not None:
        problems.append(
            f"config.json has transformers_weights: {config['transformers_weights']!r}; weights are read from "
            "model.safetensors only, so take that entry out"
        )
    return problems


def configuration_notes(config: Mapping[str, Any]) -> list[str]:
    """What in config.json has no effect here."""
    notes = [f"config.json: {name} is ignored; no code of a model is run" for name in REMOTE_CODE if name in config]
    classes = config.get("architectures") or [ARCHITECTURE]
    if not set(map(str, classes)) & set(SAME_WEIGHTS):
        notes.append(f"config.json: architectures says {classes[0]}; loaded as a {ARCHITECTURE}")
    return notes
