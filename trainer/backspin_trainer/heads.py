"""A causal LM as a body and a head: hidden states, and the model's own way from them to logits."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel
from transformers.utils import ModelOutput

IGNORED = -100  # PyTorch and Transformers compute no loss for this label
_LOGITS = 1 << 23  # in memory at once
_LOGITS_CUDA = 1 << 25  # a GPU computes small chunks slowly


class Head:
    """The head of a causal LM, with all that its forward pass does between hidden states and logits.

    An architecture whose logits do not depend on the hidden states alone (OPT, Falcon-H1) has none: `is_separate` is
    False.
    """

    def __init__(self, model: PreTrainedModel):
        self.body = model.base_model
        self.vocabulary: int = model.get_input_embeddings().num_embeddings
        self._model, self._forward = model, model.forward
        self._identity = _IdentityBody()
        self.is_separate = self._gives_the_models_logits()

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits [n, vocabulary] from hidden states [n, width]."""
        name = self._model.base_model_prefix
        setattr(self._model, name, self._identity)
        try:
            return self._forward(inputs_embeds=hidden[None]).logits[0]
        finally:
            setattr(self._model, name, self.body)

    @torch.no_grad()
    def _gives_the_models_logits(self) -> bool:
        tokens = torch.arange(4, device=self._model.device)[None]
        training = self._model.training
        self._model.eval()
        try:
            states = self.body(input_ids=tokens, use_cache=False)
            self._identity.kind = type(states)
            logits = self._forward(input_ids=tokens).logits[0]
            return torch.allclose(self(states.last_hidden_state[0]), logits, rtol=1e-3, atol=1e-3)
        except (AttributeError, TypeError):
            return False
        finally:
            self._model.train(training)


class _IdentityBody(torch.nn.Module):
    """Replaces the body of a model: returns `inputs_embeds` as hidden states, so that the model is only its head."""

    kind: type[ModelOutput]  # output class of the original body

    def forward(self, *_: Any, inputs_embeds: torch.Tensor, **__: Any) -> ModelOutput:
        return self.kind(last_hidden_state=inputs_embeds)


def return_token_losses(model: PreTrainedModel, packing: bool = False) -> None:
    """Makes the forward pass of `model` return `{"nll": [n, tokens - 1]}`: for each token but the first its negative
    log-likelihood (nats, of the fp32 log-softmax), and 0 where `labels` [n, tokens] ignore it.

    It computes logits only for labels, and those of `_LOGITS` or `_LOGITS_CUDA` numbers at a time, so no logits of whole sequences are in
    memory, and none at all between the forward and the backward pass of several chunks. With `packing` the rows are one
    sequence without padding for the model, whose positions begin anew with each row: so Transformers masks other rows.
    """
    head, forward = Head(model), model.forward

    def token_losses(input_ids, attention_mask, labels, **_: Any) -> dict[str, torch.Tensor]:
        targets = labels[:, 1:]
        kept = targets != IGNORED
        if packing:
            is_token = attention_mask.bool()
            positions = attention_mask.cumsum(-1) - 1
            inputs = {"input_ids": input_ids[is_token][None], "position_ids": positions[is_token][None]}
            place = (is_token.flatten().cumsum(0) - 1).view_as(is_token)
            before = (0, place[:, :-1][kept])
        else:
            inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
            before = kept.nonzero(as_tuple=True)
        if head.is_separate:
            hidden = head.body(**inputs, use_cache=False).last_hidden_state[before]
            nll = _chunked_nll(head, hidden, targets[kept])
        else:
            logits = forward(**inputs, use_cache=False).logits[before]
            nll = cross_entropy(logits.float(), targets[kept], reduction="none")
        return {"nll": torch.zeros_like(targets, dtype=nll.dtype).masked_scatter(kept, nll)}

    model.forward = token_losses


def _chunked_nll(head: Head, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The negative log-likelihoods [n] of `targets` [n] after hidden states [n, width]."""

    def chunk_nll(states: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return cross_entropy(head(states).float(), labels, reduction="none")

    size = max(1, (_LOGITS_CUDA if hidden.is_cuda else _LOGITS) // head.vocabulary)
    if len(targets) <= size:
        return chunk_nll(hidden, targets)
    chunks = zip(hidden.split(size), targets.split(size))
    return torch.cat([checkpoint(chunk_nll, *chunk, use_reentrant=False, preserve_rng_state=False) for chunk in chunks])
