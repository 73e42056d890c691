"""The `gguf` verb: writes a model of a GGUF file (llama.cpp) as a Hugging Face folder, with float32 weights."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import torch
from gguf import GGUFReader
from tokenizers import Tokenizer, pre_tokenizers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)
from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from .exits import Exit, Refusal, first_line, writing
from .models import sync
from .spec import GgufSpec

WEIGHTS = "weights.json"  # beside the small files of a folder without weights: their bytes
_REMEDY = "give the folder of the model that it was made from, or the name of that model on the Hugging Face Hub"
_GPT2 = {"gpt-2", "gpt2"}
_DIGITS = {"smollm", "starcoder", "refact", "command-r"}  # every digit is a token of its own, then GPT-2's rule


def gguf(spec: GgufSpec) -> Exit:
    """Writes the new folder `spec.to`: config, tokenizer with chat template, and with `spec.weights` the weights.

    Raises Refusal 66 for a file that is broken or split, for an architecture or a tokenizer that Transformers cannot
    convert, and for tensors that its conversion would leave out.
    """
    path, to = Path(spec.file), Path(spec.to)
    reader = _open(path)
    here = {"gguf_file": path.name, "local_files_only": True}
    try:
        config = AutoConfig.from_pretrained(path.parent, **here)
        tokenizer = AutoTokenizer.from_pretrained(path.parent, **here)
    except Exception as error:
        raise _refusal(path, first_line(error)) from error
    tokenizer = _own_tokenizer(path, reader, tokenizer)
    _check_rope(path, reader, config)
    tokenizer.model_max_length = getattr(config, "max_position_embeddings", tokenizer.model_max_length)
    model = _read_weights(path, reader, here) if spec.weights else None
    with writing(spec.to):
        to.mkdir(parents=True)
        if model is None:
            config.__dict__.pop("quantization_config", None)
            config.architectures = [MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(config.model_type)]
            config.save_pretrained(to)
            elements = sum(int(tensor.n_elements) for tensor in reader.tensors)
            (to / WEIGHTS).write_text(json.dumps({"bytes": 4 * elements}))
        else:
            model.save_pretrained(to)
        tokenizer.save_pretrained(to)
        _write_ends(reader, to / "generation_config.json")
        sync(to)
    return Exit.DONE


def _open(path: Path) -> GGUFReader:
    try:
        reader = GGUFReader(path)
        architecture = _field(reader, "general.architecture")
    except Exception as error:
        raise Refusal(Exit.MODEL, f"Cannot read the GGUF file {path}: {first_line(error)}. Fetch it again.") from error
    if re.search(r"-\d{5}-of-\d{5}\.gguf$", path.name):
        raise Refusal(Exit.MODEL, f"{path} is a part of a model: merge the parts with llama.cpp's gguf-split, or {_REMEDY}.")
    if architecture is None:
        raise _refusal(path, "it names no architecture")
    return reader


def _field(reader: GGUFReader, name: str) -> Any:
    field = reader.get_field(name)
    return None if field is None else field.contents()


def _own_tokenizer(path: Path, reader: GGUFReader, read: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """The tokenizer without tokens that Transformers' class adds to those of the file, such as GPT-2's own."""
    _set_splitting(path, _field(reader, "tokenizer.ggml.pre"), _field(reader, "tokenizer.ggml.model"), read)
    rules, count = json.loads(read.backend_tokenizer.to_str()), len(_field(reader, "tokenizer.ggml.tokens"))
    rules["added_tokens"] = [token for token in rules["added_tokens"] if token["id"] < count]
    special = {name: getattr(read, f"{name}_id") for name in ("bos_token", "eos_token", "unk_token", "pad_token")}
    named = {name: read.convert_ids_to_tokens(id) for name, id in special.items() if id is not None and id < count}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(rules)), **named)
    tokenizer.chat_template = read.chat_template
    return tokenizer


def _write_ends(reader: GGUFReader, path: Path) -> None:
    """Lists the end of a turn beside the end token: llama.cpp ends an answer with either."""
    eos, turn = (_field(reader, f"tokenizer.ggml.{end}_token_id") for end in ("eos", "eot"))
    if turn is not None and turn != eos:
        config = json.loads(path.read_text()) if path.is_file() else {}
        path.write_text(json.dumps(config | {"eos_token_id": [int(eos), int(turn)]}))


def _set_splitting(path: Path, rule: str | None, kind: str | None, tokenizer: PreTrainedTokenizerBase) -> None:
    """Byte-level tokenizers split a text before they merge. The file holds the rule by name only."""
    if kind != "gpt2" or rule in GGUF_PRE_TOKENIZER_SPLITS or rule in _GPT2:
        return
    if rule not in _DIGITS:
        raise _refusal(path, f"its tokenizer splits texts by the rule {rule!r}, which the file does not hold")
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )


def _check_rope(path: Path, reader: GGUFReader, config: Any) -> None:
    """Transformers reads the scaling of rotary embeddings for some architectures only."""
    scaling = _field(reader, f"{_field(reader, 'general.architecture')}.rope.scaling.type")
    rope = getattr(config, "rope_parameters", None) or {}
    if scaling not in (None, "none") and rope.get("rope_type", "default") == "default":
        raise _refusal(path, f"its rotary embeddings are scaled ({scaling}), which Transformers does not read")


def _read_weights(path: Path, reader: GGUFReader, here: dict[str, Any]) -> torch.nn.Module:
    try:
        model, loaded = AutoModelForCausalLM.from_pretrained(
            path.parent, dtype=torch.float32, output_loading_info=True, **here
        )
    except Exception as error:
        raise _refusal(path, first_line(error)) from error
    if loaded["missing_keys"] or loaded["mismatched_keys"]:
        raise _refusal(path, f"the weight {sorted([*loaded['missing_keys'], *loaded['mismatched_keys']])[0]} is missing")
    held, used = sum(int(tensor.n_elements) for tensor in reader.tensors), sum(one.numel() for one in model.parameters())
    if held != used:
        raise _refusal(path, f"it holds {held} weights, and a {model.config.model_type} of its shape has {used}")
    # Transformers refuses to save a quantized model, and dequantized this one.
    del model.config.quantization_config
    model.is_quantized, model.hf_quantizer, model.quantization_method = False, None, None
    return model


def _refusal(path: Path, why: str) -> Refusal:
    return Refusal(Exit.MODEL, f"Cannot convert the GGUF file {path}: {why.rstrip('.')}; {_REMEDY}.")
