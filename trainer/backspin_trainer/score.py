"""The `score` verb: log-probabilities and entropies of continuations, and how far apart two contexts lie on each token.

With x a prompt, x' the one beside it and y a continuation, each number is of a token t, in nats:

    log p(y_t | x, y_<t);  H(p_t);  KL(q_t || p_t) and KL(p_t || q_t);  p_t = p(. | x, y_<t), q_t = p(. | x', y_<t)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import ModelOutput

from .adapters import whole
from .exits import Exit, Refusal
from .models import read_model, replacing
from .parts import Batch, work_off
from .rows import are_turns, bad, read_rows
from .spec import ScoreSpec
from .stop import Stop
from .tokens import continuation_tokens, fingerprint, read_tokenizer, template_tokens, tokenizer_folder, turn_tokens

_PART = 256  # rows whose answers are one file
_POSITIONS = 128  # whose distributions are held at once
_LISTS = ("logprobs", "entropies")
_BESIDE = (*_LISTS, "kl", "reverseKl")


@dataclass(frozen=True)
class Sequence:
    """Token ids to score after those of a prompt, and after those of another to compare it with."""

    prompt: list[int]
    ids: list[int]
    beside: list[int] | None = None

    @property
    def length(self) -> int:
        """In tokens, after the longer of the prompts."""
        return max(len(self.prompt), len(self.beside or ())) + len(self.ids)


def score(spec: ScoreSpec, stop: Stop) -> Exit:
    """Writes a line for each row of `spec.rows`, in order, to `answers.jsonl`: `{"answers": [...]}`, one an ask.

    An answer has a number for each of the continuation's `ids`, in nats, of the fp32 log-softmax: `logprobs` and
    `entropies`; where a prompt `beside` is given, the same under that one as `beside`, with `kl`, KL(q || p), and
    `reverseKl`, KL(p || q), q being the distribution under it; or it is `tooLong` or `rejected` and says why. A
    continuation that `ends` is a whole turn as training renders it, with the `hash` of its making. Parts that are done
    stay in `scores/`, so a run that was killed goes on; equal specs give equal bytes. Raises Refusal.
    """

    def open_model() -> Callable[[Path, list[list[dict]]], None]:
        tokenizer = read_tokenizer(tokenizer_folder(spec.model))
        scorer = Scorer(_open_model(spec), spec.batch)
        return lambda file, rows: _save(file, _answers(scorer, tokenizer, rows))

    def answers(_: list[list[dict]], files: list[Path]) -> Iterator[str]:
        return (line for file in files for line in file.open())

    read = lambda: list(_asked(spec.rows))  # noqa: E731
    return work_off(spec, stop, Batch(read, _PART, "scores/{:05}.jsonl", open_model, answers))


class Scorer:
    """A causal model in two: its body, and its own way from the body's hidden states to logits. That is taken for a few
    positions at a time, so the vocabulary is never held for a whole sequence."""

    def __init__(self, model: PreTrainedModel, batch: int):
        """`batch` sequences are in the model at once. The model is taken apart, and good for nothing else."""
        config = model.config.get_text_config()
        self.context: int | None = getattr(config, "max_position_embeddings", None)
        self.vocabulary: int = model.get_input_embeddings().num_embeddings
        self._body, self._rest, self._batch = model.base_model, model, batch
        self._given = _Given()
        setattr(model, model.base_model_prefix, self._given)

    @torch.inference_mode()
    def score(self, sequences: list[Sequence]) -> list[torch.Tensor]:
        """Of each sequence [2, tokens], log-probabilities and entropies; with `beside` [6, tokens], those under it and
        both divergences too.

        Batches hold sequences of like length, whatever the order they came in; those that differ in their last token
        alone, such as ratings, are read once. Raises Refusal 66 for a model that has diverged.
        """
        scored = [torch.empty(2 if one.beside is None else 6, 0) for one in sequences]
        for compared in (False, True):
            alike: dict[tuple, list[int]] = {}
            for at, one in enumerate(sequences):
                if one.ids and (one.beside is not None) == compared:
                    alike.setdefault((*map(tuple, (one.prompt, one.ids[:-1], one.beside or ())),), []).append(at)
            some = sorted(alike.values(), key=lambda places: sequences[places[0]].length)
            for start in range(0, len(some), self._batch):
                batch = some[start : start + self._batch]
                values = self._score([[sequences[at] for at in places] for places in batch], compared)
                for at, own in zip((at for places in batch for at in places), values):
                    scored[at] = own
        return scored

    def _score(self, alike: list[list[Sequence]], compared: bool) -> tuple[torch.Tensor, ...]:
        """Of the sequences of all lists, those of a list being alike but for the last token."""
        firsts, sequences = [some[0] for some in alike], [one for some in alike for one in some]
        states = [self._states([(one.prompt, one.ids) for one in firsts])]
        if compared:
            states.append(self._states([(one.beside, one.ids) for one in firsts]))
        lengths = [len(one.ids) for one in firsts]
        states = [
            torch.cat([own for own, some in zip(of.split(lengths), alike) for _ in some])
            if len(sequences) > len(firsts)
            else of
            for of in states
        ]
        ids = torch.tensor([token for one in sequences for token in one.ids], device=states[0].device)
        chunks = zip(ids.split(_POSITIONS), *(some.split(_POSITIONS) for some in states))
        values = torch.cat([self._values(targets, some) for targets, *some in chunks], 1).cpu()
        if not values.isfinite().all():
            raise Refusal(Exit.MODEL, "The model gave numbers that are not finite; it has diverged. Train it again.")
        return values.split([len(one.ids) for one in sequences], 1)

    def _states(self, texts: list[tuple[list[int], list[int]]]) -> torch.Tensor:
        """The hidden states [tokens, width] that predict the continuations' tokens, of one text after the other.

        Padding is on the right, where causal attention does not look, so it needs no mask.
        """
        rows = [prompt + ids[:-1] for prompt, ids in texts]
        longest = max(map(len, rows))
        tokens = torch.tensor([row + [0] * (longest - len(row)) for row in rows], device=self._rest.device)
        output = self._body(input_ids=tokens, use_cache=False)
        hidden, self._given.kind = output.last_hidden_state, type(output)
        return torch.cat([hidden[at, len(prompt) - 1 : len(rows[at])] for at, (prompt, _) in enumerate(texts)])

    def _values(self, ids: torch.Tensor, states: list[torch.Tensor]) -> torch.Tensor:
        """[2 or 6, positions], of hidden states [positions, width] after one prompt or after each of two."""
        logps = [self._rest(inputs_embeds=some[None]).logits[0].float().log_softmax(-1) for some in states]
        ps = [logp.exp() for logp in logps]
        values = []
        for p, logp in zip(ps, logps):
            values += [logp.gather(1, ids[:, None])[:, 0], -torch.linalg.vecdot(p, logp).clamp(max=0)]
        if len(states) > 1:
            apart = logps[1].sub_(logps[0])
            values += [
                torch.linalg.vecdot(ps[1], apart).clamp(min=0),
                -torch.linalg.vecdot(ps[0], apart).clamp(max=0),
            ]
        return torch.stack(values)


class _Given(torch.nn.Module):
    """Stands where a model's body stood, and gives as hidden states what the model is given as embeddings."""

    kind: type[ModelOutput]  # of the body's output

    def forward(self, *_: Any, inputs_embeds: torch.Tensor, **__: Any) -> ModelOutput:
        return self.kind(last_hidden_state=inputs_embeds)


def _answers(scorer: Scorer, tokenizer: PreTrainedTokenizerBase, rows: list[list[dict]]) -> list[dict[str, Any]]:
    """The lines of a part."""
    answers = [[_sequence(scorer, tokenizer, ask) for ask in asked] for asked in rows]
    found = [(row, at) for row in answers for at, one in enumerate(row) if isinstance(one, Sequence)]
    asks = [ask for asked, row in zip(rows, answers) for ask, one in zip(asked, row) if isinstance(one, Sequence)]
    for (row, at), ask, values in zip(found, asks, scorer.score([row[at] for row, at in found])):
        ids, lists = row[at].ids, [[float(f"{value:.9g}") for value in some] for some in values.tolist()]
        row[at] = {"ids": ids} | dict(zip(_LISTS, lists))
        if len(lists) > len(_LISTS):
            row[at]["beside"] = dict(zip(_BESIDE, lists[len(_LISTS) :]))
        if ask.get("ends"):
            row[at]["hash"] = fingerprint(tokenizer, ask["continuation"], ids)
    return [{"answers": row} for row in answers]


def _sequence(scorer: Scorer, tokenizer: PreTrainedTokenizerBase, ask: dict[str, Any]) -> Sequence | dict[str, str]:
    """The tokens of what is asked, or the answer that says why it cannot be scored."""
    prompt, continuation, beside = ask["prompt"], ask["continuation"], ask.get("beside")
    try:
        if not ask.get("ends"):
            before, ids = _prompt_tokens(tokenizer, prompt), continuation_tokens(tokenizer, continuation)
        elif "messages" not in prompt or "prefill" in prompt:
            return {"rejected": "a continuation that ends its turn needs messages without prefill for a prompt"}
        else:
            before, ids = turn_tokens(tokenizer, prompt["messages"], continuation)
        sequence = Sequence(before, ids, beside and _prompt_tokens(tokenizer, beside))
    except ValueError as error:
        return {"rejected": f"the conversation {error}"}
    if scorer.context and sequence.length >= scorer.context:
        has = f"prompt and continuation have {sequence.length} tokens"
        return {"tooLong": f"{has}, the context {scorer.context} for them and one more"}
    if not sequence.prompt or sequence.beside == []:
        return {"rejected": "the prompt has no tokens, so nothing predicts the first of the continuation"}
    most = max(sequence.prompt + sequence.ids + (sequence.beside or []))
    if most >= scorer.vocabulary:
        return {"rejected": f"token {most} is not in the model's vocabulary"}
    return sequence


def _prompt_tokens(tokenizer: PreTrainedTokenizerBase, prompt: dict[str, Any]) -> list[int]:
    """As the server makes them, with a turn that `prefill` opens to go on with. Raises ValueError, as `turn_tokens`."""
    if "tokens" in prompt:
        return prompt["tokens"]
    if "text" in prompt:
        return tokenizer.encode(prompt["text"])
    opened = [{"role": "assistant", "content": prompt["prefill"]}] if "prefill" in prompt else []
    try:
        return template_tokens(tokenizer, prompt["messages"] + opened, opens=not opened, continues=bool(opened))
    except ValueError as error:
        raise ValueError(f"cannot be rendered by the model's chat template ({error})") from error


def _open_model(spec: ScoreSpec) -> PreTrainedModel:
    """In the model's own dtype, an adapter in its base's, on a GPU; in fp32 on a CPU."""
    folder = whole(spec.model, Path(spec.run))
    if not torch.cuda.is_available():
        return read_model(folder, 0.0).eval()
    base = spec.model.base
    dtype = AutoConfig.from_pretrained(base, local_files_only=True).dtype if base else "auto"
    return read_model(folder, 0.0, dtype or "auto").eval().to("cuda")


def _asked(path: str) -> Iterator[list[dict]]:
    for line, row in read_rows(path):
        asked = row.get("asked")
        if not isinstance(asked, list) or not all(_is_ask(ask) for ask in asked):
            raise bad(
                path,
                line,
                'needs "asked", a list of {"prompt", "continuation"}, each with "ends" and "beside" or without; '
                'a prompt is {"messages"}, with "prefill" or without, {"text"} or {"tokens"}',
            )
        yield asked


def _is_ask(ask: Any) -> bool:
    return (
        isinstance(ask, dict)
        and {"prompt", "continuation"} <= set(ask) <= {"prompt", "continuation", "ends", "beside"}
        and isinstance(ask["continuation"], str)
        and isinstance(ask.get("ends", False), bool)
        and all(_is_prompt(ask[key]) for key in ("prompt", "beside") if key in ask)
    )


def _is_prompt(prompt: Any) -> bool:
    if not isinstance(prompt, dict):
        return False
    if set(prompt) == {"tokens"}:
        tokens = prompt["tokens"]
        return isinstance(tokens, list) and all(type(token) is int and token >= 0 for token in tokens)
    if set(prompt) == {"text"}:
        return isinstance(prompt["text"], str)
    return (
        {"messages"} <= set(prompt) <= {"messages", "prefill"}
        and are_turns(prompt["messages"])
        and isinstance(prompt.get("prefill", ""), str)
    )


def _save(file: Path, answers: list[dict[str, Any]]) -> None:
    with replacing(file) as partial:
        partial.write_text("".join(json.dumps(answer) + "\n" for answer in answers))
