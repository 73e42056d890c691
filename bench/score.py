"""`python score.py JOB`: scores rows of random tokens with backspin and the naive way, in turn, in one process."""

import json
import random
import sys
import time

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from backspin_trainer.score import Scorer, Sequence

with open(sys.argv[1]) as file:
    job = json.load(file)
torch.set_num_threads(job["threads"])
vocabulary, context = job["shape"]["vocab_size"], job["shape"]["max_position_embeddings"]
chance = random.Random(0)


def text(median: int, most: int) -> list[int]:
    """Returns random tokens; their number is log-normal, as lengths of texts are."""
    return chance.choices(range(vocabulary), k=min(most, max(4, round(median * chance.lognormvariate(0, 0.8)))))


def row(compared: bool) -> Sequence:
    prompt, ids = text(job["prompt"], context // 2), text(job["continuation"], context // 3)
    return Sequence(prompt, ids, text(job["prompt"] // 2, context // 8) + prompt if compared else None)


def model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**job["shape"], initializer_range=0.1)).eval()


def distributions(sequences: list[tuple[list[int], list[int]]]) -> list[torch.Tensor]:
    """Returns log-probabilities [tokens, vocabulary] of each continuation, cut out of those of complete padded texts."""
    longest = max(len(prompt + ids) for prompt, ids in sequences)
    pads = [longest - len(prompt + ids) for prompt, ids in sequences]
    tokens = torch.tensor([prompt + ids + [0] * pad for (prompt, ids), pad in zip(sequences, pads)])
    mask = torch.tensor([[1] * (longest - pad) + [0] * pad for pad in pads])
    logps = plain(input_ids=tokens, attention_mask=mask).logits.float().log_softmax(-1)
    return [logp[len(prompt) - 1 : len(prompt + ids) - 1] for logp, (prompt, ids) in zip(logps, sequences)]


@torch.inference_mode()
def naive(sequences: list[Sequence]) -> list[torch.Tensor]:
    scored = []
    for start in range(0, len(sequences), job["batch"]):
        batch = sequences[start : start + job["batch"]]
        ps = distributions([(one.prompt, one.ids) for one in batch])
        qs = [None] * len(batch)
        if batch[0].second_prompt is not None:
            qs = distributions([(one.second_prompt, one.ids) for one in batch])
        for one, p, q in zip(batch, ps, qs):
            values = []
            for logp in (p,) if q is None else (p, q):
                values += [logp.gather(1, torch.tensor(one.ids)[:, None])[:, 0], -(logp.exp() * logp).sum(-1)]
            if q is not None:
                values += [(q.exp() * (q - p)).sum(-1), (p.exp() * (p - q)).sum(-1)]
            scored.append(torch.stack(values))
    return scored


plain, ours = model(), Scorer(model(), job["batch"])
measured = []
for compared in (False, True):
    sequences = [row(compared) for _ in range(job["rows"])]
    for way in (naive, ours.score):
        way(sequences[: job["batch"]])
    seconds: list[list[float]] = [[], []]
    for _ in range(job["runs"]):
        scored = []
        for spent, way in zip(seconds, (naive, ours.score)):
            began = time.monotonic()
            scored.append(way(sequences))
            spent.append(time.monotonic() - began)
    difference = max((one - other).abs().max().item() for one, other in zip(*scored, strict=True))
    medians = [sorted(spent)[len(spent) // 2] for spent in seconds]
    tokens = sum(len(one.prompt) + len(one.ids) for one in sequences)
    measured.append({"naive": medians[0], "ours": medians[1], "difference": difference, "tokens": tokens})
print(json.dumps(measured))
