"""A tagger: an encoder with one head for the tag of each word and one for the intent of the sentence, trained jointly.

    loss = cross-entropy of the intents, mean over rows + cross-entropy of the tags, mean over words

The tag of a word is read at its first token, the intent at the first token of the sentence (Chen et al. 2019,
1902.10909). The folder is one of Transformers for token classification, with the tags as `id2label` in config.json. Its
weights also have `intent_classifier`, whose labels are in `tagger.json`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch import nn
from torch.nn.functional import cross_entropy
from transformers import (
    MODEL_FOR_MASKED_LM_MAPPING,
    MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING,
    PreTrainedConfig,
    PreTrainedModel,
)

from .exits import Exit, Refusal
from .heads import IGNORED
from .models import load_weights, positions, read_config, write_folder
from .spec import TrainSpec

_FILE = "tagger.json"


@dataclass(frozen=True)
class Labels:
    """The labels of a tagger, sorted: the number of a label is its position."""

    tags: list[str]
    intents: list[str]


def labels_of(examples: Dataset) -> Labels:
    """The labels in tokenized rows."""
    return Labels(sorted({tag for tags in examples["tags"] for tag in tags}), sorted(set(examples["intent"])))


def make_tagger(spec: TrainSpec, labels: Labels) -> PreTrainedModel:
    """The encoder in `spec.from` with new heads, whose weights depend only on `spec.seed` and shapes.

    `spec.dropout` replaces all dropouts of the encoder. Raises Refusal.
    """
    folder, config = spec.from_, read_config(spec.from_)
    for key in _dropouts(config):
        setattr(config, key, spec.dropout)
    config.id2label = dict(enumerate(labels.tags))
    config.label2id = {tag: number for number, tag in enumerate(labels.tags)}
    cls = _class_of(folder, config, len(labels.intents))
    torch.manual_seed(spec.seed)
    encoder = f"{cls.base_model_prefix}."
    model = load_weights(cls, folder, config, is_new=lambda name: not name.startswith(encoder), partly=True)
    model.intent_dropout.p = spec.dropout
    _check_positions(model, spec.max_tokens)
    return model


def check_encoder(folder: str, max_tokens: int) -> None:
    """Raises Refusal if no tagger for sentences of `max_tokens` can be made of the model in `folder`. Reads no weights."""
    config = read_config(folder)
    with torch.device("meta"):
        _check_positions(_class_of(folder, config, 1)(config), max_tokens)


def _check_positions(model: PreTrainedModel, max_tokens: int) -> None:
    if max_tokens > positions(model):
        raise Refusal(
            Exit.SPEC,
            f"Spec key 'maxTokens' is {max_tokens}, but the model has {positions(model)} positions; lower it.",
        )


def read_tagger(folder: str) -> tuple[PreTrainedModel, Labels]:
    """The tagger in `folder`, in fp32. Raises Refusal 66."""
    try:
        intents = json.loads((Path(folder) / _FILE).read_text())["intents"]
    except (OSError, ValueError, KeyError) as error:
        raise Refusal(Exit.MODEL, f"No tagger in {folder}: {_FILE} cannot be read; give the folder of one.") from error
    config = read_config(folder)
    model = load_weights(_class_of(folder, config, len(intents)), folder, config)
    return model.eval(), Labels([config.id2label[number] for number in range(config.num_labels)], intents)


def write_tagger(model: PreTrainedModel, labels: Labels, encoder: str, folder: Path) -> None:
    """Writes the folder atomically. `encoder` is the folder that the tagger was made from.

    Equal weights give equal bytes: no time, host or path.
    """

    def write(partial: Path) -> None:
        config = read_config(encoder)
        for key in _dropouts(config):  # the run's dropout is no part of the model
            setattr(model.config, key, getattr(config, key))
        model.save_pretrained(partial)
        (partial / _FILE).write_text(json.dumps({"version": 1, "intents": labels.intents}) + "\n")

    write_folder(folder, encoder, write)


def collator(labels: Labels, pad: int) -> Callable[[list[dict[str, Any]]], dict[str, torch.Tensor]]:
    """A data collator: tokens padded on the right, with tag numbers [n, tokens] and intent numbers [n]."""
    tag_of, intent_of = ({label: number for number, label in enumerate(those)} for those in asdict(labels).values())

    def collate(examples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        batch = pad_rows([example["input_ids"] for example in examples], pad)
        tags = torch.full_like(batch["input_ids"], IGNORED)
        for row, example in enumerate(examples):
            tags[row, example["words"]] = torch.tensor([tag_of[tag] for tag in example["tags"]])
        return {**batch, "tags": tags, "intents": torch.tensor([intent_of[example["intent"]] for example in examples])}

    return collate


def pad_rows(rows: list[list[int]], pad: int) -> dict[str, torch.Tensor]:
    """`input_ids` and `attention_mask` [n, tokens], padded on the right."""
    length = max(map(len, rows))
    return {
        "input_ids": torch.tensor([row + [pad] * (length - len(row)) for row in rows]),
        "attention_mask": torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in rows]),
    }


def joint_loss(
    logits: dict[str, torch.Tensor], tags: torch.Tensor, intents: torch.Tensor, words: torch.Tensor | float
) -> torch.Tensor:
    """The loss (nats) of a batch with tag numbers [n, tokens] and intent numbers [n].

    `words` is the number of tagged words; if several devices share a batch, it is their mean, so that the mean of their
    losses is that of one device.
    """
    of_tags = cross_entropy(logits["tags"].float().transpose(1, 2), tags, ignore_index=IGNORED, reduction="sum")
    return cross_entropy(logits["intents"].float(), intents) + of_tags / words


def count_words(tags: torch.Tensor) -> torch.Tensor:
    """The number of tagged words in tag numbers [n, tokens]."""
    return (tags != IGNORED).sum().float()


def _class_of(folder: str, config: PreTrainedConfig, intents: int) -> type[PreTrainedModel]:
    """The architecture's own class for token classification, with a head for the intent."""
    known = type(config) in MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING and type(config) in MODEL_FOR_MASKED_LM_MAPPING
    if not known or config.is_encoder_decoder or getattr(config, "is_decoder", False):
        raise Refusal(
            Exit.MODEL,
            f"The model in {folder} is of type {config.model_type}, and a tagger is made of an encoder, which reads a "
            "sentence in both directions; give one such as BERT, RoBERTa or XLM-R.",
        )
    token_classifier = MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING[type(config)]

    class Tagger(token_classifier):
        def __init__(self, config: PreTrainedConfig):
            super().__init__(config)
            self.intent_dropout = nn.Dropout(0.0)
            self.intent_classifier = nn.Linear(config.hidden_size, intents)
            self.post_init()

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> dict[str, torch.Tensor]:
            outputs = super().forward(input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=True)
            first = self.intent_dropout(outputs.hidden_states[-1][:, 0])
            return {"tags": outputs.logits, "intents": self.intent_classifier(first)}

    Tagger.__name__ = token_classifier.__name__  # which config.json names as the architecture
    return Tagger


def _dropouts(config: PreTrainedConfig) -> list[str]:
    """The settings that are probabilities of dropout. Null means that of the hidden layers."""
    return [
        key for key, value in config.to_dict().items() if "dropout" in key and type(value) in (int, float, type(None))
    ]
