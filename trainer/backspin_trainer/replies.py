"""Replies in OpenAI's format, or in vLLM's where OpenAI has none."""

from __future__ import annotations

import time
import uuid
from typing import Any

from .engine import Job, Likelihood
from .protocol import Generation, ServedModel


def usage(generation: Generation) -> dict[str, int]:
    """Token counts. The prompt counts once, for any `n`; an answer counts with its EOS token."""
    prompt, answers = len(generation.prompt), sum(len(job.tokens) for job in generation.jobs)
    return {"prompt_tokens": prompt, "completion_tokens": answers, "total_tokens": prompt + answers}


def chat_reply(generation: Generation) -> dict[str, Any]:
    def choice(index: int, job: Job) -> dict[str, Any]:
        content = [_chat_logprob(generation.model, likelihood) for likelihood in job.likelihoods]
        return {
            "index": index,
            "message": {"role": "assistant", "content": answer(generation, job)},
            "logprobs": None if job.logprobs is None else {"content": content},
            "finish_reason": job.finish,
        }

    choices = [choice(index, job) for index, job in enumerate(generation.jobs)]
    return _envelope(generation, "chat.completion", "chatcmpl", choices)


def completion_reply(generation: Generation) -> dict[str, Any]:
    def choice(index: int, job: Job) -> dict[str, Any]:
        return {
            "index": index,
            "text": answer(generation, job),
            "logprobs": None if job.logprobs is None else _completion_logprobs(generation, job),
            "finish_reason": job.finish,
            "prompt_logprobs": None if job.prompt_logprobs is None else _prompt_logprobs(generation.model, job),
        }

    choices = [choice(index, job) for index, job in enumerate(generation.jobs)]
    return _envelope(generation, "text_completion", "cmpl", choices)


def answer(generation: Generation, job: Job) -> str:
    """The text of an answer, cut before the first stop string in it."""
    text = generation.model.text(job.tokens, generation.continues)
    return text[: min((text.find(stop) for stop in generation.stop if stop in text), default=len(text))]


def _envelope(generation: Generation, kind: str, prefix: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": f"{prefix}-{uuid.uuid4().hex}",
        "object": kind,
        "created": int(time.time()),
        "model": generation.model.name,
        "choices": choices,
        "usage": usage(generation),
    }


def _token(model: ServedModel, token: int) -> str:
    return model.tokenizer.decode([token], clean_up_tokenization_spaces=False)


def _chat_logprob(model: ServedModel, likelihood: Likelihood) -> dict[str, Any]:
    def entry(token: int, logprob: float) -> dict[str, Any]:
        text = _token(model, token)
        return {"token": text, "logprob": logprob, "bytes": list(text.encode())}

    return {
        **entry(likelihood.token, likelihood.logprob),
        "top_logprobs": [entry(token, logprob) for token, logprob in likelihood.top],
    }


def _completion_logprobs(generation: Generation, job: Job) -> dict[str, Any]:
    model = generation.model

    def name(token: int) -> str:
        return f"token_id:{token}" if generation.token_ids_as_names else _token(model, token)

    tokens = [name(likelihood.token) for likelihood in job.likelihoods]
    offsets = [len(model.text(job.tokens[:count], generation.continues)) for count in range(len(tokens))]
    return {
        "tokens": tokens,
        "token_logprobs": [likelihood.logprob for likelihood in job.likelihoods],
        "top_logprobs": [
            {
                name(token): logprob
                for token, logprob in [*likelihood.top, (likelihood.token, likelihood.logprob)]
            }
            for likelihood in job.likelihoods
        ],
        "text_offset": offsets,
    }


def _prompt_logprobs(model: ServedModel, job: Job) -> list[dict[str, Any] | None]:
    """As in vLLM: null for the first token, which nothing predicts, then an object per token, keyed by token id."""

    def entry(token: int, logprob: float, rank: int) -> dict[str, Any]:
        return {"logprob": logprob, "rank": rank, "decoded_token": _token(model, token)}

    def of(likelihood: Likelihood) -> dict[str, Any]:
        own = {str(likelihood.token): entry(likelihood.token, likelihood.logprob, likelihood.rank)}
        return own | {
            str(token): entry(token, logprob, rank)
            for rank, (token, logprob) in enumerate(likelihood.top, 1)
            if token != likelihood.token
        }

    return [None, *map(of, job.prompt_likelihoods)]
