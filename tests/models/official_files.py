"""Tiny weight files in the key layouts of the official repositories, and what they hold beside."""

import argparse
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from tests.models.official_shapes import (
    CHANNELS,
    DEPTH,
    HEADS,
    PATCHES,
    SIDE,
    Weights,
    filled,
    head,
    plain,
    prefixed,
    relative,
    scaled,
    with_table,
)
from vitscope.models.positions import mae_positions
from vitscope.models.vit import sincos_positions

SHARED = "rel_pos_bias."


@dataclass(frozen=True)
class OfficialFile:
    """A file's content and the encoder in it, under the names that its authors' encoder has."""

    format: str
    content: dict[str, Any]
    encoder: Weights
    dropped: int  # tensors of the branch that are no part of the encoder
    options: dict[str, str] = field(default_factory=lambda: {"num_heads": str(HEADS)})

    @property
    def query(self) -> str:
        return "&".join(f"{name}={value}" for name, value in self.options.items())


class CfgNode(dict):
    """Stands for yacs.config.CfgNode, which is not installed."""

    __module__ = "yacs.config"


def saved(path: Path, content: object) -> Path:
    """Saved by torch, as if yacs were installed where that happens."""
    config = types.ModuleType("yacs.config")
    config.CfgNode = CfgNode  # type: ignore[attr-defined]
    with mock.patch.dict(sys.modules, {"yacs": types.ModuleType("yacs"), "yacs.config": config}):
        torch.save(content, path)
    return path


def moco_v3(branch: str = "base") -> OfficialFile:
    """main_moco.py under DistributedDataParallel: two encoders with projectors, a predictor."""
    rows = sincos_positions(SIDE, SIDE, CHANNELS)
    encoders = {b: with_table(filled(plain(), b), rows) for b in ("base", "momentum")}
    projector = {
        "head.0.weight": (7, CHANNELS),
        "head.1.running_mean": (7,),
        "head.3.weight": (5, 7),
    }
    state: Weights = {}
    for name, encoder in encoders.items():
        state |= prefixed(f"module.{name}_encoder.", encoder | filled(projector))
    state |= filled({"module.predictor.0.weight": (7, 5), "module.predictor.1.weight": (7,)})
    content = {"epoch": 300, "arch": "vit_small", "state_dict": state, "optimizer": {"state": {}}}
    options = {"num_heads": str(HEADS)} | ({"branch": branch} if branch != "base" else {})
    dropped = len(encoders["base"]) + 3 * 2 + 2  # the other encoder, projectors, predictor
    return OfficialFile("moco_v3", content, encoders[branch], dropped, options)


def moco_v3_linear() -> OfficialFile:
    """main_lincls.py: the encoder with a classifier."""
    encoder = with_table(filled(plain()), sincos_positions(SIDE, SIDE, CHANNELS))
    state = prefixed("module.", encoder | head())
    content = {"epoch": 90, "state_dict": state, "best_acc1": torch.tensor(73.2), "optimizer": {}}
    return OfficialFile("moco_v3", content, encoder, 2)


def simmim() -> OfficialFile:
    """utils.py `save_checkpoint`: one table of relative positions for all blocks."""
    shapes = plain(None, split_bias=True) | scaled(("gamma_1", "gamma_2"))
    encoder = filled(shapes) | relative(SHARED)
    beside = filled({"mask_token": (1, 1, CHANNELS)})
    decoder = filled({"decoder.0.weight": (48, CHANNELS, 1, 1), "decoder.0.bias": (48,)})
    state = prefixed("encoder.", encoder | beside) | decoder
    return OfficialFile("simmim", simmim_content(state), encoder, 4, {})


def simmim_finetuned() -> OfficialFile:
    """A table for each block, patches pooled before the last norm, a classifier."""
    shapes = plain(None, ("fc_norm",), split_bias=True) | scaled(("gamma_1", "gamma_2"))
    encoder = filled(shapes)
    for index in range(DEPTH):
        encoder |= relative(f"blocks.{index}.attn.")
    return OfficialFile("simmim", simmim_content(encoder | head()), encoder, 4, {})


def simmim_content(state: Weights) -> dict[str, Any]:
    config = CfgNode(MODEL=CfgNode(TYPE="vit", VIT=CfgNode(NUM_HEADS=HEADS)), STEPS=[700])
    beside = {"optimizer": {"state": {}}, "lr_scheduler": {"base_values": [1e-4]}}
    return {"model": state, **beside, "max_accuracy": 0.0, "epoch": 799, "config": config}


def mae(full: bool = False) -> OfficialFile:
    encoder = with_table(filled(plain()), mae_positions(SIDE, SIDE, CHANNELS))
    decoder = {
        "mask_token": (1, 1, 16),
        "decoder_pos_embed": (1, PATCHES + 1, 16),
        "decoder_embed.weight": (16, CHANNELS),
        "decoder_blocks.0.attn.qkv.weight": (48, 16),
        "decoder_pred.bias": (48,),
    }
    weights = encoder | (filled(decoder) if full else {})
    content: dict[str, Any] = {"model": weights}
    if full:
        content |= {"optimizer": {}, "scaler": {"scale": 1.0}, "args": argparse.Namespace(lr=0.1)}
    return OfficialFile("mae", content, encoder, 5 if full else 0)


def mae_finetuned() -> OfficialFile:
    encoder = filled(plain(last=("fc_norm",)))  # fine-tuning trains the table too
    return OfficialFile("mae", {"model": encoder | head()}, encoder, 2)


def dino() -> OfficialFile:
    encoder = filled(plain())
    return OfficialFile("dino", dict(encoder), encoder, 0)


def two_branches(branch: str, heads: Weights, student: Weights) -> tuple[dict[str, Any], Weights]:
    """main_dino.py: only the student is wrapped; the optimiser's groups hold numpy's numbers."""
    encoders = {name: filled(plain(), name) for name in ("teacher", "student")}
    teacher = prefixed("backbone.", encoders["teacher"]) | prefixed("head.", heads)
    own = prefixed("backbone.", encoders["student"] | student) | prefixed("head.", heads)
    group = {"params": [0], "lr": np.linspace(0, 1, 5)[2], "weight_decay": np.float64(0.4)}
    content = {
        "student": prefixed("module.", own),
        "teacher": teacher,
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [group]},
        "epoch": 100,
        "args": argparse.Namespace(arch="vit_small", lr=np.float64(0.1)),
    }
    return content, encoders[branch]


def dino_training(branch: str = "teacher") -> OfficialFile:
    heads = filled({"mlp.0.weight": (7, CHANNELS), "last_layer.weight_g": (9, 1)})
    content, encoder = two_branches(branch, heads, {})
    content["dino_loss"] = {"center": torch.zeros(1, 9)}
    options = {"num_heads": str(HEADS)} | ({"branch": branch} if branch != "teacher" else {})
    return OfficialFile("dino", content, encoder, 2, options)


def ibot(with_mask: bool = False) -> OfficialFile:
    encoder = filled(plain())
    masked = filled({"masked_embed": (1, CHANNELS)}) if with_mask else {}
    return OfficialFile("ibot", {"state_dict": encoder | masked}, encoder, len(masked))


def ibot_extracted() -> OfficialFile:
    """extract_backbone_weights.py, from a student: the top level holds its keys."""
    encoder = filled(plain())
    return OfficialFile("ibot", encoder | filled({"masked_embed": (1, CHANNELS)}), encoder, 1)


def ibot_training(branch: str = "teacher", teacher_alone: bool = False) -> OfficialFile:
    heads = filled({"mlp.0.weight": (7, CHANNELS), "last_layer.weight_g": (9, 1)})
    heads["last_layer2.weight_g"] = heads["last_layer.weight_g"]  # a shared head has two names
    student = filled({"masked_embed": (1, CHANNELS)})
    content, encoder = two_branches(branch, heads, student)
    content["ibot_loss"] = {"center": torch.zeros(1, 9), "center2": torch.zeros(1, 1, 9)}
    if teacher_alone:
        del content["student"], content["ibot_loss"]
    options = {"num_heads": str(HEADS)} | ({"branch": branch} if branch != "teacher" else {})
    return OfficialFile("ibot", content, encoder, 4 if branch == "student" else 3, options)


def beit() -> OfficialFile:
    shapes = plain(None, split_bias=True) | scaled(("gamma_1", "gamma_2"))
    encoder = filled(shapes) | relative(SHARED)
    beside = filled({"mask_token": (1, 1, CHANNELS)}) | head("lm_head")
    return OfficialFile("beit", {"model": encoder | beside}, encoder, 4, {})


def beit_finetuned() -> OfficialFile:
    shapes = plain(None, ("fc_norm",), split_bias=True) | scaled(("gamma_1", "gamma_2"))
    encoder = filled(shapes)
    for index in range(DEPTH):
        encoder |= relative(f"blocks.{index}.attn.")
    return OfficialFile("beit", {"module": encoder | head(), "epoch": 3}, encoder, 4, {})


def beit_absolute() -> OfficialFile:
    """beit_base_patch16_224_pt1k_800ep: no relative positions, no LayerScale."""
    encoder = filled(plain(split_bias=True))
    beside = filled({"mask_token": (1, 1, CHANNELS)}) | head("lm_head")
    return OfficialFile("beit", {"model": encoder | beside}, encoder, 3)


def dinov2(registers: int = 0, gated: bool = False) -> OfficialFile:
    encoder = filled(plain(gated=gated) | scaled(("ls1.gamma", "ls2.gamma")))
    if registers:
        encoder |= filled({"register_tokens": (1, registers, CHANNELS)})
    mask = filled({"mask_token": (1, CHANNELS)})
    return OfficialFile("dinov2", encoder | mask, encoder, 1)


def dinov2_training() -> OfficialFile:
    """train.py `do_test`: the teacher and its heads; blocks in two chunks, one block in each."""
    encoder = filled(plain() | scaled(("ls1.gamma", "ls2.gamma")))
    mask = filled({"mask_token": (1, CHANNELS)})
    chunked = {
        name.replace("blocks.0.", "blocks.0.0.").replace("blocks.1.", "blocks.1.1."): value
        for name, value in (encoder | mask).items()
    }
    heads = filled(
        {"dino_head.mlp.0.weight": (7, CHANNELS), "ibot_head.last_layer.weight_g": (9, 1)}
    )
    state = prefixed("backbone.", chunked) | heads
    return OfficialFile("dinov2", {"teacher": state}, encoder, 3)


def deit() -> OfficialFile:
    encoder = filled(plain())
    return OfficialFile("deit", {"model": encoder | head()}, encoder, 2)


def deit_distilled() -> OfficialFile:
    encoder = filled(plain(PATCHES + 2) | {"dist_token": (1, 1, CHANNELS)})
    return OfficialFile("deit", {"model": encoder | head() | head("head_dist")}, encoder, 4)


def deit_third() -> OfficialFile:
    encoder = filled(plain(PATCHES) | scaled(("gamma_1", "gamma_2")))
    return OfficialFile("deit", {"model": encoder | head()}, encoder, 2)


FILES: dict[str, Callable[[], OfficialFile]] = {
    "moco_v3": moco_v3,
    "moco_v3 momentum": lambda: moco_v3("momentum"),
    "moco_v3 linear": moco_v3_linear,
    "simmim": simmim,
    "simmim fine-tuned": simmim_finetuned,
    "mae": mae,
    "mae full": lambda: mae(full=True),
    "mae fine-tuned": mae_finetuned,
    "dino": dino,
    "dino teacher": dino_training,
    "dino student": lambda: dino_training("student"),
    "ibot": ibot,
    "ibot student alone": lambda: ibot(with_mask=True),
    "ibot student extracted": ibot_extracted,
    "ibot teacher": ibot_training,
    "ibot student": lambda: ibot_training("student"),
    "ibot teacher alone": lambda: ibot_training(teacher_alone=True),
    "beit": beit,
    "beit fine-tuned": beit_finetuned,
    "beit absolute": beit_absolute,
    "dinov2": dinov2,
    "dinov2 registers": lambda: dinov2(registers=2),
    "dinov2 gated": lambda: dinov2(gated=True),
    "dinov2 teacher": dinov2_training,
    "deit": deit,
    "deit distilled": deit_distilled,
    "deit third": deit_third,
}
