"""AdamW with its parameter groups, and the learning-rate schedule."""

import torch
from timm.optim import param_groups_weight_decay
from timm.scheduler import CosineLRScheduler, MultiStepLRScheduler
from timm.scheduler.scheduler import Scheduler
from torch import nn

from vitscope.recipe import Optimisation

SPARED = ("encoder.cls_token", "encoder.pos_embed")  # SimMIM `no_weight_decay` of its ViT


def adamw(module: nn.Module, settings: Optimisation) -> torch.optim.AdamW:
    """AdamW over the parameters that train.

    Args:
        module: Parameters without `requires_grad` are left out.
        settings: With `decay_all` every parameter decays (MoCo v3); otherwise 1-D parameters,
            biases, CLS and position are spared (SimMIM; mask tokens and bias tables do decay).
    """
    groups: list[dict[str, object]]
    if settings.decay_all:
        trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
        groups = [{"params": trained, "weight_decay": settings.weight_decay}]
    else:
        groups = param_groups_weight_decay(
            module, settings.weight_decay, no_weight_decay_list=SPARED
        )
    return torch.optim.AdamW(
        groups, lr=settings.learning_rate, betas=(settings.beta1, settings.beta2)
    )


def schedule(optimizer: torch.optim.Optimizer, settings: Optimisation) -> Scheduler:
    """Learning rate as a function of the step alone; call `step_update(step)` before each step.

    Linear warm-up from `warmup_lr` to the peak, then a half cosine to 0, or a division by 10 at
    `milestone`. Step 0 has the warm-up's first value, as in the official loops.
    """
    num_steps = settings.num_steps
    warmup_steps = round(settings.warmup * num_steps)
    warmup_lr = settings.warmup_lr * settings.batch_size / settings.lr_batch
    if settings.schedule == "cosine":
        return CosineLRScheduler(
            optimizer,
            t_initial=max(num_steps - warmup_steps, 1),
            warmup_t=warmup_steps,
            warmup_lr_init=warmup_lr,
            warmup_prefix=True,
            t_in_epochs=False,
        )
    return MultiStepLRScheduler(
        optimizer,
        # timm's milestone m applies at step m - 1; the official code's at step m.
        decay_t=[round(settings.milestone * num_steps) + 1],
        decay_rate=0.1,
        warmup_t=warmup_steps,
        warmup_lr_init=warmup_lr,
        warmup_prefix=False,
        t_in_epochs=False,
    )
