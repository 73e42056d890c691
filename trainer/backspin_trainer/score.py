"""The `score` verb: log-probabilities and entropies of continuations, and the KL divergences between two prompts.

With x a prompt, x' the second prompt and y a continuation, for each token t, in nats:

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

from .adapters import merged_folder
from .exits import Exit, Refusal
from .heads import Head
from .models import context_of, read_model, replacing
from .parts import BatchJob, run_job
from .rows import are_turns, read_rows, row_refusal
from .spec import ScoreSpec
from .stop import Stop
from .tokens import (
    continuation_tokens,
    fingerprint,
    raw_prompt_tokens,
    read_tokenizer,
    template_tokens,
    tokenizer_folder,
    turn_tokens,
)

_PART = 256  # rows of one answer file
_POSITIONS = 128  # whose distributions are in memory at once
_LISTS = ("logprobs", "entropies")
_SECOND = (*_LISTS, "kl", "reverseKl")


@dataclass(frozen=True)
class Sequence:
    """Token ids to score after a prompt, and optionally to compare with the same ids after a second prompt."""

    prompt: list[int]
    ids: list[int]
    second_prompt: list[int] | None = None

    @property
    def length(self) -> int:
        """In tokens, with the longer prompt."""
        return max(len(self.prompt), len(self.second_prompt or ())) + len(self.ids)


def score(spec: ScoreSpec, stop: Stop) -> Exit:
    """Writes a line for each row of `spec.rows`, in order, to `answers.jsonl`: `{"answers": [...]}`, one per request.

    An answer has lists with a number (nats, of the fp32 log-softmax) for each of the continuation's `ids`: `logprobs`
    and `entropies`. With a `secondPrompt`, `second` has the same lists under that prompt, and with q its distribution
    `kl`, KL(q || p), and `reverseKl`, KL(p || q). With `includeEos` the continuation is a whole turn, tokenized as in
    training, with its `fingerprint` as `hash`. Or the answer is `tooLong` or `rejected`, with the reason.

    A killed run resumes from the parts in `scores/`. Equal specs give equal bytes. Raises Refusal.
    """

    def open_model() -> Callable[[Path, list[list[dict]]], None]:
        tokenizer = read_tokenizer(tokenizer_folder(spec.model), spec.model.base or spec.model.folder)
        scorer = Scorer(_open_model(spec), spec.batch)
        return lambda file, rows: _save(file, _answers(scorer, tokenizer, rows))

    def answers(_: list[list[dict]], files: list[Path]) -> Iterator[str]:
        return (line for file in files for line in file.open())

    read = lambda: list(_read_requests(spec.rows))  # noqa: E731
    return run_job(spec, stop, BatchJob(read, _PART, "scores/{:05}.jsonl", open_model, answers))


class Scorer:
    """A causal LM split into its body and its head (the model's own way from hidden states to logits).

    The head runs on a few positions at a time, so no [tokens, vocabulary] tensor of a whole sequence is in memory. An
    architecture that cannot be split so (OPT, Falcon-H1) computes one.
    """

    def __init__(self, model: PreTrainedModel, batch: int):
        """`batch` is the number of sequences in a forward pass."""
        self.context = context_of(model.config)
        self.vocabulary: int = model.get_input_embeddings().num_embeddings
        self._model, self._head, self._batch = model, Head(model), batch

    @torch.inference_mode()
    def score(self, sequences: list[Sequence]) -> list[torch.Tensor]:
        """For each sequence [2, tokens]: log-probabilities and entropies. With a second prompt [6, tokens]: then those
        under the second prompt, KL(q || p) and KL(p || q).

        Sequences are batched by length, in any order. Those that differ only in their last token, such as ratings,
        share one forward pass of the body. Raises Refusal 66 if the model has diverged.
        """
        scored = [torch.empty(2 if sequence.second_prompt is None else 6, 0) for sequence in sequences]
        for with_second in (False, True):
            groups: dict[tuple, list[int]] = {}  # indices of sequences that differ only in their last token
            for at, one in enumerate(sequences):
                if one.ids and (one.second_prompt is not None) == with_second:
                    key = (*map(tuple, (one.prompt, one.ids[:-1], one.second_prompt or ())),)
                    groups.setdefault(key, []).append(at)
            ordered = sorted(groups.values(), key=lambda indices: sequences[indices[0]].length)
            for start in range(0, len(ordered), self._batch):
                batch = ordered[start : start + self._batch]
                values = self._score([[sequences[at] for at in indices] for indices in batch], with_second)
                for at, own in zip((at for indices in batch for at in indices), values):
                    scored[at] = own
        return scored

    def _score(self, groups: list[list[Sequence]], with_second: bool) -> tuple[torch.Tensor, ...]:
        """The values of all sequences in order. Those of one group differ only in their last token."""
        firsts, sequences = [group[0] for group in groups], [one for group in groups for one in group]
        states = [self._states([(one.prompt, one.ids) for one in firsts])]
        if with_second:
            states.append(self._states([(one.second_prompt, one.ids) for one in firsts]))
        if len(sequences) > len(firsts):
            lengths = [len(one.ids) for one in firsts]
            states = [
                torch.cat([own for own, group in zip(hidden.split(lengths), groups) for _ in group])
                for hidden in states
            ]
        ids = torch.tensor([token for one in sequences for token in one.ids], device=states[0].device)
        chunks = zip(ids.split(_POSITIONS), *(hidden.split(_POSITIONS) for hidden in states))
        values = torch.cat([self._values(targets, hidden) for targets, *hidden in chunks], 1).cpu()
        if not values.isfinite().all():
            raise Refusal(Exit.MODEL, "The model gave numbers that are not finite; it has diverged. Train it again.")
        return values.split([len(one.ids) for one in sequences], 1)

    def _states(self, texts: list[tuple[list[int], list[int]]]) -> torch.Tensor:
        """What predicts the continuations' tokens, of all texts in order: hidden states [tokens, width], or logits.

        Padding is on the right, where causal attention does not look, so it needs no mask.
        """
        rows = [prompt + ids[:-1] for prompt, ids in texts]
        longest = max(map(len, rows))
        tokens = torch.tensor([row + [0] * (longest - len(row)) for row in rows], device=self._model.device)
        if self._head.is_separate:
            hidden = self._head.body(input_ids=tokens, use_cache=False).last_hidden_state
        else:
            hidden = self._model(input_ids=tokens, use_cache=False).logits
        return torch.cat([hidden[at, len(prompt) - 1 : len(rows[at])] for at, (prompt, _) in enumerate(texts)])

    def _values(self, ids: torch.Tensor, states: list[torch.Tensor]) -> torch.Tensor:
        """Values [2 or 6, positions] from hidden states [positions, width] after the first and the second prompt."""
        logits = [self._head(hidden) for hidden in states] if self._head.is_separate else states
        logps = [own.float().log_softmax(-1) for own in logits]
        ps = [logp.exp() for logp in logps]
        values = []
        for p, logp in zip(ps, logps):
            values += [logp.gather(1, ids[:, None])[:, 0], -torch.linalg.vecdot(p, logp).clamp(max=0)]
        if len(states) > 1:
            log_ratio = logps[1].sub_(logps[0])
            values += [
                torch.linalg.vecdot(ps[1], log_ratio).clamp(min=0),
                -torch.linalg.vecdot(ps[0], log_ratio).clamp(max=0),
            ]
        return torch.stack(values)


def _answers(scorer: Scorer, tokenizer: PreTrainedTokenizerBase, rows: list[list[dict]]) -> list[dict[str, Any]]:
    """The output lines of a part."""
    answers = [[_sequence(scorer, tokenizer, request) for request in requests] for requests in rows]
    scored = [
        (row, at, request)
        for requests, row in zip(rows, answers)
        for at, request in enumerate(requests)
        if isinstance(row[at], Sequence)
    ]
    for (row, at, request), values in zip(scored, scorer.score([row[at] for row, at, _ in scored])):
        ids, lists = row[at].ids, [[float(f"{value:.9g}") for value in numbers] for numbers in values.tolist()]
        row[at] = {"ids": ids} | dict(zip(_LISTS, lists))
        if len(lists) > len(_LISTS):
            row[at]["second"] = dict(zip(_SECOND, lists[len(_LISTS) :]))
        if request.get("includeEos"):
            row[at]["hash"] = fingerprint(tokenizer, request["continuation"], ids)
    return [{"answers": row} for row in answers]


def _sequence(scorer: Scorer, tokenizer: PreTrainedTokenizerBase, request: dict[str, Any]) -> Sequence | dict[str, str]:
    """The token ids of a request, or the answer that says why it cannot be scored."""
    prompt, continuation, second_prompt = request["prompt"], request["continuation"], request.get("secondPrompt")
    try:
        if not request.get("includeEos"):
            before, ids = _prompt_tokens(tokenizer, prompt), continuation_tokens(tokenizer, continuation)
        elif "messages" not in prompt or "prefill" in prompt:
            return {"rejected": "a continuation that ends its turn needs messages without prefill for a prompt"}
        else:
            before, ids = turn_tokens(tokenizer, prompt["messages"], continuation)
        sequence = Sequence(before, ids, second_prompt and _prompt_tokens(tokenizer, second_prompt))
    except ValueError as error:
        return {"rejected": f"the conversation {error}"}
    if sequence.length >= scorer.context:
        has = f"prompt and continuation have {sequence.length} tokens"
        return {"tooLong": f"{has}, the context {scorer.context} for them and one more"}
    if not sequence.prompt or sequence.second_prompt == []:
        return {"rejected": "the prompt has no tokens, so nothing predicts the first of the continuation"}
    highest = max(sequence.prompt + sequence.ids + (sequence.second_prompt or []))
    if highest >= scorer.vocabulary:
        return {"rejected": f"token {highest} is not in the model's vocabulary"}
    return sequence


def _prompt_tokens(tokenizer: PreTrainedTokenizerBase, prompt: dict[str, Any]) -> list[int]:
    """Token ids as the server makes them; `prefill` opens the last turn. Raises ValueError, as `turn_tokens`."""
    if "tokens" in prompt:
        return prompt["tokens"]
    if "text" in prompt:
        return raw_prompt_tokens(tokenizer, prompt["text"])
    opened = [{"role": "assistant", "content": prompt["prefill"]}] if "prefill" in prompt else []
    try:
        return template_tokens(tokenizer, prompt["messages"] + opened, not opened, bool(opened))
    except ValueError as error:
        raise ValueError(f"cannot be rendered by the model's chat template ({error})") from error


def _open_model(spec: ScoreSpec) -> PreTrainedModel:
    """The model: on a GPU in its own dtype (an adapter: in that of its base), on a CPU in fp32."""
    folder = merged_folder(spec.model, Path(spec.run))
    if not torch.cuda.is_available():
        return read_model(folder, 0.0).eval()
    base = spec.model.base
    dtype = AutoConfig.from_pretrained(base, local_files_only=True).dtype if base else "auto"
    return read_model(folder, 0.0, dtype or "auto").eval().to("cuda")


def _read_requests(path: str) -> Iterator[list[dict]]:
    for line, row in read_rows(path):
        requests = row.get("requests")
        if not isinstance(requests, list) or not all(_is_request(request) for request in requests):
            raise row_refusal(
                path,
                line,
                'needs "requests", a list of {"prompt", "continuation"}, maybe with "includeEos" and "secondPrompt"; '
                'a prompt is {"messages"}, with "prefill" or without, {"text"} or {"tokens"}',
            )
        yield requests


def _is_request(request: Any) -> bool:
    return (
        isinstance(request, dict)
        and {"prompt", "continuation"} <= set(request) <= {"prompt", "continuation", "includeEos", "secondPrompt"}
        and isinstance(request["continuation"], str)
        and isinstance(request.get("includeEos", False), bool)
        and all(_is_prompt(request[key]) for key in ("prompt", "secondPrompt") if key in request)
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
