"""Continuous batching: requests join and leave a running batch at every token, in a thread of their own."""

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
from .llama import CHUNK, PREFILLS, Llama
from .sampling import Sampling, choose


@dataclass
class Likelihood:
    """Log-probability and rank (from 1) of a token under the raw model, and the `top` most likely ones."""

    token: int
    logprob: float
    rank: int
    top: list[tuple[int, float]]


@dataclass(eq=False)
class Job:
    """One answer to one prompt. The engine's thread calls `done` when it has set `finish`, unless it was cancelled."""

    prompt: list[int]
    max_tokens: int
    sampling: Sampling
    ends: frozenset[int]
    random: random.Random
    stopped: Callable[[list[int]], bool] | None = None
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    cancelled: bool = False
    tokens: list[int] = field(default_factory=list)
    likelihoods: list[Likelihood] = field(default_factory=list)
    prompt_likelihoods: list[Likelihood] = field(default_factory=list)
    finish: str | None = None  # "stop", "length", or "error" where the model gave numbers that are not finite
    done: Callable[[], None] | None = None
    filled: int = 0  # tokens of prompt and answer that are in the cache

    def accept(self, token: int) -> None:
        """Takes the next token of the answer, and finishes it where it ends."""
        self.tokens.append(token)
        if token in self.ends or (self.stopped and self.stopped(self.tokens)):
            self.finish = "stop"
        elif len(self.tokens) == self.max_tokens:
            self.finish = "length"


class Lane:
    """One model with the jobs in its slots and those that wait for one."""

    def __init__(self, model: Llama, slots: int):
        self.model = model
        self.waiting: collections.deque[Job] = collections.deque()
        self.jobs: list[Job | None] = [None] * slots

    @property
    def running(self) -> int:
        return sum(job is not None for job in self.jobs)

    def turn(self) -> None:
        """Fills free slots, the lowest first, takes a chunk of up to PREFILLS prompts, then a token of every answer."""
        torch.set_num_threads(self.model.threads)
        for slot, job in enumerate(self.jobs):
            if job is not None and job.cancelled:
                self.jobs[slot] = job = None
            while job is None and self.waiting:
                job = self.waiting.popleft()
                self.jobs[slot] = job = None if job.cancelled else job
        prompts = [slot for slot, job in enumerate(self.jobs) if job and job.filled < len(job.prompt)]
        if prompts:
            self._prefill(prompts[:PREFILLS])
        answers = [slot for slot, job in enumerate(self.jobs) if job and job.filled >= len(job.prompt)]
        if answers:
            self._decode(answers)

    def _prefill(self, slots: list[int]) -> None:
        jobs = [self.jobs[slot] for slot in slots]
        chunks = [job.prompt[job.filled : job.filled + CHUNK] for job in jobs]
        tokens = torch.tensor([chunk + [0] * (CHUNK - len(chunk)) for chunk in chunks])
        hidden = self.model.prefill(tokens, torch.tensor([job.filled for job in jobs]), torch.tensor(slots))
        finished = []
        finite = hidden.isfinite().all(-1).all(-1).tolist()
        for row, (slot, job, chunk) in enumerate(zip(slots, jobs, chunks)):
            if not finite[row]:
                self._fail(slot)
                continue
            if job.prompt_logprobs is not None:
                self._weigh_prompt(job, hidden[row], len(chunk))
            job.filled += len(chunk)
            if job.filled == len(job.prompt):
                if job.max_tokens:
                    finished.append((slot, row, len(chunk) - 1))
                else:
                    job.finish = "length"
                    self._leave(slot)
        if finished:
            _, rows, lasts = zip(*finished)
            self._advance([slot for slot, _, _ in finished], self.model.head(hidden[list(rows), list(lasts)]))

    def _decode(self, slots: list[int]) -> None:
        """Slots between that have no answer take part too: they write where their own next token will overwrite."""
        grain = self.model.grain
        count = min(-(-(slots[-1] + 1) // grain) * grain, self.model.slots)
        jobs = (self.jobs + [None] * count)[:count]
        tokens = torch.tensor([job.tokens[-1] if job and job.tokens else 0 for job in jobs])
        logits = self.model.decode(tokens, torch.tensor([job.filled if job else 0 for job in jobs]))
        for slot in slots:
            self.jobs[slot].filled += 1
        self._advance(slots, logits[slots])

    def _advance(self, slots: list[int], logits: torch.Tensor) -> None:
        """Draws the next token for each of `slots` from its row of `logits` [n, vocabulary]."""
        jobs = [self.jobs[slot] for slot in slots]
        finite = logits.isfinite().all(-1)
        logits[~finite] = 0
        wanted = [row for row, job in enumerate(jobs) if job.logprobs is not None]
        weights = logits[wanted].log_softmax(-1) if wanted else None
        tokens = choose(
            logits,
            [
                (
                    job.sampling,
                    job.prompt + job.tokens if job.sampling.repetition_penalty != 1 else [],
                    1 - job.random.random(),
                )
                for job in jobs
            ],
        )
        for place, row in enumerate(wanted):
            jobs[row].likelihoods.append(_weigh(weights[place], tokens[row], jobs[row].logprobs))
        for slot, job, token, sound in zip(slots, jobs, tokens, finite.tolist()):
            if not sound:
                self._fail(slot)
                continue
            job.accept(token)
            if job.finish:
                self._leave(slot)

    def _weigh_prompt(self, job: Job, hidden: torch.Tensor, count: int) -> None:
        """Likelihoods of the prompt's tokens that this chunk's hidden states [CHUNK, width] predict."""
        weights = self.model.head(hidden).log_softmax(-1)
        for place in range(min(count, len(job.prompt) - 1 - job.filled)):
            job.prompt_likelihoods.append(
                _weigh(weights[place], job.prompt[job.filled + place + 1], job.prompt_logprobs)
            )

    def _fail(self, slot: int) -> None:
        self.jobs[slot].finish = "error"
        self.model.clear(slot)
        self._leave(slot)

    def _leave(self, slot: int) -> None:
        job, self.jobs[slot] = self.jobs[slot], None
        job.done()


class Engine:
    """Runs lanes with jobs in one thread. A failure there ends the process: one that cannot compute must not answer.

    A lane that nobody submits to any more is forgotten with its last job.
    """

    def __init__(self):
        self._busy: list[Lane] = []
        self._wake = threading.Condition()
        threading.Thread(target=self._run, name="engine", daemon=True).start()

    def submit(self, lane: Lane, job: Job) -> None:
        with self._wake:
            lane.waiting.append(job)
            if lane not in self._busy:
                self._busy.append(lane)
            self._wake.notify()

    @torch.inference_mode()
    def _run(self) -> None:
        try:
            while True:
                self._wait()
                self._turn()
        except BaseException:
            traceback.print_exc()
            os._exit(Exit.INTERNAL)

    def _wait(self) -> None:
        with self._wake:
            self._busy = [lane for lane in self._busy if lane.waiting or lane.running]
            self._wake.wait_for(lambda: self._busy)

    def _turn(self) -> None:
        for lane in list(self._busy):
            lane.turn()


def _weigh(weights: torch.Tensor, token: int, top: int) -> Likelihood:
    """`weights`: log-probabilities [vocabulary]."""
    values, ids = weights.topk(min(top, len(weights)))
    rank = int((weights > weights[token]).sum()) + 1
    return Likelihood(token, float(weights[token]), rank, list(zip(ids.tolist(), values.tolist())))
