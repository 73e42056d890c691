"""Continuous batching: sequences join and leave the running batch at every step, in the engine's thread."""

from __future__ import annotations

import collections
import os
import random
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from .exits import Exit
from .llama import CHUNK, CHUNKS, Llama
from .sampling import Row, Sampling, choose


@dataclass
class Likelihood:
    """Log-probability (nats) and rank (from 1) of a token, before sampling, and the `top` most likely tokens."""

    token: int
    logprob: float
    rank: int
    top: list[tuple[int, float]]


@dataclass(eq=False)
class Job:
    """One sequence: an answer to a prompt. The engine calls `done` after it sets `finish`, unless cancelled."""

    prompt: list[int]
    max_tokens: int
    sampling: Sampling
    eos_token_ids: frozenset[int]
    random: random.Random
    stopped: Callable[[list[int]], bool] | None = None
    choices: list[list[int]] | None = None  # the answers that may be given, each with its EOS token
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    cancelled: bool = False
    tokens: list[int] = field(default_factory=list)
    likelihoods: list[Likelihood] = field(default_factory=list)
    prompt_likelihoods: list[Likelihood] = field(default_factory=list)
    finish: str | None = None  # "stop", "length", or "error" if the model returned non-finite values
    done: Callable[[], None] | None = None
    filled: int = 0  # tokens of prompt and answer in the KV cache

    @property
    def allowed(self) -> list[int] | None:
        """The tokens that may come next; None: all."""
        if self.choices is None:
            return None
        place = len(self.tokens)
        return sorted({one[place] for one in self.choices if one[:place] == self.tokens and len(one) > place})

    def accept(self, token: int) -> None:
        """Appends the next token of the answer, and sets `finish` if it is the last."""
        self.tokens.append(token)
        if token in self.eos_token_ids or (self.stopped and self.stopped(self.tokens)):
            self.finish = "stop"
        elif len(self.tokens) == self.max_tokens:
            self.finish = "length"


class BatchScheduler:
    """The sequences of one model: those that run in its slots, and those that wait for a slot."""

    def __init__(self, model: Llama):
        self.model = model
        self.waiting: collections.deque[Job] = collections.deque()
        self.jobs: list[Job | None] = [None] * model.slots

    @property
    def running(self) -> int:
        return sum(job is not None for job in self.jobs)

    def step(self) -> None:
        """Fills free slots, lowest first; prefills up to CHUNKS chunks of prompts; decodes a token of each answer."""
        torch.set_num_threads(self.model.threads)
        for slot, job in enumerate(self.jobs):
            if job is not None and job.cancelled:
                self.jobs[slot] = job = None
            while job is None and self.waiting:
                job = self.waiting.popleft()
                self.jobs[slot] = job = None if job.cancelled else job
        prompts = [slot for slot, job in enumerate(self.jobs) if job and job.filled < len(job.prompt)]
        if prompts:
            self._prefill(prompts)
        answers = [slot for slot, job in enumerate(self.jobs) if job and job.filled >= len(job.prompt)]
        if answers:
            self._decode(answers)

    def _prefill(self, slots: list[int]) -> None:
        parts = self._next_chunks(slots)
        tokens = torch.tensor([chunk + [0] * (CHUNK - len(chunk)) for _, _, chunk in parts])
        starts, rows = (torch.tensor([part[side] for part in parts]) for side in (1, 0))
        hidden = self.model.prefill(tokens, starts, rows)
        finished = []
        finite = hidden.isfinite().all(-1).all(-1).tolist()
        for row, (slot, _, chunk) in enumerate(parts):
            job = self.jobs[slot]
            if job is None:  # an earlier chunk of it had failed
                continue
            if not finite[row]:
                self._fail(slot)
                continue
            if job.prompt_logprobs is not None:
                self._score_prompt(job, hidden[row], len(chunk))
            job.filled += len(chunk)
            if job.filled == len(job.prompt):
                if job.max_tokens:
                    finished.append((slot, row, len(chunk) - 1))
                else:
                    job.finish = "length"
                    self._release(slot)
        if finished:
            _, rows, lasts = zip(*finished)
            self._advance([slot for slot, _, _ in finished], self.model.head(hidden[list(rows), list(lasts)]))

    def _next_chunks(self, slots: list[int]) -> list[tuple[int, int, list[int]]]:
        """Up to CHUNKS chunks (slot, first position, tokens): one of each prompt, then a second of each, and so on."""
        parts: list[tuple[int, int, list[int]]] = []
        ahead = 0
        while len(parts) < CHUNKS:
            starts = [(slot, self.jobs[slot].filled + ahead) for slot in slots]
            left = [(slot, start) for slot, start in starts if start < len(self.jobs[slot].prompt)]
            if not left:
                break
            parts += [(slot, start, self.jobs[slot].prompt[start : start + CHUNK]) for slot, start in left]
            ahead += CHUNK
        return parts[:CHUNKS]

    def _decode(self, slots: list[int]) -> None:
        """Decodes all slots up to the last of `slots`. The others write where their next token overwrites it."""
        count = self.model.shapes.decode.rounded(slots[-1] + 1)
        jobs = (self.jobs + [None] * count)[:count]
        tokens = torch.tensor([job.tokens[-1] if job and job.tokens else 0 for job in jobs])
        logits = self.model.decode(tokens, torch.tensor([job.filled if job else 0 for job in jobs]))
        for slot in slots:
            self.jobs[slot].filled += 1
        self._advance(slots, logits[slots])

    def _advance(self, slots: list[int], logits: torch.Tensor) -> None:
        """Samples the next token of each of `slots` from its row of `logits` [n, vocabulary]."""
        jobs = [self.jobs[slot] for slot in slots]
        finite = logits.isfinite().all(-1)
        logits[~finite] = 0
        wanted = [row for row, job in enumerate(jobs) if job.logprobs is not None]
        logprobs = logits[wanted].log_softmax(-1) if wanted else None
        tokens = choose(
            logits, [Row(job.sampling, job.prompt, job.tokens, 1 - job.random.random(), job.allowed) for job in jobs]
        )
        for place, row in enumerate(wanted):
            jobs[row].likelihoods.append(_likelihood(logprobs[place], tokens[row], jobs[row].logprobs))
        for slot, job, token, is_finite in zip(slots, jobs, tokens, finite.tolist()):
            if not is_finite:
                self._fail(slot)
                continue
            job.accept(token)
            if job.finish:
                self._release(slot)

    def _score_prompt(self, job: Job, hidden: torch.Tensor, count: int) -> None:
        """Adds the likelihoods of the prompt tokens that the hidden states [CHUNK, width] of this chunk predict."""
        logprobs = self.model.head(hidden).log_softmax(-1)
        for place in range(min(count, len(job.prompt) - 1 - job.filled)):
            job.prompt_likelihoods.append(
                _likelihood(logprobs[place], job.prompt[job.filled + place + 1], job.prompt_logprobs)
            )

    def _fail(self, slot: int) -> None:
        self.jobs[slot].finish = "error"
        self.model.clear(slot)
        self._release(slot)

    def _release(self, slot: int) -> None:
        job, self.jobs[slot] = self.jobs[slot], None
        job.done()


class Engine:
    """Steps the schedulers of all models in one thread. An error there ends the process, so that it answers no more.

    The engine forgets a scheduler after its last job.
    """

    def __init__(self):
        self._busy: list[BatchScheduler] = []
        self._wake = threading.Condition()
        threading.Thread(target=self._run, name="engine", daemon=True).start()

    def submit(self, scheduler: BatchScheduler, job: Job) -> None:
        with self._wake:
            scheduler.waiting.append(job)
            if scheduler not in self._busy:
                self._busy.append(scheduler)
            self._wake.notify()

    @torch.inference_mode()
    def _run(self) -> None:
        try:
            while True:
                self._wait()
                for scheduler in list(self._busy):
                    scheduler.step()
        except BaseException:
            traceback.print_exc()
            os._exit(Exit.INTERNAL)

    def _wait(self) -> None:
        with self._wake:
            self._busy = [scheduler for scheduler in self._busy if scheduler.waiting or scheduler.running]
            self._wake.wait_for(lambda: self._busy)


def _likelihood(logprobs: torch.Tensor, token: int, top: int) -> Likelihood:
    """`logprobs`: log-probabilities [vocabulary]."""
    values, ids = logprobs.topk(min(top, len(logprobs)))
    rank = int((logprobs > logprobs[token]).sum()) + 1
    return Likelihood(token, float(logprobs[token]), rank, list(zip(ids.tolist(), values.tolist())))
