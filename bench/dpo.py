"""`python dpo.py JOB`: trains preferences on one batch with TRL's or backspin's trainer, or makes the model for that."""

import json
import resource
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM
from trl import DPOConfig, DPOTrainer

from backspin_trainer import preferences
from backspin_trainer.data import read_examples
from backspin_trainer.spec import TrainSpec, read_spec

with open(sys.argv[1]) as file:
    job = json.load(file)
torch.set_num_threads(job["threads"])
if job["who"] == "make":
    tokenizer = AutoTokenizer.from_pretrained(job["tokenizer"])
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(**job["shape"], eos_token_id=tokenizer.eos_token_id)).save_pretrained(job["folder"])
    tokenizer.save_pretrained(job["folder"])
    sys.exit()
tokenizer = AutoTokenizer.from_pretrained(job["folder"])
rows = [json.loads(line) for line in open(job["rows"], "rb")]


def model() -> torch.nn.Module:
    return AutoModelForCausalLM.from_pretrained(job["folder"], dtype=torch.float32)


def stock():
    """Returns the model of TRL's trainer, which has a frozen copy as reference, and a function that computes the loss of the batch."""
    side = lambda text: [{"role": "assistant", "content": text}]  # noqa: E731
    pairs = [row | {"chosen": side(row["chosen"]), "rejected": side(row["rejected"])} for row in rows]
    config = DPOConfig(
        output_dir=tempfile.mkdtemp(),
        beta=0.1,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
        max_length=None,
    )
    trainer = DPOTrainer(
        model=model(), ref_model=model(), args=config, train_dataset=Dataset.from_list(pairs), processing_class=tokenizer
    )
    batch = trainer.data_collator(list(trainer.train_dataset))
    return trainer.model, lambda: trainer.compute_loss(trainer.model, dict(batch))


def ours():
    policy = model()
    with tempfile.TemporaryDirectory() as folder:
        spec = replace(read_spec(job["spec"], TrainSpec), data=job["rows"])
        examples = read_examples(spec, tokenizer).dataset
        examples = preferences.add_reference_logps(examples, policy, tokenizer.pad_token_id, Path(folder) / "reference.pt")
    batch = preferences.pair_collator(tokenizer.pad_token_id)(list(examples))
    return policy, lambda: preferences.preference_loss(
        preferences.weighted_logps(policy, batch) - batch["reference"], 0.1
    )


policy, loss_of = (stock if job["who"] == "trl" else ours)()
policy.train()
optimizer = torch.optim.AdamW(policy.parameters(), lr=1e-4, fused=True)
losses, seconds = [], []
for _ in range(job["steps"]):
    began = time.monotonic()
    loss = loss_of()
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    seconds.append(time.monotonic() - began)
    losses.append(loss.item())
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"seconds": sorted(seconds[1:])[len(seconds[1:]) // 2], "megabytes": peak, "losses": losses}))
