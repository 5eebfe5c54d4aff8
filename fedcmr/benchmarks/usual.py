"""A federated visit as it is usually written: a new model, new loaders and new Trainers each time, whole states sent.

Its adapters are peft's where peft is installed, one for each branch and both active, and fedcmr's own where it is not.
"""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import torch
from lightning import LightningModule, Trainer
from torch import Tensor, nn

from fedcmr.benchmarks.workload import CLIENT, Stage, Workload, adapted, client_data, strategy, task, visit_knobs
from fedcmr.data.loaders import Fetch
from fedcmr.federation.client import visit_seed
from fedcmr.federation.trainers import quiet
from fedcmr.knobs import AdapterKnobs
from fedcmr.models.adapters import chosen_blocks
from fedcmr.models.backbone import Backbone
from fedcmr.models.cardiac import Cardiac
from fedcmr.models.threads import one_thread
from fedcmr.tensors import TensorName, Tensors

HAS_PEFT = find_spec("peft") is not None


class Usual(LightningModule):
    """Trains whatever of a model asks for a gradient, and predicts.

    Args:
        model: images -> logits. workload: for the knobs of the optimizer. class_weights: (L,) of the loss.
    """

    def __init__(self, model: nn.Module, workload: Workload, class_weights: Tensor) -> None:
        super().__init__()
        self.model, self.knobs, self.task = model, visit_knobs(workload), task()
        self.register_buffer("class_weights", class_weights, persistent=False)
        self.losses: list[Tensor] = []

    def training_step(self, batch: Mapping[str, Any], index: int) -> Tensor:
        weights_L = self.get_buffer("class_weights")
        loss = self.task.loss(self.model(batch["inputs"]), batch["label"], weights_L)
        self.losses.append(loss.detach())
        return loss

    def predict_step(self, batch: Mapping[str, Any], index: int) -> Tensor:
        return self.task.probabilities(self.model(batch["inputs"]).float())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        live = [tensor for tensor in self.parameters() if tensor.requires_grad]
        groups = [
            {"params": [tensor for tensor in live if tensor.ndim > 1], "weight_decay": self.knobs.weight_decay},
            {"params": [tensor for tensor in live if tensor.ndim <= 1], "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=self.knobs.lr, betas=(self.knobs.beta1, self.knobs.beta2))


def usual_round(workload: Workload, sent: Tensors, volumes: Fetch, passes: int) -> tuple[float, dict[str, Tensor]]:
    """One client's round: everything made anew, trained for an epoch, scored `passes` times.

    Args:
        sent: the server's whole state dict.
        volumes: case -> volume.
    Returns: the mean training loss, and the whole state dict to hand over.
    """
    with one_thread(), quiet():
        model = usual_model(workload, Backbone(workload.shape, "from the server"))
        model.load_state_dict(sent)
        data = client_data(workload, volumes)
        data.reseed(visit_seed(workload.seed, 1, CLIENT))
        module = Usual(model, workload, task().class_weights(data.class_counts(len(task().classes))))
        clip = visit_knobs(workload).clip
        usual_trainer(max_epochs=1, gradient_clip_val=clip).fit(module, train_dataloaders=data.train_dataloader())
        for _ in range(passes):
            usual_trainer().predict(module, dataloaders=data.scoring_dataloader("val"))
        return float(torch.stack(module.losses).mean()), model.state_dict()


def state_to_send(stage: Stage) -> dict[str, Tensor]:
    """What the server of the usual way sends before the first round."""
    pristine = Backbone(stage.workload.shape, "the server's")
    pristine.load_state_dict(stage.model.backbone.foundation())
    return usual_state(stage.workload, pristine, stage.federation(stage.volumes).start)


def usual_model(workload: Workload, backbone: Backbone) -> nn.Module:
    """Backbone, adapters and head, of which adapters and head train."""
    if not HAS_PEFT:
        model = adapted(workload.shape, backbone, workload.seed)
        model.train_only(model.live().keys())
        return model
    from peft import LoraConfig, inject_adapter_in_model
    from peft.tuners.tuners_utils import BaseTunerLayer

    plain = Cardiac(backbone, task().head(workload.shape.width, workload.shape.views))
    knobs, branches = AdapterKnobs(), strategy().branches
    blocks = chosen_blocks(knobs.blocks, backbone.depth)
    layers = [f"backbone.encoder.blocks.{index}.{layer}" for index in blocks for layer in knobs.layers]
    for branch in branches:
        config = LoraConfig(r=branch.rank, lora_alpha=int(branch.alpha), target_modules=layers, lora_dropout=0.0)
        inject_adapter_in_model(config, plain, adapter_name=branch.name)
    for module in plain.modules():
        if isinstance(module, BaseTunerLayer):
            module.set_adapter([branch.name for branch in branches])
    plain.head.requires_grad_(True)
    backbone.split = blocks[0]  # what lies before runs without gradients, as with fedcmr's own adapters
    return plain


def usual_state(workload: Workload, backbone: Backbone, start: Tensors) -> dict[str, Tensor]:
    """What the server sends: the whole state dict, with these starting values.

    Args:
        backbone: the pristine one, which is taken over. start: of every tensor outside it, by fedcmr's names.
    """
    model = usual_model(workload, backbone)
    if isinstance(model, Cardiac) and not HAS_PEFT:
        model.load(start)
        return model.state_dict()
    state = model.state_dict()
    for name, tensor in start.items():
        parsed = TensorName.parse(name)
        if parsed.is_factor:
            name = f"backbone.{parsed.layer}.lora_{parsed.factor}.{parsed.branch}.weight"
        state[name] = tensor
    return state


def usual_trainer(**wishes: float) -> Trainer:
    """A Trainer without files or talk."""
    return Trainer(
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **wishes,  # type: ignore[arg-type]
    )
