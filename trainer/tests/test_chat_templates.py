"""The chat templates that TRL ships: each has an exact boundary of prompt and answer, or is refused with the reason."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest
import world

from backspin_trainer.exits import Refusal
from backspin_trainer.tokens import DATE, check_chat_template, read_tokenizer, template_tokens, turn_ends, turn_tokens

FOLDER = Path(importlib.util.find_spec("trl").submodule_search_locations[0]) / "chat_templates"
CONTROL = re.compile(r"<\|[^<>|\s]+\|>|<｜[^<>｜\s]+｜>|<\|\w+>|<\w+\|>|</?s>|<end_of_utterance>|<(?:start|end)_of_turn>")

# Of models whose EOS is not ChatML's <|im_end|>: EOS, then what else their generation_config.json ends turns with.
ENDS = {
    "cohere": ["<|END_OF_TURN_TOKEN|>"],
    "deepseek": ["<｜end▁of▁sentence｜>"],
    "diffusion_gemma": ["<eos>", "<turn|>"],
    "gemma": ["<eos>", "<end_of_turn>"],
    "gemma4": ["<eos>", "<turn|>"],
    "glm4moe": ["<|endoftext|>", "<|user|>", "<|observation|>"],
    "gptoss": ["<|return|>"],
    "idefics3": ["<end_of_utterance>"],
    "llama3": ["<|end_of_text|>", "<|eot_id|>"],
    "llava_next": ["</s>"],
    "muse_glimmer": ["<|eot|>"],
    "phi3": ["<|endoftext|>", "<|end|>"],
}
# What the refusal says. None, as of all others: it is accepted, or sound without thoughts.
REFUSED = {
    "deepseek": r"opens an answer with '<think>\\n', which it does not write before one",
    "glm4moe": r"must also give '\\n<think></think>\\n', before the answer",
    "glm4moe_training": None,
    "gptoss": r"must also give '<\|channel\|>final<\|message\|>'",
    "idefics3": "leaves out the text of the user",
    "llava_next": "cannot render a user turn: 'str object' has no attribute 'text'",
    "muse_glimmer": r"must also give ' to=user<\|message\|>'",
}
# Forms that TRL does not ship.
LLAMA_2 = (
    "{% for m in messages %}{% if m.role == 'user' %}{{ bos_token + '[INST] ' + m.content + ' [/INST]' }}"
    "{% else %}{{ ' ' + m.content + ' ' + eos_token }}{% endif %}{% endfor %}"
)
MISTRAL = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('no system') }}{% endif %}"
    "{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]{% else %}{{ m.content + eos_token }}{% endif %}{% endfor %}"
)
NAMED = [{"name": "tool_use", "template": "{{ tools }}"}, {"name": "default", "template": MISTRAL}]
ANSWERS = ["Ardo is old.", "    indented\n\ntwice", "It says <|im_end|> and </s>.", "a\n"]
USER = {"role": "user", "content": "Which river is old?"}


def of(table: dict, name: str, default):
    """The entry of the longest beginning of `name`."""
    return next((table[key] for key in sorted(table, key=len, reverse=True) if name.startswith(key)), default)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.jinja")), ids=lambda path: path.stem)
def test_a_template_has_an_exact_boundary_or_is_refused_with_the_reason(tmp_path, path):
    template, ends = path.read_text(), of(ENDS, path.stem, ["<|im_end|>"])
    folder = make_tokenizer(tmp_path, template, ends)
    tokenizer = read_tokenizer(folder)
    try:
        check_chat_template(tokenizer, folder, with_system=False)
    except Refusal as refusal:
        if "set chatTemplateArguments: { enable_thinking: false }" not in str(refusal):
            reason = of(REFUSED, path.stem, None)
            assert reason and re.search(reason, str(refusal)), str(refusal)
            return
        tokenizer.chat_template = (
            "{%- if enable_thinking is not defined %}{%- set enable_thinking = false %}{%- endif %}\n" + template
        )
        check_chat_template(tokenizer, folder, with_system=False)
    assert of(REFUSED, path.stem, None) is None
    said = [USER, {"role": "assistant", "content": "Belu."}, {"role": "user", "content": "And which is far?"}]
    for before in ([USER], said):
        for answer in ANSWERS:
            check_boundary(tokenizer, before, answer)


@pytest.mark.parametrize("template", [LLAMA_2, MISTRAL, NAMED], ids=["Llama-2", "Mistral-v0.1", "Hermes-3"])
def test_a_template_without_a_generation_prompt_or_system_turns_and_the_default_of_a_list_have_one_too(tmp_path, template):
    folder = make_tokenizer(tmp_path, MISTRAL, ["<|end|>"])
    if template is NAMED:
        (tmp_path / "chat_template.jinja").unlink()
        config = json.loads((tmp_path / "tokenizer_config.json").read_text())
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(config | {"chat_template": template}))
    else:
        (tmp_path / "chat_template.jinja").write_text(template)
    tokenizer = read_tokenizer(folder)
    check_chat_template(tokenizer, folder, with_system=False)
    for answer in ANSWERS:
        check_boundary(tokenizer, [USER], answer)


def check_boundary(tokenizer, before: list[dict], answer: str) -> None:
    """A server is asked with the prompt, and both together are what the template renders, up to the first token that ends a
    turn."""
    prompt, ids = turn_tokens(tokenizer, before, answer)
    assert prompt == template_tokens(tokenizer, before)
    turns = [*before, {"role": "assistant", "content": answer}]
    opened, closed = (
        tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=messages is before, strftime_now=DATE.strftime
        )
        for messages in (before, turns)
    )
    assert tokenizer.decode(prompt) == opened and closed.startswith(tokenizer.decode(prompt + ids))
    *learnt, end = ids
    assert answer.strip() in tokenizer.decode(learnt)
    assert end in turn_ends(tokenizer) and not set(learnt) & turn_ends(tokenizer)


def make_tokenizer(folder: Path, template: str, ends: list[str]) -> str:
    """Splits bytes, and knows the control tokens of the template."""
    control = sorted({*CONTROL.findall(template), *ends})
    world.make_tokenizer(folder, vocabulary=300 + len(control), template=template, special=control)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"eos_token": ends[0]}))
    ids = read_tokenizer(str(folder)).convert_tokens_to_ids(ends)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": ids}))
    return str(folder)
