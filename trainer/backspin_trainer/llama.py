"""A Llama in fp32 whose every row of a batch is computed bit for bit as if it were alone."""

from __future__ import annotations

import json
import os
from itertools import zip_longest
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from transformers import PreTrainedConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from .exits import Exit, Refusal, first_line

CHUNK = 32  # prompt tokens that one prefill pass takes of a request
PREFILLS = 8  # requests that one prefill pass takes


class Shape(PreTrainedConfig):
    """A Llama's config.json. Transformers' own class reads the same, but imports two seconds of code that is not used."""

    model_type = "llama"
    vocab_size: int = 32000
    hidden_size: int = 4096
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    hidden_act: str = "silu"
    max_position_embeddings: int = 2048
    rms_norm_eps: float = 1e-6
    tie_word_embeddings: bool = False
    rope_parameters: dict | None = None
    attention_bias: bool = False
    mlp_bias: bool = False

    def __post_init__(self, **rest):
        if self.head_dim is None:
            self.head_dim = self.hidden_size // self.num_attention_heads
        if self.num_key_value_heads is None:
            self.num_key_value_heads = self.num_attention_heads
        super().__post_init__(**rest)


class Llama:
    """Weights and key-value cache of `slots` requests (and one spare row that padding writes to).

    What makes a row independent of its neighbours: attention is a plain softmax(q k^T) v over a masked cache; a prompt
    is cut at multiples of CHUNK, whoever else is there; and the shapes of a pass, which do depend on the others, are
    only such as this machine's kernels were found at start to give each row the same bits in: numbers of rows that are
    multiples of `grain`, and some reaches, which are how many places of the cache attention looks at.
    """

    def __init__(self, folder: str, slots: int):
        config = read_config(folder)
        self.context: int = config.max_position_embeddings
        self.vocabulary: int = config.vocab_size
        self._eps, self._tied = config.rms_norm_eps, config.tie_word_embeddings
        self._heads, self._kv, self._size = config.num_attention_heads, config.num_key_value_heads, config.head_dim
        self.slots = -(-slots // 8) * 8
        length = -(-self.context // CHUNK) * CHUNK
        shape = (config.num_hidden_layers, self.slots + 1, self._kv, length, self._size)
        _check_memory(folder, shape)
        self._keys, self._values = torch.zeros(shape), torch.zeros(shape)
        self._places = torch.arange(length)
        self._cos, self._sin = rotations(config, self._places)
        self._load(folder, config.num_hidden_layers)
        self.grain = 1
        self._reaches = [reach for power in range(length.bit_length()) if (reach := CHUNK << power) < length] + [length]
        self._find_shapes()

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
        count, share = len(slots), max(1, self.grain // CHUNK)
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

    def _load(self, folder: str, layers: int) -> None:
        try:
            weights = {
                name: value.float()
                for path in sorted(Path(folder).glob("*.safetensors"))
                for name, value in load_file(path).items()
            }
            self._embedding, self._norm = weights["model.embed_tokens.weight"], weights["model.norm.weight"]
            self._head = self._embedding if self._tied else weights["lm_head.weight"]
            self._layers = [
                {
                    name.removeprefix(f"model.layers.{layer}.").removesuffix(".weight"): value
                    for name, value in weights.items()
                    if name.startswith(f"model.layers.{layer}.")
                }
                for layer in range(layers)
            ]
        except KeyError as error:
            raise Refusal(
                Exit.MODEL, f"The model in {folder} lacks the weight {error}; replace its safetensors files."
            ) from error
        except Exception as error:
            raise Refusal(
                Exit.MODEL, f"Cannot load the weights in {folder}: {error}. Replace its safetensors files."
            ) from error
        if not all(value.isfinite().all() for value in weights.values()):
            raise Refusal(Exit.MODEL, f"The model in {folder} has weights that are not finite; train it again.")

    def _find_shapes(self) -> None:
        """Finds the `grain` and reaches with which a row has the bits that it has in the largest batch at full reach.

        Kernels change with the number of rows, by machine and threads: with 2 threads of an AMD EPYC a row has other
        bits among 5 rows than among 64, but the same among any multiple of 4. More reach only adds zeros to a sum,
        but a kernel may add in another order. What does not fit is not used; in the end every batch is the largest.
        """
        chance, length = torch.Generator().manual_seed(0), self._reaches[-1]
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

        lasts = [reach - 1 for reach in self._reaches]
        self._reaches, candidates = [length], self._reaches
        full = {last: compute(last, self.slots, PREFILLS) for last in lasts}
        for reach in reversed(candidates[:-1]):
            self._reaches.insert(0, reach)
            if not equal(reach - 1, self.slots, PREFILLS):
                del self._reaches[0]
        for grain in (8, 16, 32, 64, 128, max(self.slots, PREFILLS * CHUNK)):
            self.grain = grain
            share = max(1, grain // CHUNK)
            shapes = zip_longest(range(grain, self.slots, grain), range(share, PREFILLS, share))
            if all(
                equal(reach - 1, rows or self.slots, prompts or PREFILLS)
                for rows, prompts in shapes
                for reach in self._reaches
            ):
                break
        self._keys.zero_()
        self._values.zero_()


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


def read_config(folder: str) -> Shape:
    path = Path(folder) / "config.json"
    try:
        kind = json.loads(path.read_text())["model_type"]
    except (OSError, ValueError, KeyError) as error:
        raise Refusal(
            Exit.MODEL, f"No model in {folder}: config.json is missing or broken; give the folder of a whole model."
        ) from error
    if kind != "llama":
        raise Refusal(
            Exit.MODEL,
            f"The model in {folder} is a '{kind}', and the embedded server runs 'llama' only; serve it with vLLM.",
        )
    try:
        config = Shape.from_pretrained(folder)
    except Exception as error:
        raise Refusal(
            Exit.MODEL, f"Cannot use the config.json in {folder}: {first_line(error)}. Repair or replace it."
        ) from error
    unusual = [
        name
        for name, is_so in (
            ("biases", config.attention_bias or config.mlp_bias),
            (f"activation {config.hidden_act}", config.hidden_act != "silu"),
        )
        if is_so
    ]
    if config.rope_parameters["rope_type"] not in ("default", "linear", "llama3"):
        unusual.append(f"rope type {config.rope_parameters['rope_type']}")
    if unusual:
        raise Refusal(
            Exit.MODEL,
            f"The model in {folder} has {' and '.join(unusual)}, which the embedded server lacks; serve it with vLLM.",
        )
    return config


def _check_memory(folder: str, shape: tuple[int, ...]) -> None:
    needed = 2 * 4 * torch.Size(shape).numel()
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > physical // 2:
        raise Refusal(
            Exit.MODEL,
            f"The key-value cache of {folder} would take {needed >> 30} GiB of this machine's {physical >> 30}: "
            "lower 'slots', or max_position_embeddings in its config.json, or serve it with vLLM.",
        )
