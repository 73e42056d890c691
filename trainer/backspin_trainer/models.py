"""Model folders in Hugging Face format (config, safetensors, tokenizer): reads, checks, creates and writes them."""

from __future__ import annotations

import contextlib
import math
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from .exits import Exit, Refusal, first_line, is_out_of_memory, writing
from .quantization import check_files
from .quantization import refusal as quantization_refusal
from .spec import Init
from .tied import other_head

_ATTENTION_DROPOUT = "attention_dropout"
# What old checkpoints hold beside weights: it is computed from the config.
_BUFFER = re.compile(r"rotary_emb\.|(^|\.)position_ids$|attn\.(masked_)?bias$|attention\.(masked_)?bias$")
_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
)


def read_model(folder: str, dropout: float, dtype: torch.dtype | str = torch.float32, **loading) -> PreTrainedModel:
    """The causal LM in `folder`, in fp32 or `dtype` ("auto": its own), with attention `dropout`. `loading` goes to `from_pretrained`.

    Raises Refusal 66.
    """
    config = read_config(folder, dropout)
    check_decoder(folder, config)
    model = load_weights(AutoModelForCausalLM, folder, config, dtype, **loading)
    check_causal(folder, model)
    check_dropout(model, folder, dropout)
    return model


def check_decoder(folder: str, config: PreTrainedConfig) -> None:
    """Raises Refusal 66 for an architecture that is no language model, or one with an encoder beside."""
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING or config.is_encoder_decoder:
        raise _no_decoder(folder, config)


def check_causal(folder: str, model: PreTrainedModel) -> None:
    """Raises Refusal 66 for an encoder such as BERT, whose tokens see those that follow. Transformers makes a language
    model of it too, which would only copy."""
    causal = {module.is_causal for module in model.modules() if hasattr(module, "is_causal")}
    if causal == {False} or (not causal and getattr(model.config, "is_decoder", None) is False):
        raise _no_decoder(folder, model.config)


def _no_decoder(folder: str, config: PreTrainedConfig) -> Refusal:
    return Refusal(
        Exit.MODEL,
        f"The model in {folder} is of type {config.model_type}, which does not continue a text; give one that does, such as "
        "Llama or Qwen.",
    )


def empty_model(auto: type, folder: str, config: PreTrainedConfig) -> PreTrainedModel:
    """The model of `config` by an Auto class, without memory for its weights. Raises Refusal 66."""
    with _loading(folder), torch.device("meta"):
        return auto.from_config(config)


def check_dropout(model: PreTrainedModel, folder: str, dropout: float) -> None:
    """Raises Refusal 64 if the architecture has no attention dropout, which the config of `model` has as `dropout`."""
    if dropout and not any(getattr(module, _ATTENTION_DROPOUT, 0) == dropout for module in model.modules()):
        raise Refusal(
            Exit.SPEC, f"Spec key 'dropout' must be 0: the architecture of {folder} has no attention dropout."
        )


def context_of(config: PreTrainedConfig) -> float:
    """The most tokens of a sequence; inf if the config has no limit."""
    text = config.get_text_config()
    lengths = (getattr(text, name, None) for name in ("max_position_embeddings", "max_seq_len"))
    return min((length for length in lengths if length), default=math.inf)


def check_context(model: PreTrainedModel, max_tokens: int) -> None:
    """Raises Refusal 64 for rows that are longer than the context."""
    context = context_of(model.config)
    if max_tokens > context:
        raise Refusal(Exit.SPEC, f"Spec key 'maxTokens' is {max_tokens}, but the model's context is {context}; lower it.")


def read_config(folder: str, dropout: float | None = None) -> PreTrainedConfig:
    """The config in `folder`, with this attention `dropout` if it has one, and no other dropout: those that old configs have
    for hidden states are no settings of a training. Raises Refusal 66."""
    if not (Path(folder) / "config.json").is_file():
        raise Refusal(Exit.MODEL, f"No model in {folder}: config.json is missing; give the folder of a whole model.")
    with _loading(folder):
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
    check_precision(folder, config)
    if dropout is not None:
        _set_dropout(config, dropout)
    return config


def _set_dropout(config: PreTrainedConfig, attention: float) -> None:
    for key, value in list(vars(config).items()):
        if isinstance(value, PreTrainedConfig):
            _set_dropout(value, attention)
        elif "drop" in key and type(value) in (int, float):
            setattr(config, key, attention if key == _ATTENTION_DROPOUT else type(value)(0))


def check_precision(folder: str, config: PreTrainedConfig) -> None:
    """Raises Refusal 66 for quantized weights, which are no numbers to compute with."""
    quantization = getattr(config, "quantization_config", None) or getattr(config, "compression_config", None)
    if quantization is not None:
        raise quantization_refusal(
            folder, quantization.get("quant_method", "some way") if isinstance(quantization, dict) else quantization
        )
    check_files(folder)


def load_weights(
    cls: type,
    folder: str,
    config: PreTrainedConfig,
    dtype: torch.dtype | str = torch.float32,
    is_new: Callable[[str], bool] = lambda name: False,
    partly: bool = False,
    **loading,
) -> PreTrainedModel:
    """The model of class `cls` in `folder`. Weights may be missing if `is_new` accepts their names: they are then
    initialized at random. With `partly` the folder may have more weights, such as a head. Raises Refusal 66."""
    with _loading(folder):
        model, loaded = cls.from_pretrained(
            folder,
            config=config,
            local_files_only=True,
            dtype=dtype,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            **loading,
        )
    _repair(getattr(model, "generation_config", None), folder)
    _check_fit(folder, loaded, is_new, partly)
    _check_head(folder, model)
    return model


def check_weights(folder: str, model: PreTrainedModel, shapes: dict[str, list[int]]) -> None:
    """Raises Refusal 66 for what `load_weights` would refuse of weights with these names and shapes, which it does not read."""
    empty = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    with _loading(folder):
        _, loaded = type(model).from_pretrained(
            None, config=model.config, state_dict=empty, device_map="meta", ignore_mismatched_sizes=True, output_loading_info=True
        )
    _check_fit(folder, loaded)


def _check_fit(folder: str, loaded: dict, is_new: Callable[[str], bool] = lambda name: False, partly: bool = False) -> None:
    # Transformers initializes missing weights at random.
    faults = [f"{name} is missing" for name in sorted(loaded["missing_keys"]) if not is_new(name)]
    faults += [f"{name} has another shape" for name, *_ in sorted(loaded["mismatched_keys"]) if not is_new(name)]
    faults += [f"{name} has no place" for name in sorted(loaded["unexpected_keys"]) if not partly and not _BUFFER.search(name)]
    if faults:
        raise Refusal(
            Exit.MODEL, f"The weights in {folder} do not fit its config.json: {faults[0]}. Replace one of the two."
        )


def _check_head(folder: str, model: PreTrainedModel) -> None:
    """Transformers takes the head in the files where it differs from the embeddings that config.json ties it to, and vLLM
    does not."""
    head, embeddings = model.get_output_embeddings(), model.get_input_embeddings()
    tied = model.config.get_text_config().tie_word_embeddings and model._tied_weights_keys
    if tied and head is not None and head.weight is not embeddings.weight:
        raise other_head(folder)


def check_generation_config(folder: str) -> None:
    """Raises Refusal 66 for a generation config that cannot be saved."""
    if (Path(folder) / "generation_config.json").is_file():
        with _loading(folder):
            config = GenerationConfig.from_pretrained(folder)
        _repair(config, folder)


def _repair(config: GenerationConfig | None, folder: str) -> None:
    """Makes the generation config one that can be saved: a temperature, say, only counts with `do_sample`, which old
    folders leave out. Raises Refusal 66."""
    for sampling in (False, True):
        try:
            if config is not None:
                config.do_sample = config.do_sample or sampling
                config.validate(strict=True)
            return
        except ValueError as error:
            fault = error
    raise Refusal(
        Exit.MODEL, f"The generation_config.json in {folder} is not valid: {first_line(fault)}. Repair or delete it."
    )


@contextlib.contextmanager
def _loading(folder: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise Refusal(
            Exit.MODEL, f"Cannot load the model in {folder}: {first_line(error)}. Repair or replace it."
        ) from error


def positions(model: PreTrainedModel) -> float:
    """The number of learned position embeddings; inf if there are none. Some models reserve the first for padding."""
    learned = [
        module.num_embeddings - (0 if module.padding_idx is None else module.padding_idx + 1)
        for name, module in model.named_modules()
        if name.endswith("position_embeddings") and isinstance(module, torch.nn.Embedding)
    ]
    return min(learned, default=math.inf)


def make_model(init: Init, tokenizer: PreTrainedTokenizerBase, dropout: float) -> PreTrainedModel:
    """A new Llama. Its weights depend only on `init.seed` and the shape. Raises Refusal 64 for an invalid shape."""
    shape = init.architecture
    try:
        config = LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=shape.hidden_size,
            intermediate_size=shape.mlp,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.kv_heads,
            head_dim=shape.head_size,
            max_position_embeddings=shape.context,
            initializer_range=shape.std,
            tie_word_embeddings=shape.tied,
            attention_dropout=dropout,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            dtype="float32",
        )
        if shape.heads % shape.kv_heads or shape.head_size % 2:
            raise ValueError("heads must be a multiple of kvHeads, and headSize even")
        torch.manual_seed(init.seed)
        return LlamaForCausalLM(config)
    except Exception as error:
        raise Refusal(Exit.SPEC, f"Spec key 'init.architecture' describes no Llama: {first_line(error)}.") from error


def write_model(
    model: PreTrainedModel, tokenizer_folder: str, folder: Path, weights: dict[str, torch.Tensor] | None = None
) -> None:
    """Writes the model folder atomically, with the weights of `model` or with `weights`. Equal weights give equal bytes: no
    time, host or path."""
    model.config.attention_dropout = 0.0  # dropout and cache belong to the run, not to the model
    model.config.use_cache = True
    write_folder(folder, tokenizer_folder, lambda partial: model.save_pretrained(partial, state_dict=weights))


def write_folder(folder: Path, tokenizer_folder: str, write: Callable[[Path], None]) -> None:
    """Calls `write` with a temporary folder, copies the tokenizer files there, syncs it, and renames it to `folder`."""
    partial = folder.with_name(folder.name + ".partial")
    with writing(str(folder)):
        shutil.rmtree(partial, ignore_errors=True)
        write(partial)
        for name in _TOKENIZER_FILES:
            source = Path(tokenizer_folder) / name
            if source.is_file():
                shutil.copyfile(source, partial / name)
        sync(partial)
        partial.rename(folder)
        sync_directory(folder.parent)


def sync(folder: Path) -> None:
    """Syncs every file under `folder`, and the folder, to disk."""
    for path in folder.rglob("*"):
        if path.is_file():
            sync_directory(path)
    sync_directory(folder)


def sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """A temporary path to write to. On exit it is synced and renamed to `file`. Raises Refusal 73."""
    partial = file.with_suffix(".partial")
    with writing(str(file)):
        file.parent.mkdir(exist_ok=True)
        yield partial
        sync_directory(partial)
        partial.rename(file)
        sync_directory(file.parent)
