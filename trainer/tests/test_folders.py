"""Folders of real models are read as they mean to be used, or refused with the reason: never read in another way without a word."""

from __future__ import annotations

import datetime
import json
import shutil
from pathlib import Path

import pytest
import torch
import training
import world
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, normalizers, trainers
from tokenizers.processors import TemplateProcessing
from transformers import (
    AutoModelForCausalLM,
    GraniteConfig,
    GraniteForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
    T5Model,
)

from backspin_trainer import tokens
from backspin_trainer.adapters import add_adapter
from backspin_trainer.embed import _open_model, _vectors
from backspin_trainer.exits import Exit, Refusal
from backspin_trainer.heads import Head
from backspin_trainer.llama import Llama
from backspin_trainer.pooling import Pooling, read_pooling
from backspin_trainer.score import Scorer, Sequence
from backspin_trainer.spec import EmbedSpec, Lora, ModelFolders
from backspin_trainer.tokens import continuation_tokens, load_tokenizer, raw_prompt_tokens, template_tokens
from backspin_trainer.weights import read_weights

TURNS = [{"role": "user", "content": "One?"}]
SHAPE = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "vocab_size": 20,
}


@pytest.fixture
def folder(tmp_path, model) -> Path:
    """A copy of a model, to change."""
    return Path(shutil.copytree(model, tmp_path / "changed"))


def change(file: Path, **values) -> None:
    file.write_text(json.dumps({**(json.loads(file.read_text()) if file.exists() else {}), **values}))


def sentence_piece(folder: Path) -> PreTrainedTokenizerFast:
    """A space goes before every text, <s> before and </s> behind it."""
    fast = Tokenizer(models.BPE(unk_token="<unk>"))
    fast.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    fast.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    words = [word for text in world.TEXTS for word in text.split()]
    fast.train_from_iterator(
        [*words, "Score: 5 upon server a"],
        trainers.BpeTrainer(vocab_size=300, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False),
    )
    both = [(token, fast.token_to_id(token)) for token in ("<s>", "</s>")]
    fast.post_processor = TemplateProcessing("<s> $A </s>", "<s> $A $B </s>", both)
    PreTrainedTokenizerFast(
        tokenizer_object=fast, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)
    return load_tokenizer(str(folder))


@pytest.mark.parametrize("name", ["LlamaTokenizerFast", "LlamaTokenizer", "Qwen2Tokenizer", "GPT2Tokenizer"])
def test_a_tokenizer_does_what_its_file_says_whatever_class_is_named_beside_it(folder, tokenizer, name):
    change(folder / "tokenizer_config.json", tokenizer_class=name)
    text = "The town  of Ardo\n  is old."
    ids = load_tokenizer(str(folder)).encode(text)
    assert ids == tokenizer.encode(text) and tokenizer.decode(ids) == text


def test_an_end_token_that_config_json_alone_names_is_one(folder, tokenizer):
    """The tokenizer_config.json of GPT-2 names none."""
    (folder / "tokenizer_config.json").write_text("{}")
    change(folder / "config.json", eos_token_id=tokenizer.eos_token_id)
    assert load_tokenizer(str(folder)).eos_token == tokenizer.eos_token
    change(folder / "config.json", eos_token_id=None)
    assert load_tokenizer(str(folder)).eos_token is None


def test_a_sentencepiece_model_alone_is_refused_with_the_way_to_a_tokenizer_json(folder):
    (folder / "tokenizer.json").rename(folder / "tokenizer.model")
    with pytest.raises(Refusal, match=r"is a tokenizer\.model alone.*save_pretrained") as error:
        load_tokenizer(str(folder))
    assert error.value.code == Exit.MODEL


def test_a_raw_prompt_does_not_end_and_a_continuation_does_not_begin(tmp_path):
    tokenizer = sentence_piece(tmp_path / "piece")
    said = tokenizer.convert_ids_to_tokens
    prompt = said(raw_prompt_tokens(tokenizer, "The town"))
    assert prompt[0] == "<s>" and "</s>" not in prompt and "".join(prompt[1:]) == "▁The▁town"
    for text in ("on", "5", " 5", " server", ""):
        assert "".join(said(continuation_tokens(tokenizer, text))) == text.replace(" ", "▁"), text


def test_a_template_writes_the_same_date_every_day(tmp_path, monkeypatch):
    dated = "{{ strftime_now('%d %B %Y') }}" + world.TEMPLATE
    world.make_tokenizer(tmp_path / "dated", template=dated)
    tokenizer = load_tokenizer(str(tmp_path / "dated"))
    assert tokenizer.decode(template_tokens(tokenizer, TURNS)).startswith(tokens.DATE.strftime("%d %B %Y"))
    assert tokens.DATE != datetime.date.today()


def test_a_generation_config_that_cannot_be_saved_does_not_stop_a_training(tmp_path, folder, rows):
    change(folder / "generation_config.json", temperature=0.9, top_p=0.6)
    assert training.run(world.train_spec(folder, rows, tmp_path / "run", steps=2)) == Exit.DONE
    saved = json.loads((tmp_path / "run/model/generation_config.json").read_text())
    assert (saved["temperature"], saved["do_sample"]) == (0.9, True)


def test_a_padding_token_without_an_embedding_gives_way_to_the_end_token(tmp_path, folder, rows):
    add_token(folder, "<pad-of-its-own>", pad_token="<pad-of-its-own>")
    assert training.run(world.train_spec(folder, rows, tmp_path / "run", steps=2)) == Exit.DONE
    AutoModelForCausalLM.from_pretrained(tmp_path / "run/model")


def test_a_row_with_a_token_that_has_no_embedding_is_refused_by_its_name(tmp_path, folder):
    add_token(folder, "[tool]", special=False)
    turns = [*TURNS, {"role": "assistant", "content": "Use a [tool]."}]
    rows = world.write_rows(tmp_path / "rows.jsonl", [{"messages": turns}] * 4)
    with pytest.raises(Refusal, match=r"has the token \[tool\]") as error:
        training.run(world.train_spec(folder, rows, tmp_path / "run", steps=2))
    assert error.value.code == Exit.MODEL


def add_token(folder: Path, text: str, special: bool = True, **config) -> None:
    """Adds a token to a tokenizer, and none to its model."""
    file = folder / "tokenizer.json"
    value = json.loads(file.read_text())
    number = json.loads((folder / "config.json").read_text())["vocab_size"]
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    value["added_tokens"].append({"id": number, "content": text, "special": special, **plain})
    file.write_text(json.dumps(value))
    change(folder / "tokenizer_config.json", **config)


@pytest.mark.parametrize("name", ["model.layers.0.self_attn.q_proj.weight_scale", "model.layers.0.self_attn.q_proj.bias"])
def test_a_weight_that_has_no_place_in_the_model_stops_a_training(tmp_path, folder, rows, name):
    tensors = load_file(folder / "model.safetensors")
    save_file({**tensors, name: torch.ones(1)}, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(Refusal, match=f"{name} has no place"):
        training.run(world.train_spec(folder, rows, tmp_path / "run", steps=2))
    buffer = {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(1)}  # old checkpoints of Llamas hold it
    save_file(tensors | buffer, folder / "model.safetensors", metadata={"format": "pt"})
    assert training.run(world.train_spec(folder, rows, tmp_path / "again", steps=2)) == Exit.DONE


def test_quantized_weights_are_served_and_trained_by_nobody(tmp_path, folder, rows):
    change(folder / "config.json", quantization_config={"quant_method": "fp8"})
    with pytest.raises(Refusal, match="quantized"):
        read_weights(ModelFolders(str(folder)))
    with pytest.raises(Refusal, match="quantized"):
        training.run(world.train_spec(folder, rows, tmp_path / "run"))


@pytest.mark.parametrize("name", ["model.layers.0.self_attn.q_norm.weight", "model.layers.2.mlp.up_proj.weight"])
def test_the_embedded_server_refuses_a_weight_that_it_does_not_use(folder, name):
    weights = load_file(folder / "model.safetensors")
    save_file({**weights, name: torch.zeros(4)}, folder / "model.safetensors")
    with pytest.raises(Refusal, match="has the weight " + name.replace(".", r"\.")):
        Llama(read_weights(ModelFolders(str(folder))), 4, 1)


def test_an_adapter_of_all_layers_does_not_leave_experts_out_without_a_word():
    mixture = MixtralForCausalLM(MixtralConfig(**SHAPE, num_key_value_heads=2, num_local_experts=4))
    with pytest.raises(Refusal, match=r"lora\.targets"):
        add_adapter(mixture, Lora(2, 4, None, 0.0), 0)
    add_adapter(mixture, Lora(2, 4, ["q_proj"], 0.0), 0)


def test_a_model_that_cannot_be_taken_apart_is_scored_whole():
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "ffn_dim": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 20}
    opt = OPTForCausalLM(OPTConfig(**shape, word_embed_proj_dim=16, max_position_embeddings=32)).eval()
    prompt, ids = [3, 4, 5], [6, 7]
    expected = (
        opt(input_ids=torch.tensor([prompt + ids])).logits[0, 2:4].log_softmax(-1).gather(1, torch.tensor([ids]).T)
    )
    (scored,) = Scorer(opt, 2).score([Sequence(prompt, ids)])
    torch.testing.assert_close(scored[0], expected[:, 0].detach())


@torch.no_grad()
def test_a_loss_in_chunks_takes_the_models_own_way_to_its_logits():
    model = GraniteForCausalLM(GraniteConfig(**SHAPE, num_key_value_heads=2, logits_scaling=8.0)).eval()
    head, tokens = Head(model), torch.arange(5)[None]
    assert head.is_separate
    states = model.base_model(input_ids=tokens).last_hidden_state[0]
    assert torch.allclose(head(states), model(input_ids=tokens).logits[0], atol=1e-6)


HIDDEN = torch.arange(24.0).view(2, 3, 4)
MASK = torch.tensor([[1, 1, 0], [1, 1, 1]])


@pytest.mark.parametrize(
    ("config", "vector"),
    [
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, HIDDEN[0, :2].mean(0)),
        ({"pooling_mode_cls_token": True}, HIDDEN[0, 0]),
        ({"pooling_mode_max_tokens": True}, HIDDEN[0, 1]),
        ({"pooling_mode_lasttoken": True}, HIDDEN[0, 1]),
        ({"pooling_mode": "cls"}, HIDDEN[0, 0]),
    ],
)
def test_a_folder_of_sentence_transformers_says_how_a_vector_is_made(tmp_path, config, vector):
    pooling = read_pooling(str(pooled(tmp_path, config)))
    assert torch.equal(pooling.pool(HIDDEN, MASK)[0], vector)


def pooled(folder: Path, config: dict, *more: str) -> Path:
    kinds = ["Transformer", "Pooling", *more]
    paths = ["", "1_Pooling", *(f"{2 + n}_{kind}" for n, kind in enumerate(more))]
    modules = [{"type": f"sentence_transformers.models.{kind}", "path": path} for kind, path in zip(kinds, paths)]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling/config.json").write_text(json.dumps(config))
    return folder


def test_its_length_is_in_the_file_of_its_architecture_or_that_of_its_tokenizer_and_texts_may_be_in_small_letters(tmp_path):
    folder = pooled(tmp_path, {"pooling_mode_mean_tokens": True})
    tokenizer = sentence_piece(tmp_path / "piece")
    tokenizer.model_max_length = 128
    assert read_pooling(str(folder)).limit(tokenizer) == 128
    (folder / "sentence_roberta_config.json").write_text(json.dumps({"max_seq_length": 64, "do_lower_case": True}))
    pooling = read_pooling(str(folder))
    assert (pooling.limit(tokenizer), pooling.text("A Town")) == (64, "a town")


def test_a_prompt_that_its_pooling_leaves_out_is_refused(tmp_path):
    folder = pooled(tmp_path, {"pooling_mode_mean_tokens": True, "include_prompt": False})
    assert read_pooling(str(folder)).prompt == ""
    prompts = {"prompts": {"query": "Query: "}, "default_prompt_name": "query"}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    with pytest.raises(Refusal, match="a prompt whose tokens its pooling leaves out"):
        read_pooling(str(folder))


def test_an_encoder_whose_weights_do_not_fit_its_config_is_refused(tmp_path):
    folder = world.make_encoder(tmp_path / "encoder", world.TEXTS)
    tensors = load_file(folder / "model.safetensors")
    save_file({f"wrong.{name}": value for name, value in tensors.items()}, folder / "model.safetensors", metadata={"format": "pt"})
    spec = EmbedSpec(1, ModelFolders(str(folder)), "rows.jsonl", str(tmp_path / "run"), 1, 0, 16, 1)
    with pytest.raises(Refusal, match="do not fit its config.json: .* is missing"):
        _open_model(spec)


def test_its_length_and_its_default_prompt_are_kept(tmp_path):
    pooled(tmp_path, {"pooling_mode_cls_token": True}, "Normalize")
    (tmp_path / "sentence_bert_config.json").write_text('{"max_seq_length": 7}')
    prompts = {"default_prompt_name": "query", "prompts": {"query": "query: ", "other": "x"}}
    (tmp_path / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    assert read_pooling(str(tmp_path)) == Pooling("cls", 7, "query: ")


@pytest.mark.parametrize(
    ("config", "more", "what"),
    [
        ({"pooling_mode_weightedmean_tokens": True}, [], "weightedmean"),
        ({"pooling_mode_cls_token": True, "pooling_mode_max_tokens": True}, [], "cls and max"),
        ({"pooling_mode_cls_token": True}, ["Dense"], "a layer of the kind Dense"),
    ],
)
def test_a_vector_that_is_made_in_another_way_is_refused(tmp_path, config, more, what):
    with pytest.raises(Refusal, match=what):
        read_pooling(str(pooled(tmp_path, config, *more)))


def test_a_text_that_is_cut_keeps_its_last_special_token(tmp_path, model):
    tokenizer = sentence_piece(tmp_path / "piece")
    seen = []

    class Body(torch.nn.Module):
        config, device = T5Config(d_model=4), torch.device("cpu")

        def forward(self, input_ids, attention_mask):
            seen.append(input_ids)
            return type("Output", (), {"last_hidden_state": torch.ones(*input_ids.shape, 4)})

    spec = EmbedSpec(1, ModelFolders(str(model)), "rows", "run", 1, 0, 5, 1)
    _vectors(spec, Body(), tokenizer, Pooling(), ["The town of Ardo is old."])
    assert tokenizer.convert_ids_to_tokens(seen[0][0])[::4] == ["<s>", "</s>"]


def test_of_an_encoder_with_a_decoder_the_encoder_embeds(tmp_path):
    torch.manual_seed(0)
    T5Model(T5Config(vocab_size=300, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)).save_pretrained(tmp_path)
    spec = EmbedSpec(1, ModelFolders(str(tmp_path)), "rows", str(tmp_path / "run"), 1, 0, 16, 1)
    ids = {"input_ids": torch.tensor([[5, 6, 7]]), "attention_mask": torch.ones(1, 3)}
    expected = T5EncoderModel.from_pretrained(tmp_path).eval()(**ids).last_hidden_state
    torch.testing.assert_close(_open_model(spec)(**ids).last_hidden_state, expected)


def test_a_template_without_system_turns_is_refused_only_where_a_row_has_one(tmp_path, folder):
    alone = (
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no') }}{% endif %}"
        + world.TURN
        + "{% endfor %}"
    )
    world.make_tokenizer(folder, template=alone + world.OPEN)
    turns = [*TURNS, {"role": "assistant", "content": "Two."}]
    rows = world.write_rows(tmp_path / "rows.jsonl", [{"messages": turns}] * 4)
    assert training.run(world.train_spec(folder, rows, tmp_path / "run", steps=2)) == Exit.DONE
    rows = world.write_rows(
        tmp_path / "other.jsonl", [{"messages": [{"role": "system", "content": "Be brief."}, *turns]}] * 4
    )
    with pytest.raises(Refusal, match="system turn"):
        training.run(world.train_spec(folder, rows, tmp_path / "other", steps=2))


def test_arguments_before_a_template_hold_unless_a_request_sets_them(model):
    # The text is as steps/chat-template.ts writes it (test/steps/chat-template.test.ts).
    thinking = """  {% for message in messages %}
{{ message.content }}
{% endfor %}
{%- if enable_thinking is defined and enable_thinking is false %}{{ 'He' }}{% endif %}"""
    tokenizer = load_tokenizer(str(model))
    tokenizer.chat_template = thinking
    wanted = {on: template_tokens(tokenizer, TURNS, True, False, {"enable_thinking": on}) for on in (True, False)}
    plain = template_tokens(tokenizer, TURNS, True, False)
    assert wanted[True] == plain != wanted[False]
    before = "{%- if enable_thinking is not defined %}{%- set enable_thinking = false %}{%- endif %}\n"
    tokenizer.chat_template = before + thinking
    assert template_tokens(tokenizer, TURNS, True, False) == wanted[False]
    assert template_tokens(tokenizer, TURNS, True, False, {"enable_thinking": True}) == wanted[True]


def test_a_system_turn_before_a_template_comes_where_a_conversation_has_none(model):
    # The text is as steps/chat-template.ts writes it (test/steps/chat-template.test.ts).
    own = (
        "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}He{% endif %}"
        "{{ message['role'] }}{{ message['content'] }}{% endfor %}"
    )
    tokenizer = load_tokenizer(str(model))
    tokenizer.chat_template = own
    empty = [{"role": "system", "content": ""}]
    wanted = template_tokens(tokenizer, [*empty, *TURNS], True, False)
    assert template_tokens(tokenizer, TURNS, True, False) != wanted
    tokenizer.chat_template = (
        "{%- if messages[0].role != 'system' %}"
        '{%- set messages = [{"role": "system", "content": ""}] + messages %}{%- endif %}\n' + own
    )
    assert template_tokens(tokenizer, TURNS, True, False) == wanted
    assert template_tokens(tokenizer, [*empty, *TURNS], True, False) == wanted
