"""Benchmarks of EleutherAI's harness (lm_eval), which runs in an environment of its own, without torch: backspin asks the models.

`requests` writes what the tasks ask, one document of a task per line, after one line about the tasks themselves. `measure` reads
these lines with the answers, and writes the numbers that the harness makes of them.
"""

import argparse
import json
import os
import sys
import tempfile
import threading
import traceback
from importlib.metadata import version
from pathlib import Path

import lm_eval.evaluator as evaluator
from lm_eval.api.model import LM
from lm_eval.tasks import TaskManager

from .exits import Exit, Refusal, first_line

MOST_BYTES = 8_000_000
"""Of the files of local tasks, which become part of a record."""

CHAT = "\0messages\0"
"""Begins a prompt that holds messages."""


def refusal(sentence):
    return Refusal(Exit.SPEC, sentence)


class Collected(Exception):
    """All requests are known."""


class Answers(LM):
    """Stands for a model: renders messages as themselves, and gives the known answers."""

    tokenizer_name = "messages"

    def __init__(self, known=None, samples=None):
        super().__init__()
        self.known = known or {}
        self.samples = samples or {}

    def apply_chat_template(self, chat_history, add_generation_prompt=True):
        return CHAT + json.dumps(chat_history)

    def chat_template(self, chat_template=False):
        return "messages"

    def _answers(self, requests, missing):
        for request in requests:
            docs = self.samples.get(request.task_name)
            answers = self.known.get((request.task_name, docs[request.doc_id])) if docs else None
            yield missing if answers is None else answers[request.idx]

    def loglikelihood(self, requests):
        return [(nats, greedy) for nats, greedy in self._answers(requests, (float("-inf"), False))]

    def loglikelihood_rolling(self, requests):
        raise AssertionError("refused before")

    def generate_until(self, requests):
        return list(self._answers(requests, ""))


def evaluate(setup, lm, include, **how):
    manager = TaskManager(include_path=include, include_defaults=True)
    unknown = [name for name in setup["tasks"] if not manager.match_tasks([name])]
    if unknown:
        raise refusal(f"lm_eval has no task {', '.join(unknown)}: `python -m lm_eval ls tasks` lists them.")
    return evaluator.simple_evaluate(
        model=lm,
        tasks=setup["tasks"],
        num_fewshot=setup["fewshot"],
        apply_chat_template=setup["chat"],
        fewshot_as_multiturn=setup["chat"],
        system_instruction=setup["system"],
        task_manager=manager,
        log_samples=False,
        **how,
    )


def requests(spec):
    include = spec["include"]
    if include is not None:
        os.chdir(include)  # local tasks name their data beside them
    tasks = {}

    def collect(lm, task_dict, limit, system_instruction, apply_chat_template, fewshot_as_multiturn, **_):
        for name, task in task_dict["tasks"].items():
            tasks[name] = task
            refuse(name, task)
            task.build_all_requests(
                limit=evaluator.get_sample_size(task, limit),
                system_instruction=system_instruction,
                apply_chat_template=bool(apply_chat_template),
                fewshot_as_multiturn=fewshot_as_multiturn,
                chat_template=lm.apply_chat_template if apply_chat_template else None,
                tokenizer_name=lm.tokenizer_name,
            )
        raise Collected

    evaluator.evaluate = collect
    try:
        evaluate(spec["setup"], Answers(), include, limit=spec["setup"]["limit"])
    except Collected:
        pass
    with open(spec["out"], "w") as out:
        setup = spec["setup"] | {"harness": version("lm_eval"), "files": files_in(include)}
        print(json.dumps({"setup": setup}), file=out)
        for name, task in tasks.items():
            documents = {}
            for instance in task.instances:
                documents.setdefault(instance.doc_id, []).append(instance)
            for document, instances in documents.items():
                asked = [asked_of(one, task) for one in sorted(instances, key=lambda one: one.idx)]
                line = {"task": name, "version": task.VERSION, "document": document, "requests": asked}
                print(json.dumps(line), file=out)


def refuse(name, task):
    if task.OUTPUT_TYPE == "loglikelihood_rolling":
        raise refusal(f"The task {name} measures perplexity: use the suite eval.perplexity on its texts.")
    if task.config.repeats > 1:
        raise refusal(f"The task {name} asks each question {task.config.repeats} times: only tasks that ask once are supported.")
    if (task.config.generation_kwargs or {}).get("do_sample"):
        raise refusal(f"The task {name} samples its answers: only greedy tasks are supported.")
    if getattr(task, "UNSAFE_CODE", False):
        raise refusal(f"The task {name} runs code that models write: backspin does not.")
    if getattr(task, "MULTIMODAL", False):
        raise refusal(f"The task {name} asks about pictures or sounds: backspin asks texts only.")


def asked_of(instance, task):
    context, rest = instance.args[0], instance.args[1]
    if instance.request_type == "generate_until":
        until = rest.get("until") or []
        stop = [until] if isinstance(until, str) else list(until)
        return {"prompt": prompt_of(context), "stop": [one for one in stop if one], "maxTokens": rest.get("max_gen_toks", 256)}
    if not context.startswith(CHAT):  # a space at the end belongs to the first token of the continuation
        bare = context.rstrip()
        rest, context = context[len(bare) :] + rest, bare
    asked = {"prompt": prompt_of(context), "continuation": rest}
    return asked | {"greedy": True} if task.OUTPUT_TYPE == "loglikelihood" else asked


def prompt_of(context):
    if not context.startswith(CHAT):
        return {"text": context or "\n"}
    messages = json.loads(context.removeprefix(CHAT))
    if messages[-1]["role"] != "assistant":
        return {"messages": messages}
    return {"messages": messages[:-1], "prefill": messages[-1]["content"]}


def files_in(include):
    """Texts of local tasks by name."""
    if include is None:
        return {}
    paths = [path for path in sorted(Path(include).rglob("*")) if path.is_file() and not is_passed_over(path.relative_to(include))]
    if sum(path.stat().st_size for path in paths) > MOST_BYTES:
        raise refusal(f"The files in {include} have more than {MOST_BYTES // 1_000_000} MB: put large data on the Hub, or elsewhere.")
    return {str(path.relative_to(include)): path.read_text() for path in paths}


def is_passed_over(path):
    return path.suffix == ".pyc" or any(part.startswith((".", "__pycache__")) for part in path.parts)


def measure(spec):
    with open(spec["answers"]) as lines:
        read = [json.loads(line) for line in lines]
    setups = [line["setup"] for line in read if "setup" in line]
    if len(setups) != 1:
        raise refusal(f"The dataset has the requests of {len(setups)} sources: give each evaluation its own std.lm-eval.")
    known = {(line["task"], line["document"]): line["answers"] for line in read if line.get("answers")}
    samples = {}
    for task, document in sorted(known):
        samples.setdefault(task, []).append(document)
    with tempfile.TemporaryDirectory() as folder:
        for name, text in setups[0]["files"].items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        os.chdir(folder)
        results = evaluate(setups[0], Answers(known, samples), folder if setups[0]["files"] else None, samples=samples)
        os.chdir("/")
    Path(spec["out"]).write_text(json.dumps(numbers_of(results["results"])))


def numbers_of(results):
    """`task.metric`, with the filter behind it if it has a name, and the ends of the 95 % interval."""
    numbers = {}
    for task, measured in results.items():
        for key, value in measured.items():
            metric, _, kind = key.partition(",")
            if not isinstance(value, (int, float)) or not kind or metric.endswith("_stderr"):
                continue
            name = f"{task}.{metric}" + ("" if kind == "none" else f".{kind}")
            numbers[name] = value
            error = measured.get(f"{metric}_stderr,{kind}")
            if isinstance(error, (int, float)) and error == error:
                numbers |= {f"{name}Low": value - 1.96 * error, f"{name}High": value + 1.96 * error}
    return numbers


def end_with_parent():
    """Ends this process when its parent has, who holds the other end of the standard input."""
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(75)), daemon=True).start()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("verb", choices=["requests", "measure"])
    parser.add_argument("--spec", required=True)
    given = parser.parse_args()
    end_with_parent()
    spec = json.loads(Path(given.spec).read_text())
    try:
        (requests if given.verb == "requests" else measure)(spec)
    except Refusal as refused:
        sys.exit(end(refused.code, str(refused)))
    except Exception as error:  # whatever a task, its data or its Python code raises
        traceback.print_exc()
        tasks = ", ".join(spec["setup"]["tasks"]) if "setup" in spec else "the tasks"
        sys.exit(end(Exit.SPEC, f"lm_eval cannot run {tasks} ({type(error).__name__}: {first_line(error)})."))


def end(code, sentence):
    print(sentence, file=sys.stderr)
    return int(code)


if __name__ == "__main__":
    main()
