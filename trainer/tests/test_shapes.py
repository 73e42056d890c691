"""A reply depends neither on the replies beside it nor on its place among them, with whatever kernels a machine has."""

from __future__ import annotations

import pytest
import torch

from backspin_trainer.exits import Refusal
from backspin_trainer.llama import CHUNK, CHUNKS, Llama
from backspin_trainer.shapes import Rows, find_shapes
from backspin_trainer.spec import ModelFolders
from backspin_trainer.weights import read_weights


def kernels(bits):
    """A machine on which `bits(kernel, rows, attention length)` says what each row yields."""

    def trial(kernel: str, rows: int, last: int, attention_length: int) -> torch.Tensor:
        yielded = bits(kernel, rows, attention_length)
        return torch.tensor(yielded if isinstance(yielded, list) else [yielded] * rows)

    return lambda: find_shapes(trial, 64, 16, 16, 96)


def test_where_every_number_of_rows_is_equal_the_smallest_are_used():
    shapes = kernels(lambda *_: 1)()
    assert (shapes.decode, shapes.prefill, shapes.head) == (Rows(2, 64), Rows(1, 16), Rows(2, 64))
    assert shapes.attention_lengths == (16, 32, 64, 96)
    assert [shapes.decode.rounded(count) for count in (1, 8, 9, 64)] == [2, 8, 10, 64]


def test_a_number_of_rows_in_which_the_last_have_other_bits_is_passed_over():
    shapes = kernels(lambda kernel, rows, _: [1] * (rows - 1) + [2] if kernel == "prefill" and rows < 18 else 1)()
    assert shapes.prefill == Rows(18, 18)
    assert shapes.decode == Rows(2, 64)


def test_numbers_of_rows_with_other_bits_than_the_largest_are_not_used():
    assert kernels(lambda kernel, rows, _: int(rows < 20))().decode == Rows(32, 64)
    assert kernels(lambda kernel, rows, _: rows)().decode == Rows(64, 64)


def test_an_attention_length_with_other_bits_than_the_whole_is_not_used():
    assert kernels(lambda kernel, rows, length: int(length < 64))().attention_lengths == (64, 96)


def test_a_machine_on_which_no_number_of_rows_is_equal_is_refused():
    with pytest.raises(Refusal, match="lower 'slots', or serve the model with vLLM"):
        kernels(lambda kernel, rows, _: list(range(rows)))()


@pytest.mark.parametrize("which", ["model", "wide"])
@torch.inference_mode()
def test_a_row_has_the_same_bits_in_every_place_alone_and_among_others(request, which):
    llama = Llama(read_weights(ModelFolders(str(request.getfixturevalue(which)))), 64, 2)
    most, generator = llama.shapes.decode.most, torch.Generator().manual_seed(5)
    llama._keys.normal_(generator=generator)
    llama._values.normal_(generator=generator)
    keys, values = llama._keys.clone(), llama._values.clone()

    def cached(slots: list[int]) -> None:
        """Puts what sequence i has in the cache into slot `slots[i]`."""
        llama._keys[:, slots], llama._values[:, slots] = keys[:, : len(slots)], values[:, : len(slots)]

    tokens = torch.randint(llama.vocabulary, (most,), generator=generator)
    chunks = torch.randint(llama.vocabulary, (CHUNKS, CHUNK), generator=generator)
    for _ in range(10):
        places = torch.randperm(64, generator=generator).tolist()
        positions = torch.randint(1, llama.context, (64,), generator=generator)
        starts = torch.randint(llama.context // CHUNK, (CHUNKS,), generator=generator) * CHUNK
        cached(places)
        slots = torch.tensor(places)
        at = torch.zeros(most, dtype=torch.long).index_put_((slots,), positions)
        among = llama.decode(tokens.index_put((slots,), tokens[:64]), at)[slots]
        cached(places)
        filled = llama.prefill(chunks, starts, slots[:CHUNKS])
        answers = llama.head(filled[:, -1])
        for one in range(CHUNKS):
            llama._keys[:, 0], llama._values[:, 0] = keys[:, one], values[:, one]
            count = llama.shapes.decode.rounded(1)
            first = torch.arange(count) == 0
            assert torch.equal(llama.decode(first * tokens[one], first * positions[one])[0], among[one])
            llama._keys[:, 0], llama._values[:, 0] = keys[:, one], values[:, one]
            alone = llama.prefill(chunks[one : one + 1], starts[one : one + 1], torch.tensor([0]))
            assert torch.equal(alone[0], filled[one])
            assert torch.equal(llama.head(alone[:, -1])[0], answers[one])


@pytest.mark.parametrize("which", ["model", "wide"])
@torch.inference_mode()
def test_chunks_of_one_prompt_have_the_same_bits_in_one_pass_as_one_after_another(request, which):
    llama = Llama(read_weights(ModelFolders(str(request.getfixturevalue(which)))), 4, 2)
    count = min(llama.context // CHUNK, CHUNKS + 3)
    chunks = torch.randint(llama.vocabulary, (count, CHUNK), generator=torch.Generator().manual_seed(6))
    starts = torch.arange(count) * CHUNK
    singly = [
        llama.prefill(chunk[None], start[None], torch.tensor([1]))[0].clone() for chunk, start in zip(chunks, starts)
    ]
    together = [
        llama.prefill(chunks[some], starts[some], torch.tensor([2]).expand(len(starts[some])))
        for some in (slice(0, CHUNKS), slice(CHUNKS, None))
        if len(starts[some])
    ]
    assert torch.equal(torch.cat(together), torch.stack(singly))
