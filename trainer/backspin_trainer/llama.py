"""A batch-invariant Llama in fp32: each row of a batch gets the same bits as if it ran alone."""

from __future__ import annotations

import os
from itertools import zip_longest

import torch
import torch.nn.functional as F
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from .exits import Exit, Refusal
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

# Batch quantum and attention lengths, keyed by all that the choice of kernels depends on. Shared by the whole process.
_kernel_shapes: dict[tuple, tuple[int, list[int]]] = {}


class Llama:
    """Weights and KV cache for `slots` sequences (and one spare row that padding writes to).

    Three rules make a row independent of the other rows. Attention is a plain softmax(q k^T) v over a masked cache.
    Prompts are cut at multiples of CHUNK. And a pass uses only shapes in which the kernels of this machine give each
    row the same bits, found by trial at start: numbers of rows that are multiples of `batch_quantum`, and some attention
    lengths (the number of cache positions that attention reads).
    """

    def __init__(self, weights: Weights, slots: int, threads: int):
        self.weights, config = weights, weights.config
        self.threads = threads if config.hidden_size >= MIN_PARALLEL_WIDTH else 1
        torch.set_num_threads(self.threads)  # of this thread: shapes must be found with the threads that compute later
        self.context: int = config.max_position_embeddings
        self.vocabulary: int = config.vocab_size
        self._eps, self._tied = config.rms_norm_eps, config.tie_word_embeddings
        self._heads, self._kv, self._size = config.num_attention_heads, config.num_key_value_heads, config.head_dim
        self.slots = -(-slots // PREFILLS) * PREFILLS
        length = -(-self.context // CHUNK) * CHUNK
        shape = (config.num_hidden_layers, self.slots + 1, self._kv, length, self._size)
        _check_memory(weights.folder, shape)
        self._keys, self._values = torch.zeros(shape), torch.zeros(shape)
        self._positions = torch.arange(length)
        self._cos, self._sin = rotations(config, self._positions)
        self._bind_weights(config.num_hidden_layers)
        matrices = (self._head, *self._layers[0].values())
        kernels = (self.threads, shape, *(matrix.shape for matrix in matrices))
        if kernels not in _kernel_shapes:
            _kernel_shapes[kernels] = self._find_shapes(length)
        self.batch_quantum, self._attention_lengths = _kernel_shapes[kernels]

    def decode(self, tokens: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Logits [n, vocabulary] after one more token for each of slots 0..n-1, n a multiple of `batch_quantum`.

        `tokens`, `positions`: [n].
        """
        hidden = self._forward(tokens[:, None], positions[:, None], slice(0, len(tokens)))
        return self.head(hidden[:, 0])

    def prefill(self, tokens: torch.Tensor, starts: torch.Tensor, slots: torch.Tensor) -> torch.Tensor:
        """Hidden states [n, CHUNK, width] of one more chunk for each of `slots`.

        `tokens`: [n, CHUNK], `starts` (the chunks' first positions, multiples of CHUNK) and `slots`: [n].
        """
        count, prompt_quantum = len(slots), max(2, self.batch_quantum // CHUNK)
        spare = -count % prompt_quantum
        tokens, starts, slots = (
            F.pad(tokens, (0, 0, 0, spare)),
            F.pad(starts, (0, spare)),
            F.pad(slots, (0, spare), value=self.slots),
        )
        return self._forward(tokens, starts[:, None] + torch.arange(CHUNK), slots)[:count]

    def head(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits [n, vocabulary] of hidden states [n, width]."""
        return F.linear(F.pad(hidden, (0, 0, 0, -len(hidden) % self.batch_quantum)), self._head)[: len(hidden)]

    def clear(self, slot: int) -> None:
        """Zeroes the cache of a slot with non-finite values: even masked, they would spoil its next sequence."""
        self._keys[:, slot] = 0
        self._values[:, slot] = 0

    def _forward(self, tokens: torch.Tensor, positions: torch.Tensor, rows: slice | torch.Tensor) -> torch.Tensor:
        """Hidden states [n, t, width] of `tokens` [n, t] at `positions` [n, t] in cache rows `rows`."""
        count, width = tokens.shape
        x = F.embedding(tokens, self._embedding)
        cos, sin = self._cos[positions][:, None], self._sin[positions][:, None]
        last = int(positions.max())
        attention_length = next(length for length in self._attention_lengths if length > last)
        mask = torch.zeros(count, width, attention_length).masked_fill_(
            self._positions[:attention_length] > positions[..., None], -torch.inf
        )
        row_index = torch.arange(count)[:, None] if isinstance(rows, slice) else rows[:, None]

        def heads(h: torch.Tensor, weight: torch.Tensor, number: int) -> torch.Tensor:
            return F.linear(h, weight).view(count, width, number, self._size).transpose(1, 2)

        for layer, w in enumerate(self._layers):
            h = F.rms_norm(x, x.shape[-1:], w["input_layernorm"], self._eps)
            q = _rotate(heads(h, w["self_attn.q_proj"], self._heads), cos, sin) * self._size**-0.5
            self._keys[layer][row_index, :, positions] = _rotate(
                heads(h, w["self_attn.k_proj"], self._kv), cos, sin
            ).transpose(1, 2)
            self._values[layer][row_index, :, positions] = heads(h, w["self_attn.v_proj"], self._kv).transpose(1, 2)
            keys = self._keys[layer][rows, :, :attention_length]
            values = self._values[layer][rows, :, :attention_length]
            scores = q.reshape(count, self._kv, -1, self._size) @ keys.mT
            scores = scores.view(count, self._heads, width, -1).add_(mask[:, None])
            output = scores.softmax(-1).view(count, self._kv, -1, attention_length) @ values
            output = output.view(count, self._heads, width, self._size).transpose(1, 2).reshape(count, width, -1)
            x = x + F.linear(output, w["self_attn.o_proj"])
            h = F.rms_norm(x, x.shape[-1:], w["post_attention_layernorm"], self._eps)
            x = x + F.linear(
                F.silu(F.linear(h, w["mlp.gate_proj"])) * F.linear(h, w["mlp.up_proj"]), w["mlp.down_proj"]
            )
        return F.rms_norm(x, x.shape[-1:], self._norm, self._eps)

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

    def _find_shapes(self, length: int) -> tuple[int, list[int]]:
        """The batch quantum and attention lengths in which a row has the same bits as in the largest batch and length.

        The kernels depend on the number of rows, the machine and the threads: with 2 threads of an AMD EPYC a row has
        other bits among 5 rows than among 64, but the same among any multiple of 4. A longer attention only adds zeros
        to a sum, but a kernel may add in another order. Shapes with other bits are not used; in the worst case every
        batch has the largest size. All models of one shape share the result.
        """
        generator = torch.Generator().manual_seed(0)
        tokens = torch.randint(self.vocabulary, (self.slots,), generator=generator)
        chunks = torch.randint(self.vocabulary, (PREFILLS, CHUNK), generator=generator)
        self._keys.normal_(generator=generator)
        self._values.normal_(generator=generator)

        def compute(last: int, rows: int, prompts: int) -> tuple[torch.Tensor, torch.Tensor]:
            """Prefills a chunk and then decodes a token; both end at position `last`."""
            hidden = self.prefill(chunks[:prompts], torch.full((prompts,), last + 1 - CHUNK), torch.arange(prompts))
            return hidden, self.decode(tokens[:rows], torch.full((rows,), last))

        def equal(last: int, rows: int, prompts: int) -> bool:
            pairs = zip(compute(last, rows, prompts), largest[last])
            return all(torch.equal(part, full[: len(part)]) for part, full in pairs)

        candidates = [shorter for power in range(length.bit_length()) if (shorter := CHUNK << power) < length]
        last_positions = [attention_length - 1 for attention_length in (*candidates, length)]
        self.batch_quantum, self._attention_lengths = 1, [length]
        largest = {last: compute(last, self.slots, PREFILLS) for last in last_positions}
        for attention_length in reversed(candidates):
            self._attention_lengths.insert(0, attention_length)
            if not equal(attention_length - 1, self.slots, PREFILLS):
                del self._attention_lengths[0]
        for batch_quantum in (8, 16, 32, 64, 128, max(self.slots, PREFILLS * CHUNK)):
            self.batch_quantum = batch_quantum
            prompt_quantum = max(2, batch_quantum // CHUNK)
            shapes = zip_longest(
                range(batch_quantum, self.slots, batch_quantum), range(prompt_quantum, PREFILLS, prompt_quantum)
            )
            if all(
                equal(attention_length - 1, rows or self.slots, prompts or PREFILLS)
                for rows, prompts in shapes
                for attention_length in self._attention_lengths
            ):
                break
        self._keys.zero_()
        self._values.zero_()
        return self.batch_quantum, self._attention_lengths


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
