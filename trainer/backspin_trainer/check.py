"""The `check` verb: says before anything runs for what trainings, servers, scorings and embeddings would refuse a model.

It reads the small files of the model's folder and the names of its weights, never the weights: they need not be there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import AutoModel, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from . import options, weights
from .exits import Exit, Refusal, first_line, writing
from .llama import bind_weights
from .models import (
    check_causal,
    check_context,
    check_decoder,
    check_dropout,
    check_generation_config,
    check_weights,
    empty_model,
    make_model,
    read_config,
)
from .pooling import read_pooling
from .quantization import check_stored
from .spec import CheckSpec, ModelUse
from .targets import check_targets
from .tied import check_head
from .tokens import check_chat_template, load_tokenizer, read_fast_tokenizer, read_tokenizer


def check(spec: CheckSpec) -> Exit:
    """Writes a JSON list to `spec.to`: for each of `spec.uses` the sentence of its refusal, or null. Raises Refusal 73."""
    faults = [_fault(spec, use) for use in spec.uses]
    with writing(spec.to):
        Path(spec.to).write_text(json.dumps(faults))
    return Exit.DONE


def _fault(spec: CheckSpec, use: ModelUse) -> str | None:
    try:
        _CHECKS[use.verb](spec, use)
    except Refusal as refusal:
        return str(refusal)
    return None


def _train(spec: CheckSpec, use: ModelUse) -> None:
    if use.objective == "tagger":
        from .tagger import check_encoder  # imports datasets, for seconds

        read_fast_tokenizer(spec.tokenizer)
        check_encoder(spec.folder, use.max_tokens)
        return
    model, tokenizer = _causal_model(spec, use.dropout)
    options.check_packages(use)
    if use.packing:
        options.check_packing(model)
    if use.objective != "lm":
        check_chat_template(tokenizer, spec.tokenizer, with_system=False)
    check_dropout(model, spec.tokenizer, use.dropout)
    check_context(model, use.max_tokens)
    if use.lora:
        check_targets(model, use.lora)


def _score(spec: CheckSpec, use: ModelUse) -> None:
    _causal_model(spec)


def _serve(spec: CheckSpec, use: ModelUse) -> None:
    """The embedded server."""
    if spec.init:
        _tokenizer(spec)
        return
    config, tokenizer = weights.read_config(spec.folder), _tokenizer(spec)
    weights.check_vocabulary(tokenizer, spec.folder, config.vocab_size)
    kinds = _stored(spec)
    check_stored(spec.folder, kinds)
    check_head(spec.folder, spec.weights or [])
    if kinds:
        empty = dict.fromkeys(kinds, torch.empty(0))
        bind_weights(weights.Weights(spec.folder, config, empty), lambda matrix: lambda x: matrix)


def _embed(spec: CheckSpec, use: ModelUse) -> None:
    load_tokenizer(spec.tokenizer)
    read_pooling(spec.tokenizer)
    if not spec.init:
        check_stored(spec.folder, _stored(spec))
        empty_model(AutoModel, spec.folder, read_config(spec.folder))


_CHECKS = {"train": _train, "score": _score, "serve": _serve, "embed": _embed}


def _tokenizer(spec: CheckSpec) -> PreTrainedTokenizerBase:
    tokenizer = read_tokenizer(spec.tokenizer)
    if spec.chat_template is not None:
        try:
            tokenizer.chat_template = Path(spec.chat_template).read_text()
        except OSError as error:
            raise Refusal(Exit.MODEL, f"Cannot read {spec.chat_template}: {error.strerror}.") from error
    if spec.end_token is not None:
        tokenizer.listed_ends.append(tokenizer.convert_tokens_to_ids(spec.end_token))
    return tokenizer


def _causal_model(spec: CheckSpec, dropout: float = 0.0) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model, without weights, and its tokenizer. Raises Refusal, also where the end token has no embedding: every row
    has it."""
    if spec.init:
        tokenizer = _tokenizer(spec)
        with torch.device("meta"):
            return make_model(spec.init, tokenizer, dropout), tokenizer
    config = read_config(spec.folder, dropout)
    check_stored(spec.folder, _stored(spec))
    check_head(spec.folder, spec.weights or [])
    check_decoder(spec.folder, config)
    model = empty_model(AutoModelForCausalLM, spec.folder, config)
    check_causal(spec.folder, model)
    check_generation_config(spec.folder)
    tokenizer = _tokenizer(spec)
    known = model.get_input_embeddings().num_embeddings
    if tokenizer.eos_token_id >= known:
        raise Refusal(
            Exit.MODEL,
            f"The tokenizer in {spec.folder} has the end token {tokenizer.eos_token} ({tokenizer.eos_token_id}), and the "
            f"model has embeddings of {known} tokens only: resize its embeddings, or give the tokenizer that it was made "
            "with.",
        )
    if spec.weights:
        check_weights(spec.folder, model, _shapes(spec))
    return model, tokenizer


def _stored(spec: CheckSpec) -> dict[str, str]:
    """The names of the weights and their number formats; of weights that are not here yet, the names in their index."""
    kinds: dict[str, str] = {}
    index = Path(spec.folder) / "model.safetensors.index.json"
    if not spec.weights and index.is_file():
        return dict.fromkeys(json.loads(index.read_text()).get("weight_map", {}), "")
    return kinds | {name: weight.get_dtype() for name, weight in _slices(spec)}


def _shapes(spec: CheckSpec) -> dict[str, list[int]]:
    return {name: weight.get_shape() for name, weight in _slices(spec)}


def _slices(spec: CheckSpec) -> Iterator[tuple[str, Any]]:
    for file in spec.weights or []:
        try:
            with safe_open(Path(spec.folder) / file, "pt") as opened:
                yield from ((name, opened.get_slice(name)) for name in opened.keys())  # noqa: SIM118
        except Exception as error:
            raise Refusal(
                Exit.MODEL, f"Cannot read {Path(spec.folder) / file}: {first_line(error)}. Replace the file."
            ) from error
