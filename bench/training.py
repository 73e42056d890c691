"""`python training.py JOB`: trains with TRL's or backspin's trainer on one batch again and again, or makes the model for that."""

import json
import sys
import tempfile
import time

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, TrainerCallback
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

from backspin_trainer.device import computes_in_bf16, peak_memory
from backspin_trainer.spec import TrainSpec, read_spec
from backspin_trainer.stop import Stop
from backspin_trainer.train import train

with open(sys.argv[1]) as file:
    job = json.load(file)
spec = job["spec"]
torch.set_num_threads(spec["threads"])


def make() -> None:
    tokenizer = AutoTokenizer.from_pretrained(job["tokenizer"])
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(**job["shape"], eos_token_id=tokenizer.eos_token_id)).save_pretrained(spec["from"])
    tokenizer.save_pretrained(spec["from"])


class Steps(TrainerCallback):
    """Times the steps of TRL, from the first forward pass to the updated weights."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_step_begin(self, *_, **__):
        self._began = time.monotonic()

    def on_step_end(self, *_, **__):
        self.seconds.append(time.monotonic() - self._began)


def stock() -> tuple[list[float], list[float]]:
    """The seconds and the loss of each step of TRL's trainer, which for preferences has a frozen copy as reference."""
    with open(spec["data"], "rb") as lines:
        rows = [json.loads(line) for line in lines]
    says = lambda text: [{"role": "assistant", "content": text}]  # noqa: E731
    if spec["objective"] == "sft":
        rows = [{"prompt": row["messages"][:-1], "completion": row["messages"][-1:]} for row in rows]
    else:
        rows = [{"prompt": row["prompt"], "chosen": says(row["chosen"]), "rejected": says(row["rejected"])} for row in rows]
    kinds = (SFTConfig, SFTTrainer) if spec["objective"] == "sft" else (DPOConfig, DPOTrainer)
    read = lambda: AutoModelForCausalLM.from_pretrained(spec["from"], dtype=torch.float32)  # noqa: E731
    steps = Steps()
    config = kinds[0](
        output_dir=tempfile.mkdtemp(),
        max_steps=spec["steps"],
        per_device_train_batch_size=spec["batch"],
        learning_rate=spec["learningRate"]["from"],
        lr_scheduler_type="constant",
        adam_beta2=spec["betas"][1],
        max_grad_norm=0.0,
        use_cpu=not torch.cuda.is_available(),
        bf16=computes_in_bf16(),
        gradient_checkpointing=torch.cuda.is_available(),
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        max_length=None,
        **({} if spec["objective"] == "sft" else {"beta": spec["beta"]}),
    )
    trainer = kinds[1](
        model=read(),
        **({} if spec["objective"] == "sft" else {"ref_model": read()}),
        args=config,
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(spec["from"]),
        callbacks=[steps],
    )
    trainer.train()
    return steps.seconds, [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def weigh_tokens() -> None:
    """Writes the answers as token ids that all have the weight 1."""
    tokenizer = AutoTokenizer.from_pretrained(spec["from"])
    with open(spec["data"], "rb") as lines:
        rows = [json.loads(line) for line in lines]
    for row in rows:
        for side in ("chosen", "rejected"):
            ids = [*tokenizer.encode(row[side], add_special_tokens=False), tokenizer.eos_token_id]
            row[side] = {"ids": ids, "weights": [1.0] * len(ids)}
    with open(spec["data"], "w") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


class StopAfter(Stop):
    """Requests a stop when it is asked for the `times`-th time: before the first step, and at the end of each."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self._left = times

    def requested(self) -> bool:
        self._left -= 1
        return self._left < 0


def ours() -> tuple[list[float], list[float]]:
    if spec["objective"] == "token-dpo":
        weigh_tokens()
    path = f"{spec['run']}.json"
    with open(path, "w") as file:
        json.dump(spec, file)
    if job["who"] == "resumed":
        train(read_spec(path, TrainSpec), StopAfter(2))
    train(read_spec(path, TrainSpec), Stop())
    with open(f"{spec['run']}/events.jsonl") as lines:
        steps = [event for event in map(json.loads, lines) if event["event"] == "step"]
    global places
    places = round(steps[-1]["tokens"] / (1 - steps[-1]["padding"]))
    return [step["seconds"] for step in steps], [step["loss"] for step in steps]


places = 0  # tokens of a step with padding
if job["who"] == "make":
    make()
else:
    seconds, losses = (stock if job["who"] == "trl" else ours)()
    result = {
        "seconds": sorted(seconds[1:])[len(seconds[1:]) // 2],
        "megabytes": peak_memory() / 2**20,
        "losses": losses,
        "places": places,
        "device": "cuda" if torch.cuda.is_available() else "cpu",
    }
    print(json.dumps(result))
