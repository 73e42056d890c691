from __future__ import annotations

import pytest
import world

from backspin_trainer.exits import Exit, Refusal
from backspin_trainer.tokens import check_chat_template, read_tokenizer


@pytest.mark.parametrize(
    ("template", "part"),
    [
        (None, "is missing"),
        ("{% for m in messages %}" + world.TURN + "{% endfor %}", "generation prompt"),
        (
            "{% for m in messages %}{% if m.role != 'system' %}" + world.TURN + "{% endif %}{% endfor %}" + world.OPEN,
            "leaves a system turn out",
        ),
        (
            "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no') }}{% endif %}"
            + world.TURN
            + "{% endfor %}"
            + world.OPEN,
            "cannot render a system turn",
        ),
        (
            "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content }}{% endfor %}" + world.OPEN,
            "does not end the assistant's turn",
        ),
    ],
)
def test_a_chat_template_is_refused_by_the_part_that_it_cannot_render(tmp_path, template, part):
    world.make_tokenizer(tmp_path / "t", template=template)
    with pytest.raises(Refusal) as error:
        check_chat_template(read_tokenizer(str(tmp_path / "t")), "t")
    assert error.value.code == Exit.MODEL and part in str(error.value)


def test_a_template_whose_user_turn_opens_the_answer_needs_no_generation_prompt(tmp_path):
    turn = "{% if m.role == 'user' %}[{{ m.content }}]{% else %}{{ m.content }}<|end|>{% endif %}"
    world.make_tokenizer(tmp_path / "t", template="{% for m in messages %}" + turn + "{% endfor %}")
    check_chat_template(read_tokenizer(str(tmp_path / "t")), "t")
