"""A batch-invariant Llama in fp32: each row of a batch gets the same bits as if it ran alone."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from .exits import Exit, Refusal
from .shapes import Shapes, Trial, find_shapes
from .weights import ModelConfig, Weights

CHUNK = 16  # prompt tokens of a sequence in one prefill pass
PREFILLS = 16  # sequences in one prefill pass
MIN_PARALLEL_WIDTH = 512  # a narrower model runs on one thread: its matrix products are too small to share
_LAYER = (
    "input_layernorm",
    *(f"self_attn.{side}_proj" for side in "qkvo"),
    "post_attention_layernorm",
    *(f"mlp.{side}_proj" for side in ("gate", "up", "down")),
)

# By all that the choice of kernels depends on. Shared by the whole process.
_shapes: dict[tuple, Shapes] = {}


@dataclass
class _Pass:
    """What all layers of one forward pass share."""

    rows: slice | torch.Tensor  # cache rows, one for each of the pass's n sequences
    row_index: torch.Tensor  # the same as indices [n, 1]
    positions: torch.Tensor  # [n, t]
    attention_length: int  # number of cache positions that attention reads
    cos: torch.Tensor  # [n, 1, t, size]
    sin: torch.Tensor
    mask: torch.Tensor  # [n, t, attention_length]


class Llama:
    """Weights and KV cache for `slots` sequences (and one spare row that padding writes to).

    Three rules make a row independent of the other rows and of its place among them. Attention is a plain
    softmax(q k^T) v over a masked cache. Prompts are cut at multiples of CHUNK. And a pass uses only `shapes` in which
    the kernels of this machine give each row the same bits, found by trial at start.
    """

    def __init__(self, weights: Weights, slots: int, threads: int):
        self.weights, config = weights, weights.config
        self.threads = threads if config.hidden_size >= MIN_PARALLEL_WIDTH else 1
        torch.set_num_threads(self.threads)  # of this thread: shapes must be found with the threads that compute later
        self.context: int = config.max_position_embeddings
        self.vocabulary: int = config.vocab_size
        self._eps, self._tied = config.rms_norm_eps, config.tie_word_embeddings
        self._heads, self._kv, self._size = config.num_attention_heads, config.num_key_value_heads, config.head_dim
        length = -(-self.context // CHUNK) * CHUNK
        cache = (self._kv, length, self._size)
        _check_memory(weights.folder, (config.num_hidden_layers, slots, *cache))
        self._positions = torch.arange(length)
        self._cos, self._sin = rotations(config, self._positions)
        self._bind_weights(config.num_hidden_layers)
        matrices = (self._head, *self._layers[0].values())
        kernels = (self.threads, slots, cache, *(matrix.shape for matrix in matrices))
        if kernels not in _shapes:
            _shapes[kernels] = find_shapes(self._trial(cache), slots, PREFILLS, CHUNK, length)
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
        """Hidden states [n, CHUNK, width] of one more chunk for each of `slots`.

        `tokens`: [n, CHUNK], `starts` (the chunks' first positions, multiples of CHUNK) and `slots`: [n].
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
        return F.linear(F.pad(hidden, (0, 0, 0, self.shapes.head.rounded(count) - count)), self._head)[:count]

    def clear(self, slot: int) -> None:
        """Zeroes the cache of a slot with non-finite values: even masked, they would spoil its next sequence."""
        self._keys[:, slot] = 0
        self._values[:, slot] = 0

    def _forward(self, tokens: torch.Tensor, positions: torch.Tensor, rows: slice | torch.Tensor) -> torch.Tensor:
        """Hidden states [n, t, width] of `tokens` [n, t] at `positions` [n, t] in cache rows `rows`."""
        last = int(positions.max())
        shared = self._pass(positions, rows, next(length for length in self.shapes.attention_lengths if length > last))
        x = F.embedding(tokens, self._embedding)
        for weights, keys, values in zip(self._layers, self._keys, self._values):
            x = self._layer(x, weights, keys, values, shared)
        return F.rms_norm(x, x.shape[-1:], self._norm, self._eps)

    def _pass(self, positions: torch.Tensor, rows: slice | torch.Tensor, attention_length: int) -> _Pass:
        hidden = self._positions[:attention_length] > positions[..., None]
        return _Pass(
            rows,
            torch.arange(len(positions))[:, None] if isinstance(rows, slice) else rows[:, None],
            positions,
            attention_length,
            self._cos[positions][:, None],
            self._sin[positions][:, None],
            torch.zeros(hidden.shape).masked_fill_(hidden, -torch.inf),
        )

    def _layer(
        self, x: torch.Tensor, w: dict[str, torch.Tensor], keys: torch.Tensor, values: torch.Tensor, shared: _Pass
    ) -> torch.Tensor:
        """Hidden states [n, t, width] after one more layer. Writes to its cache: `keys`, `values` [row, kv, place, size]."""
        (count, width), rows, at = x.shape[:2], shared.rows, (shared.row_index, slice(None), shared.positions)

        def heads(h: torch.Tensor, weight: torch.Tensor, number: int) -> torch.Tensor:
            return F.linear(h, weight).view(count, width, number, self._size).transpose(1, 2)

        h = F.rms_norm(x, x.shape[-1:], w["input_layernorm"], self._eps)
        q = _rotate(heads(h, w["self_attn.q_proj"], self._heads), shared.cos, shared.sin) * self._size**-0.5
        k = _rotate(heads(h, w["self_attn.k_proj"], self._kv), shared.cos, shared.sin)
        keys[at] = k.transpose(1, 2)
        values[at] = heads(h, w["self_attn.v_proj"], self._kv).transpose(1, 2)
        scores = q.reshape(count, self._kv, -1, self._size) @ keys[rows, :, : shared.attention_length].mT
        scores = scores.view(count, self._heads, width, -1).add_(shared.mask[:, None])
        weighted = scores.softmax(-1).view(count, self._kv, -1, shared.attention_length)
        output = (weighted @ values[rows, :, : shared.attention_length]).view(count, self._heads, width, self._size)
        x = x + F.linear(output.transpose(1, 2).reshape(count, width, -1), w["self_attn.o_proj"])
        h = F.rms_norm(x, x.shape[-1:], w["post_attention_layernorm"], self._eps)
        h = F.silu(F.linear(h, w["mlp.gate_proj"])) * F.linear(h, w["mlp.up_proj"])
        return x + F.linear(h, w["mlp.down_proj"])

    def _trial(self, cache: tuple[int, ...]) -> Trial:
        """Computes equal rows in one layer, or with the head; all layers have the same shapes."""
        generator = torch.Generator().manual_seed(0)
        keys, values = torch.randn(2, *cache, generator=generator)
        width = self._layers[0]["input_layernorm"].shape[0]
        chunk = torch.randn(CHUNK, width, generator=generator)

        def trial(kernel: str, rows: int, last: int, attention_length: int) -> torch.Tensor:
            if kernel == "head":
                return F.linear(chunk[:1].repeat(rows, 1), self._head)
            tokens = CHUNK if kernel == "prefill" else 1
            positions = torch.arange(last + 1 - tokens, last + 1).repeat(rows, 1)
            used = torch.arange(rows) if kernel == "prefill" else slice(0, rows)
            shared = self._pass(positions, used, attention_length)
            own = (side[None, :].repeat(rows, 1, 1, 1) for side in (keys, values))
            return self._layer(chunk[:tokens].repeat(rows, 1, 1), self._layers[0], *own, shared)

        return trial

    def _bind_weights(self, layers: int) -> None:
        """Looks up the tensors of all layers."""
        tensors = self.weights.tensors
        try:
            self._embedding, self._norm = tensors["model.embed_tokens.weight"], tensors["model.norm.weight"]
            self._head = self._embedding if self._tied else tensors["lm_head.weight"]
            self._layers = [
                {name: tensors[f"model.layers.{layer}.{name}.weight"] for name in _LAYER} for layer in range(layers)
            ]
        except KeyError as error:
            raise Refusal(
                Exit.MODEL,
                f"The model in {self.weights.folder} lacks the weight {error}; replace its safetensors files.",
            ) from error


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


def _check_memory(folder: str, shape: tuple[int, ...]) -> None:
    needed = 2 * 4 * torch.Size(shape).numel()
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > physical // 2:
        raise Refusal(
            Exit.MODEL,
            f"The key-value cache of {folder} would take {needed >> 30} GiB of this machine's {physical >> 30}: "
            "lower 'slots', or max_position_embeddings in its config.json, or serve it with vLLM.",
        )
