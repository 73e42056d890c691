"""A Llama in fp32 whose every row of a batch is computed bit for bit as if it were alone."""

from __future__ import annotations

import os
from itertools import zip_longest

import torch
import torch.nn.functional as F
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from .exits import Exit, Refusal
from .weights import Shape, Weights

CHUNK = 16  # prompt tokens that one prefill pass takes of a request
PREFILLS = 16  # requests that one prefill pass takes
NARROW = 512  # a model of less width is computed by one thread: to hand its small products over takes longer than they do
_LAYER = (
    "input_layernorm",
    *(f"self_attn.{side}_proj" for side in "qkvo"),
    "post_attention_layernorm",
    *(f"mlp.{side}_proj" for side in ("gate", "up", "down")),
)

_found: dict[tuple, tuple[int, list[int]]] = {}  # grain and reaches, by what chooses the kernels


class Llama:
    """Weights and key-value cache of `slots` requests (and one spare row that padding writes to).

    What makes a row independent of its neighbours: attention is a plain softmax(q k^T) v over a masked cache; a prompt
    is cut at multiples of CHUNK, whoever else is there; and the shapes of a pass, which do depend on the others, are
    only such as this machine's kernels were found at start to give each row the same bits in: numbers of rows that are
    multiples of `grain`, and some reaches, which are how many places of the cache attention looks at.
    """

    def __init__(self, weights: Weights, slots: int, threads: int):
        self.weights, config = weights, weights.shape
        self.threads = threads if config.hidden_size >= NARROW else 1
        torch.set_num_threads(self.threads)  # of this thread: shapes are found under those that will compute
        self.context: int = config.max_position_embeddings
        self.vocabulary: int = config.vocab_size
        self._eps, self._tied = config.rms_norm_eps, config.tie_word_embeddings
        self._heads, self._kv, self._size = config.num_attention_heads, config.num_key_value_heads, config.head_dim
        self.slots = -(-slots // PREFILLS) * PREFILLS
        length = -(-self.context // CHUNK) * CHUNK
        shape = (config.num_hidden_layers, self.slots + 1, self._kv, length, self._size)
        _check_memory(weights.folder, shape)
        self._keys, self._values = torch.zeros(shape), torch.zeros(shape)
        self._places = torch.arange(length)
        self._cos, self._sin = rotations(config, self._places)
        self._arrange(config.num_hidden_layers)
        matrices = (self._head, *self._layers[0].values())
        kernels = (self.threads, shape, *(matrix.shape for matrix in matrices))
        if kernels not in _found:
            _found[kernels] = self._find_shapes(length)
        self.grain, self._reaches = _found[kernels]

    def decode(self, tokens: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Logits [n, vocabulary] after one more token for each of slots 0..n-1, n a multiple of `grain`.

        `tokens`, `positions`: [n].
        """
        hidden = self._forward(tokens[:, None], positions[:, None], slice(0, len(tokens)))
        return self.head(hidden[:, 0])

    def prefill(self, tokens: torch.Tensor, starts: torch.Tensor, slots: torch.Tensor) -> torch.Tensor:
        """Hidden states [n, CHUNK, width] of one more chunk for each of `slots`.

        `tokens`: [n, CHUNK], `starts` (the chunks' first positions, multiples of CHUNK) and `slots`: [n].
        """
        count, share = len(slots), max(2, self.grain // CHUNK)
        spare = -count % share
        tokens, starts, slots = (
            F.pad(tokens, (0, 0, 0, spare)),
            F.pad(starts, (0, spare)),
            F.pad(slots, (0, spare), value=self.slots),
        )
        return self._forward(tokens, starts[:, None] + torch.arange(CHUNK), slots)[:count]

    def head(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits [n, vocabulary] of hidden states [n, width]."""
        return F.linear(F.pad(hidden, (0, 0, 0, -len(hidden) % self.grain)), self._head)[: len(hidden)]

    def clear(self, slot: int) -> None:
        """Forgets a request whose numbers are not finite: masked or not, they would spoil the slot's next one."""
        self._keys[:, slot] = 0
        self._values[:, slot] = 0

    def _forward(self, tokens: torch.Tensor, positions: torch.Tensor, rows: slice | torch.Tensor) -> torch.Tensor:
        """Hidden states [n, t, width] of `tokens` [n, t] at `positions` [n, t] in cache rows `rows`."""
        count, width = tokens.shape
        x = F.embedding(tokens, self._embedding)
        cos, sin = self._cos[positions][:, None], self._sin[positions][:, None]
        last = int(positions.max())
        reach = next(reach for reach in self._reaches if reach > last)
        hidden_from = torch.zeros(count, width, reach).masked_fill_(
            self._places[:reach] > positions[..., None], -torch.inf
        )
        where = torch.arange(count)[:, None] if isinstance(rows, slice) else rows[:, None]

        def heads(h: torch.Tensor, weight: torch.Tensor, number: int) -> torch.Tensor:
            return F.linear(h, weight).view(count, width, number, self._size).transpose(1, 2)

        for layer, w in enumerate(self._layers):
            h = F.rms_norm(x, x.shape[-1:], w["input_layernorm"], self._eps)
            q = _rotate(heads(h, w["self_attn.q_proj"], self._heads), cos, sin) * self._size**-0.5
            self._keys[layer][where, :, positions] = _rotate(
                heads(h, w["self_attn.k_proj"], self._kv), cos, sin
            ).transpose(1, 2)
            self._values[layer][where, :, positions] = heads(h, w["self_attn.v_proj"], self._kv).transpose(1, 2)
            keys, values = self._keys[layer][rows, :, :reach], self._values[layer][rows, :, :reach]
            scores = q.reshape(count, self._kv, -1, self._size) @ keys.mT
            scores = scores.view(count, self._heads, width, -1).add_(hidden_from[:, None])
            seen = scores.softmax(-1).view(count, self._kv, -1, reach) @ values
            seen = seen.view(count, self._heads, width, self._size).transpose(1, 2).reshape(count, width, -1)
            x = x + F.linear(seen, w["self_attn.o_proj"])
            h = F.rms_norm(x, x.shape[-1:], w["post_attention_layernorm"], self._eps)
            x = x + F.linear(
                F.silu(F.linear(h, w["mlp.gate_proj"])) * F.linear(h, w["mlp.up_proj"]), w["mlp.down_proj"]
            )
        return F.rms_norm(x, x.shape[-1:], self._norm, self._eps)

    def _arrange(self, layers: int) -> None:
        """Finds each tensor that a pass needs."""
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
        """The `grain` and reaches with which a row has the bits that it has in the largest batch at full reach.

        Kernels change with the number of rows, by machine and threads: with 2 threads of an AMD EPYC a row has other
        bits among 5 rows than among 64, but the same among any multiple of 4. More reach only adds zeros to a sum,
        but a kernel may add in another order. What does not fit is not used; in the end every batch is the largest.
        It is the same for all models of one shape, so the first that is loaded finds it for the others.
        """
        chance = torch.Generator().manual_seed(0)
        tokens = torch.randint(self.vocabulary, (self.slots,), generator=chance)
        chunks = torch.randint(self.vocabulary, (PREFILLS, CHUNK), generator=chance)
        self._keys.normal_(generator=chance)
        self._values.normal_(generator=chance)

        def compute(last: int, rows: int, prompts: int) -> tuple[torch.Tensor, torch.Tensor]:
            """A chunk and then a token, both of which end at place `last`."""
            hidden = self.prefill(chunks[:prompts], torch.full((prompts,), last + 1 - CHUNK), torch.arange(prompts))
            return hidden, self.decode(tokens[:rows], torch.full((rows,), last))

        def equal(last: int, rows: int, prompts: int) -> bool:
            return all(
                torch.equal(part, whole[: len(part)]) for part, whole in zip(compute(last, rows, prompts), full[last])
            )

        candidates = [reach for power in range(length.bit_length()) if (reach := CHUNK << power) < length]
        lasts = [reach - 1 for reach in (*candidates, length)]
        self.grain, self._reaches = 1, [length]
        full = {last: compute(last, self.slots, PREFILLS) for last in lasts}
        for reach in reversed(candidates):
            self._reaches.insert(0, reach)
            if not equal(reach - 1, self.slots, PREFILLS):
                del self._reaches[0]
        for grain in (8, 16, 32, 64, 128, max(self.slots, PREFILLS * CHUNK)):
            self.grain = grain
            share = max(2, grain // CHUNK)
            shapes = zip_longest(range(grain, self.slots, grain), range(share, PREFILLS, share))
            if all(
                equal(reach - 1, rows or self.slots, prompts or PREFILLS)
                for rows, prompts in shapes
                for reach in self._reaches
            ):
                break
        self._keys.zero_()
        self._values.zero_()
        return self.grain, self._reaches


def _rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotary position embedding (Su et al. 2021) in the half-split layout of Hugging Face's Llama."""
    half = x.shape[-1] // 2
    return x * cos + torch.cat((-x[..., half:], x[..., :half]), -1) * sin


def rotations(config: Shape, places: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines [length, head size] of every place, bit for bit those of Hugging Face's Llama."""
    rope = config.rope_parameters
    if rope["rope_type"] == "default":
        powers = torch.arange(0, config.head_dim, 2, dtype=torch.int64).float() / config.head_dim
        frequencies, scale = 1.0 / rope["rope_theta"] ** powers, 1.0
    else:
        frequencies, scale = ROPE_INIT_FUNCTIONS[rope["rope_type"]](config, "cpu")
    angles = (places[:, None].float() * frequencies).repeat(1, 2)
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
