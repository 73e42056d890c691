"""A batch-invariant Llama in fp32: each row of a batch gets the same bits as if it ran alone."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from .exits import Exit, Refusal
from .shapes import Shapes, Trial, find_shapes
from .weights import ModelConfig, Weights

CHUNK = 16  # tokens of a prompt that are computed together
CHUNKS = 16  # chunks in one prefill pass
BLOCK = 256  # places of the cache that attention reads together
WIDE = 512  # a narrower model runs on one thread and on plain kernels: its matrix products are too small to share, or to pack
_MATRICES = (
    *(f"self_attn.{side}_proj" for side in "qkvo"),
    *(f"mlp.{side}_proj" for side in ("gate", "up", "down")),
)

# A row's product with a matrix [out, in]: [..., in] -> [..., out].
Product = Callable[[torch.Tensor], torch.Tensor]

# By all that the choice of kernels depends on. Shared by the whole process.
_shapes: dict[tuple, Shapes] = {}


@dataclass
class _Layer:
    """Norms, and the matrices by name."""

    input_norm: torch.Tensor
    mlp_norm: torch.Tensor
    products: dict[str, Product]


@dataclass
class _Pass:
    """What all layers of one forward pass share."""

    rows: slice | torch.Tensor  # cache rows, one for each of the pass's n sequences, or chunks of a sequence
    row_index: torch.Tensor  # the same as indices [n, 1]
    positions: torch.Tensor  # [n, t]
    blocks: list[slice]  # places of the cache that attention reads, part by part
    cos: torch.Tensor  # [n, 1, t, size]
    sin: torch.Tensor
    mask: torch.Tensor  # [n, 1, t, places of all blocks]


class Llama:
    """Weights and KV cache for `slots` sequences of up to `context` tokens (default: the model's), or for as many as half
    of the memory holds, and one spare row that padding writes to.

    Four rules make a row independent of the other rows and of its place among them. Prompts are cut at multiples of
    CHUNK. Attention reads the cache in blocks of BLOCK places, and a block that is masked changes no bit. The matrices
    of a wide model are packed for oneDNN, where PyTorch has it: a row gets the same bits in nearly every batch, which
    MKL's kernels do not give. And a pass uses only `shapes` in which this machine was seen to keep to that, by trial at
    start.
    """

    def __init__(self, weights: Weights, slots: int, threads: int, context: int | None = None):
        config = weights.config
        self._base = weights.base or weights  # kept for further adapters; an adapter's own matrices may go once they are packed
        wide = config.hidden_size >= WIDE
        self.threads = threads if wide else 1
        torch.set_num_threads(self.threads)  # of this thread: shapes must be found with the threads that compute later
        self.context = min(context or config.max_position_embeddings, config.max_position_embeddings)
        self.vocabulary: int = config.vocab_size
        self._eps = config.rms_norm_eps
        self._heads, self._kv, self._size = config.num_attention_heads, config.num_key_value_heads, config.head_dim
        length = _multiple(self.context, CHUNK if self.context <= BLOCK else BLOCK)
        cache = (self._kv, length, self._size)
        self.slots = slots = _fitting(slots, weights.folder, config.num_hidden_layers * math.prod(cache))
        self._positions = torch.arange(length)
        self._cos, self._sin = rotations(config, self._positions)
        bound = bind_weights(weights, _packed if wide and torch.backends.mkldnn.is_available() else _plain)
        self._embedding, self._norm, self._head = bound.embedding, bound.norm, bound.head
        self._layers = bound.layers
        kernels = (
            self.threads,
            slots,
            cache,
            self._heads,
            self.vocabulary,
            config.hidden_size,
            config.intermediate_size,
        )
        if kernels not in _shapes:
            block = min(length, BLOCK)
            _shapes[kernels] = find_shapes(self._trial((self._kv, block, self._size)), slots, CHUNKS, CHUNK, block)
        self.shapes = _shapes[kernels]
        rows = (config.num_hidden_layers, self.shapes.decode.most + 1, *cache)
        self._keys, self._values = torch.zeros(rows), torch.zeros(rows)

    def decode(self, tokens: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Logits [n, vocabulary] after one more token for each of slots 0..n-1, n as `shapes.decode` rounds it up.

        `tokens`, `positions`: [n].
        """
        hidden = self._forward(tokens[:, None], positions[:, None], slice(0, len(tokens)))
        return self.head(hidden[:, 0])

    def prefill(self, tokens: torch.Tensor, starts: torch.Tensor, slots: torch.Tensor) -> torch.Tensor:
        """Hidden states [n, CHUNK, width] of n more chunks of prompts.

        `tokens`: [n, CHUNK], `starts` (the chunks' first positions, multiples of CHUNK) and `slots`: [n]. A slot may
        have several chunks, if they follow on one another.
        """
        count = len(slots)
        spare = self.shapes.prefill.rounded(count) - count
        tokens, starts, slots = (
            F.pad(tokens, (0, 0, 0, spare)),
            F.pad(starts, (0, spare)),
            F.pad(slots, (0, spare), value=self.shapes.decode.most),
        )
        return self._forward(tokens, starts[:, None] + torch.arange(CHUNK), slots)[:count]

    def head(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits [n, vocabulary] of hidden states [n, width]."""
        count = len(hidden)
        return self._head(F.pad(hidden, (0, 0, 0, self.shapes.head.rounded(count) - count)))[:count]

    def clear(self, slot: int) -> None:
        """Zeroes the cache of a slot with non-finite values: even masked, they would spoil its next sequence."""
        self._keys[:, slot] = 0
        self._values[:, slot] = 0

    def _forward(self, tokens: torch.Tensor, positions: torch.Tensor, rows: slice | torch.Tensor) -> torch.Tensor:
        """Hidden states [n, t, width] of `tokens` [n, t] at `positions` [n, t] in cache rows `rows`."""
        places = int(positions.max()) + 1
        fitting = (length for length in self.shapes.attention_lengths if length >= places)
        shared = self._pass(positions, rows, next(fitting, _multiple(places, BLOCK)))
        x = F.embedding(tokens, self._embedding)
        for weights, keys, values in zip(self._layers, self._keys, self._values):
            x = self._layer(x, weights, keys, values, shared)
        return F.rms_norm(x, x.shape[-1:], self._norm, self._eps)

    def _pass(self, positions: torch.Tensor, rows: slice | torch.Tensor, length: int) -> _Pass:
        """`length`: the number of cache places that attention reads."""
        hidden = self._positions[:length] > positions[:, None, :, None]
        return _Pass(
            rows,
            torch.arange(len(positions))[:, None] if isinstance(rows, slice) else rows[:, None],
            positions,
            [slice(start, min(start + BLOCK, length)) for start in range(0, length, BLOCK)],
            self._cos[positions][:, None],
            self._sin[positions][:, None],
            torch.zeros(hidden.shape).masked_fill_(hidden, -torch.inf),
        )

    def _layer(
        self, x: torch.Tensor, w: _Layer, keys: torch.Tensor, values: torch.Tensor, shared: _Pass
    ) -> torch.Tensor:
        """Hidden states [n, t, width] after one more layer. Writes to its cache: `keys`, `values` [row, kv, place, size]."""
        (count, width), at = x.shape[:2], (shared.row_index, slice(None), shared.positions)

        def heads(side: str, number: int) -> torch.Tensor:
            return w.products[f"self_attn.{side}_proj"](h).view(count, width, number, self._size).transpose(1, 2)

        h = F.rms_norm(x, x.shape[-1:], w.input_norm, self._eps)
        q = _rotate(heads("q", self._heads), shared.cos, shared.sin) * self._size**-0.5
        keys[at] = _rotate(heads("k", self._kv), shared.cos, shared.sin).transpose(1, 2)
        values[at] = heads("v", self._kv).transpose(1, 2)
        output = self._attend(q, keys, values, shared).transpose(1, 2).reshape(count, width, -1)
        x = x + w.products["self_attn.o_proj"](output)
        h = F.rms_norm(x, x.shape[-1:], w.mlp_norm, self._eps)
        h = F.silu(w.products["mlp.gate_proj"](h)) * w.products["mlp.up_proj"](h)
        return x + w.products["mlp.down_proj"](h)

    def _attend(self, q: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, shared: _Pass) -> torch.Tensor:
        """softmax(q k^T) v [n, heads, t, size], block by block with a running maximum (Rabe and Staats 2021).

        The first block has a place that is not masked, for every row.
        """
        (count, _, width), rows = q.shape[:3], shared.rows
        grouped = q.reshape(count, self._kv, -1, self._size)
        most = None
        for block in shared.blocks:
            scores = (grouped @ keys[rows, :, block].mT).view(count, self._heads, width, -1)
            scores.add_(shared.mask[..., block])
            before, most = most, scores.amax(-1, keepdim=True)
            if before is not None:
                most = most.maximum(before)
            weights = (scores - most).exp_()
            added = (weights.view(count, self._kv, -1, weights.shape[-1]) @ values[rows, :, block]).view(q.shape)
            if before is None:
                total, output = weights.sum(-1, keepdim=True), added
            else:
                kept = (before - most).exp_()
                total, output = total * kept + weights.sum(-1, keepdim=True), output * kept + added
        return output / total

    def _trial(self, cache: tuple[int, ...]) -> Trial:
        """Computes equal rows in one layer, or with the head; all layers have the same shapes."""
        generator = torch.Generator().manual_seed(0)
        keys, values = torch.randn(2, *cache, generator=generator)
        width = self._embedding.shape[1]
        chunk = torch.randn(CHUNK, width, generator=generator)

        def trial(kernel: str, rows: int, last: int, attention_length: int) -> torch.Tensor:
            if kernel == "head":
                return self._head(chunk[:1].repeat(rows, 1))
            tokens = CHUNK if kernel == "prefill" else 1
            positions = torch.arange(last + 1 - tokens, last + 1).repeat(rows, 1)
            used = torch.arange(rows) if kernel == "prefill" else slice(0, rows)
            shared = self._pass(positions, used, attention_length)
            own = (side[None, :].repeat(rows, 1, 1, 1) for side in (keys, values))
            return self._layer(chunk[:tokens].repeat(rows, 1, 1), self._layers[0], *own, shared)

        return trial


@dataclass
class _Bound:
    """The tensors of a model by their places."""

    embedding: torch.Tensor
    norm: torch.Tensor
    head: Product
    layers: list[_Layer]


def bind_weights(weights: Weights, product: Callable[[torch.Tensor], Product]) -> _Bound:
    """Looks up the tensors of all layers. Raises Refusal 66 if one is missing, or has no place."""
    tensors, config = dict(weights.tensors), weights.config
    try:
        embedding, norm = tensors.pop("model.embed_tokens.weight"), tensors.pop("model.norm.weight")
        tied = config.tie_word_embeddings
        head = tensors.pop("lm_head.weight", embedding) if tied else tensors.pop("lm_head.weight")
        layers = [
            _Layer(
                tensors.pop(f"model.layers.{layer}.input_layernorm.weight"),
                tensors.pop(f"model.layers.{layer}.post_attention_layernorm.weight"),
                {name: product(tensors.pop(f"model.layers.{layer}.{name}.weight")) for name in _MATRICES},
            )
            for layer in range(config.num_hidden_layers)
        ]
    except KeyError as error:
        raise Refusal(
            Exit.MODEL, f"The model in {weights.folder} lacks the weight {error}; replace its safetensors files."
        ) from error
    unused = [name for name in tensors if not name.endswith("rotary_emb.inv_freq")]  # computed from the config
    if unused:
        raise Refusal(
            Exit.MODEL,
            f"The model in {weights.folder} has the weight {unused[0]}, which no Llama of its config.json has; "
            "serve it with vLLM.",
        )
    return _Bound(embedding, norm, product(embedding if tied else head), layers)


def _plain(matrix: torch.Tensor) -> Product:
    return lambda x: F.linear(x, matrix)


def _packed(matrix: torch.Tensor) -> Product:
    """With a copy of the matrix in oneDNN's own layout."""
    packed = torch.ops.mkldnn._reorder_linear_weight(matrix.contiguous(), CHUNK)
    return lambda x: torch.ops.mkldnn._linear_pointwise(x, packed, None, "none", [], "")


def _multiple(number: int, of: int) -> int:
    """The smallest multiple that is at least `number`."""
    return -(-number // of) * of


def _rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotary position embedding (Su et al. 2021) in the half-split layout of Hugging Face's Llama."""
    half = x.shape[-1] // 2
    return x * cos + torch.cat((-x[..., half:], x[..., :half]), -1) * sin


def rotations(config: ModelConfig, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines [length, head size] of every position, bit for bit those of Transformers' Llama."""
    rope = config.rope_parameters
    if rope["rope_type"] == "default":
        powers = torch.arange(0, config.head_dim, 2, dtype=torch.int64).float() / config.head_dim
        frequencies, scale = 1.0 / rope["rope_theta"] ** powers, 1.0
    else:
        frequencies, scale = ROPE_INIT_FUNCTIONS[rope["rope_type"]](config, "cpu")
    angles = (positions[:, None].float() * frequencies).repeat(1, 2)
    return angles.cos() * scale, angles.sin() * scale


def _fitting(slots: int, folder: str, entries: int) -> int:
    """At most `slots` sequences with `entries` keys and as many values each. Raises Refusal 66 if not even one fits."""
    half = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    sequence = 2 * 4 * entries
    if sequence > half:
        raise Refusal(
            Exit.MODEL,
            f"The key-value cache of one sequence of {folder} takes {sequence >> 30} GiB, and half of this machine's "
            f"memory is {half >> 30}: set serving.maxModelLength, or serve it with vLLM.",
        )
    if slots * sequence > half:
        print(
            f"{folder}: {half // sequence} sequences at once in place of {slots}, for each has a cache of "
            f"{sequence >> 20} MiB; a lower serving.maxModelLength allows more",
            file=sys.stderr,
        )
    return min(slots, half // sequence)
