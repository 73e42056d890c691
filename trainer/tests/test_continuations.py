"""Answers of a tokenizer of SentencePiece's kind: it puts a space before every text, and takes it away when it decodes."""

from __future__ import annotations

import client
import pytest
import world
from tokenizers import Tokenizer, decoders, models, normalizers, trainers
from transformers import PreTrainedTokenizerFast

TEMPLATE = (
    "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content }}{% if m.role == 'assistant' %}{{ '</s>' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = world.make_model(tmp_path_factory.mktemp("sentencepiece"), eos_token_id=1, pad_token_id=1)
    pieces = Tokenizer(models.BPE(unk_token="<unk>"))
    pieces.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    strip = decoders.Strip(" ", 1, 0)
    pieces.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), strip])
    special = ["<unk>", "</s>", "<|user|>", "<|assistant|>"]
    letters = list("▁:5Score.abcdefghijklmnopqrstuvwxyz")
    pieces.train_from_iterator(["Score: 5"], trainers.BpeTrainer(special_tokens=special, initial_alphabet=letters))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=pieces, eos_token="</s>", unk_token="<unk>")
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    process, talk = client.start(tmp_path_factory.mktemp("server"), {"tied": folder})
    yield talk
    process.terminate()
    process.wait()


def test_an_answer_that_continues_a_text_or_a_turn_keeps_the_space_that_it_begins_with(server):
    asked = {"max_tokens": 4, "structured_outputs": {"choice": [" 5"]}}
    (completed,) = server.complete(prompt="Score:", logprobs=0, **asked)["choices"]
    assert completed["text"] == " 5"
    assert completed["logprobs"]["text_offset"][:2] == [0, 1]
    begun = {"role": "assistant", "content": "Score:"}
    status, reply = server.send(
        "/v1/chat/completions",
        {
            "model": "tied",
            "messages": [{"role": "user", "content": "Rate it."}, begun],
            "continue_final_message": True,
            "add_generation_prompt": False,
            **asked,
        },
    )
    assert status == 200, reply
    assert reply["choices"][0]["message"]["content"] == " 5"


def test_an_answer_of_its_own_begins_without_the_space_of_its_first_token(server):
    asked = {"max_tokens": 4, "structured_outputs": {"choice": ["5"]}}
    (answered,) = server.chat("Rate it.", **asked)["choices"]
    assert answered["message"]["content"] == "5"
