"""Replies in OpenAI's shape, and vLLM's where OpenAI has none."""

from __future__ import annotations

import time
import uuid
from typing import Any

from .engine import Job, Likelihood
from .protocol import Asked, Served


def usage(asked: Asked) -> dict[str, int]:
    """A prompt counts once, whatever `n`; an answer counts with its end token."""
    prompt, answers = len(asked.prompt), sum(len(job.tokens) for job in asked.jobs)
    return {"prompt_tokens": prompt, "completion_tokens": answers, "total_tokens": prompt + answers}


def chat_reply(asked: Asked) -> dict[str, Any]:
    def choice(index: int, job: Job) -> dict[str, Any]:
        content = [_chat_logprob(asked.model, likelihood) for likelihood in job.likelihoods]
        return {
            "index": index,
            "message": {"role": "assistant", "content": answer(asked, job)},
            "logprobs": None if job.logprobs is None else {"content": content},
            "finish_reason": job.finish,
        }

    return _envelope(asked, "chat.completion", "chatcmpl", [choice(index, job) for index, job in enumerate(asked.jobs)])


def completion_reply(asked: Asked) -> dict[str, Any]:
    def choice(index: int, job: Job) -> dict[str, Any]:
        return {
            "index": index,
            "text": answer(asked, job),
            "logprobs": None if job.logprobs is None else _completion_logprobs(asked, job),
            "finish_reason": job.finish,
            "prompt_logprobs": None if job.prompt_logprobs is None else _prompt_logprobs(asked.model, job),
        }

    return _envelope(asked, "text_completion", "cmpl", [choice(index, job) for index, job in enumerate(asked.jobs)])


def answer(asked: Asked, job: Job) -> str:
    """The text of an answer, cut before the first stop string in it."""
    text = asked.model.text(job.tokens)
    return text[: min((text.find(stop) for stop in asked.stop if stop in text), default=len(text))]


def _envelope(asked: Asked, kind: str, prefix: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": f"{prefix}-{uuid.uuid4().hex}",
        "object": kind,
        "created": int(time.time()),
        "model": asked.model.name,
        "choices": choices,
        "usage": usage(asked),
    }


def _token(model: Served, token: int) -> str:
    return model.tokenizer.decode([token], clean_up_tokenization_spaces=False)


def _chat_logprob(model: Served, likelihood: Likelihood) -> dict[str, Any]:
    def entry(token: int, logprob: float) -> dict[str, Any]:
        text = _token(model, token)
        return {"token": text, "logprob": logprob, "bytes": list(text.encode())}

    return {
        **entry(likelihood.token, likelihood.logprob),
        "top_logprobs": [entry(token, logprob) for token, logprob in likelihood.top],
    }


def _completion_logprobs(asked: Asked, job: Job) -> dict[str, Any]:
    model = asked.model

    def name(token: int) -> str:
        return f"token_id:{token}" if asked.names_ids else _token(model, token)

    tokens = [name(likelihood.token) for likelihood in job.likelihoods]
    offsets = [len(model.text(job.tokens[:count])) for count in range(len(tokens))]
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


def _prompt_logprobs(model: Served, job: Job) -> list[dict[str, Any] | None]:
    """vLLM's list: null for the first token, which nothing predicts, then one object a token, keyed by token id."""

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
