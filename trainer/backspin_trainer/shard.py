"""Trainings whose weights, gradients and optimizer state are divided among the devices: FSDP2, PyTorch's `fully_shard`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
import torch.distributed.checkpoint as dcp
from accelerate import PartialState
from accelerate.utils import gather_object
from peft import PeftModel
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel

from .adapters import causal_lm
from .device import computes_in_bf16
from .exits import Exit, Refusal
from .spec import TrainSpec

Model = PreTrainedModel | PeftModel
_TRAINED = StateDictOptions(ignore_frozen_params=True)


def check_world(spec: TrainSpec, devices: int) -> None:
    """Raises Refusal 64 if the device group cannot run the training as `spec` says."""
    if spec.batch % devices:
        raise Refusal(Exit.SPEC, f"Spec key 'batch' is {spec.batch}, which {devices} devices cannot share; make it a multiple.")
    if spec.shard == "fsdp2" and devices < 2:
        raise Refusal(
            Exit.SPEC,
            "Spec key 'shard' is 'fsdp2', which divides a training among several devices, and the device group has one: give "
            "the pool groups of several devices, such as cuda:0+1, or set it to 'none'.",
        )


def opened(spec: TrainSpec, open_model: Callable[[], Model]) -> Model:
    """The model of `open_model`, sharded if `spec` says so. Then the processes open it one after the other, so that main
    memory holds one whole model, and not one for each device."""
    if spec.shard == "none":
        return open_model()
    world = PartialState()
    mesh = init_device_mesh(world.device.type, (world.num_processes,))
    for process in range(world.num_processes):
        if process == world.process_index:
            model = _shard(open_model(), mesh)
        world.wait_for_everyone()
    return model


def _shard(model: Model, mesh: DeviceMesh) -> Model:
    """Shards `model` in place, each layer for itself. It computes as trainings do, in bf16 if the devices can, and sums
    gradients in fp32."""
    precision = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    policy = {"mesh": mesh, **({"mp_policy": precision} if computes_in_bf16() else {})}
    lm = causal_lm(model)
    kinds = set(lm._no_split_modules or ())
    layers = [module for module in lm.modules() if type(module).__name__ in kinds]
    if not layers:
        raise Refusal(
            Exit.SPEC,
            f"Spec key 'shard' must be 'none': Transformers does not say which layers of {type(lm).__name__} to divide.",
        )
    for layer in layers:
        fully_shard(layer, reshard_after_forward=True, **policy)
    if not lm.config.get_text_config().tie_word_embeddings:
        fully_shard(lm.get_input_embeddings(), reshard_after_forward=True, **policy)
    fully_shard(model, **policy)
    model._is_accelerate_prepared = True  # accelerate would wrap it for data parallelism
    return model


def any_process(flag: bool) -> bool:
    """Whether `flag` is true in any process; all processes get the same result."""
    return any(gather_object([flag]))


def is_sharded(model: torch.nn.Module) -> bool:
    return isinstance(model, FSDPModule)


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor of all shards. Every process must call it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def trained_weights(model: Model) -> dict[str, torch.Tensor]:
    """The trained weights of a sharded model, whole and in main memory, in the main process; empty in the others, which must
    call it too."""
    options = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True)
    tied = getattr(causal_lm(model), "all_tied_weights_keys", None) or {}
    return {name: weight for name, weight in get_model_state_dict(model, options=options).items() if name not in tied}


def save_shards(folder: Path, model: Model, optimizer: torch.optim.Optimizer) -> None:
    """Every process writes its shards of the trained weights and of the optimizer's state."""
    dcp.save({"model": get_model_state_dict(model, options=_TRAINED)}, checkpoint_id=folder / "model")
    dcp.save({"optimizer": get_optimizer_state_dict(model, optimizer, options=_TRAINED)}, checkpoint_id=folder / "optimizer")


def has_shards(checkpoint: Path) -> bool:
    """Whether `save_shards` wrote the checkpoint. A training without shards cannot go on from it, nor the other way round."""
    return (checkpoint / "optimizer").is_dir()


def load_weights(folder: Path, model: Model) -> None:
    """Reads the shards of `save_shards`, whatever the number of processes that wrote them."""
    state = {"model": get_model_state_dict(model, options=_TRAINED)}
    dcp.load(state, checkpoint_id=folder / "model")
    set_model_state_dict(model, state["model"], options=StateDictOptions(ignore_frozen_params=True, strict=False))


def load_optimizer(folder: Path, model: Model, optimizer: torch.optim.Optimizer) -> None:
    state = {"optimizer": get_optimizer_state_dict(model, optimizer, options=_TRAINED)}
    dcp.load(state, checkpoint_id=folder / "optimizer")
    set_optimizer_state_dict(model, optimizer, state["optimizer"], options=_TRAINED)
