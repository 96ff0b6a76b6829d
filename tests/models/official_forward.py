"""What the official encoders compute, written out in plain torch from their definitions.

Weights are under the official names; everything is float64. The parts of a block are those that the
names say: which biases, LayerScale, relative positions, a gated MLP.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

Weights = dict[str, Tensor]


def tokens_by_layer(
    weights: Weights, images: Tensor, heads: int, eps: float = 1e-6
) -> list[Tensor]:
    """Tokens of the embedding and after each block, before the last norm."""
    w = {name: value.double() for name, value in weights.items() if value.is_floating_point()}
    tokens = [embedding(w, images.double())]
    index = 0
    while f"blocks.{index}.norm1.weight" in w:
        tokens.append(after_block(w, f"blocks.{index}.", tokens[-1], heads, eps))
        index += 1
    return tokens


def output(weights: Weights, images: Tensor, heads: int, eps: float = 1e-6) -> Tensor:
    """What a classifier gets: CLS after the last norm, or the patches' mean, then a norm."""
    last = tokens_by_layer(weights, images, heads, eps)[-1]
    w = {name: value.double() for name, value in weights.items()}
    if "fc_norm.weight" in w:
        return normed(w, "fc_norm", last[:, 1:].mean(1), eps)
    ends = 2 if "dist_token" in w else 1  # DeiT averages what follows from its two tokens
    return normed(w, "norm", last, eps)[:, :ends].mean(1)


def embedding(w: Weights, images: Tensor) -> Tensor:
    kernel = w["patch_embed.proj.weight"]
    patches = F.conv2d(images, kernel, w["patch_embed.proj.bias"], stride=kernel.shape[-1])
    patches = patches.flatten(2).transpose(1, 2)

    def each(name: str) -> Tensor:
        return w[name].expand(len(images), -1, -1)

    positions = w.get("pos_embed")
    if positions is not None and positions.shape[1] == patches.shape[1]:  # DeiT III
        return torch.cat([each("cls_token"), patches + positions], dim=1)
    prefix = [each("cls_token")] + ([each("dist_token")] if "dist_token" in w else [])
    tokens = torch.cat([*prefix, patches], dim=1)
    if positions is not None:
        tokens = tokens + positions
    if "register_tokens" in w:  # DINOv2 puts them in after the positions
        tokens = torch.cat([tokens[:, :1], each("register_tokens"), tokens[:, 1:]], dim=1)
    return tokens


def after_block(w: Weights, at: str, x: Tensor, heads: int, eps: float) -> Tensor:
    x = x + scale(w, at, 1) * attended(w, at, normed(w, f"{at}norm1", x, eps), heads)
    return x + scale(w, at, 2) * mlp(w, f"{at}mlp.", normed(w, f"{at}norm2", x, eps))


def normed(w: Weights, name: str, x: Tensor, eps: float) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    deviation = (centred.square().mean(-1, keepdim=True) + eps).sqrt()
    return centred / deviation * w[f"{name}.weight"] + w[f"{name}.bias"]


def scale(w: Weights, at: str, which: int) -> Tensor:
    one = torch.ones((), dtype=torch.float64)
    return w.get(f"{at}gamma_{which}", w.get(f"{at}ls{which}.gamma", one))


def attended(w: Weights, at: str, x: Tensor, heads: int) -> Tensor:
    matrix = w[f"{at}attn.qkv.weight"]
    bias = w.get(f"{at}attn.qkv.bias")
    if bias is None:  # k has none
        q_bias, v_bias = w[f"{at}attn.q_bias"], w[f"{at}attn.v_bias"]
        bias = torch.cat([q_bias, torch.zeros_like(q_bias), v_bias])
    q, k, v = ((x @ part.T + b) for part, b in zip(matrix.chunk(3), bias.chunk(3), strict=True))
    width = x.shape[-1] // heads
    table = w.get(f"{at}attn.relative_position_bias_table")
    if table is None:
        table = w.get("rel_pos_bias.relative_position_bias_table")
    outputs = []
    for head in range(heads):
        own = slice(head * width, (head + 1) * width)
        logits = q[..., own] @ k[..., own].transpose(1, 2) / width**0.5
        if table is not None:
            logits = logits + relative_bias(table[:, head], x.shape[1] - 1)
        outputs.append(logits.softmax(-1) @ v[..., own])
    joined = torch.cat(outputs, dim=-1)
    return joined @ w[f"{at}attn.proj.weight"].T + w[f"{at}attn.proj.bias"]


def relative_bias(table: Tensor, num_patches: int) -> Tensor:
    """Bias by query and key, CLS first; the offset of query minus key chooses the row."""
    side = int(num_patches**0.5)
    bias = torch.zeros(num_patches + 1, num_patches + 1, dtype=table.dtype)
    for query in range(num_patches):
        for key in range(num_patches):
            down = query // side - key // side + side - 1
            right = query % side - key % side + side - 1
            bias[query + 1, key + 1] = table[down * (2 * side - 1) + right]
    bias[0, :] = table[-3]  # CLS looks at a patch
    bias[:, 0] = table[-2]  # a patch looks at CLS
    bias[0, 0] = table[-1]
    return bias


def mlp(w: Weights, at: str, x: Tensor) -> Tensor:
    if f"{at}w12.weight" in w:  # SwiGLU
        gate, value = (x @ w[f"{at}w12.weight"].T + w[f"{at}w12.bias"]).chunk(2, dim=-1)
        hidden = gate * torch.sigmoid(gate) * value
        return hidden @ w[f"{at}w3.weight"].T + w[f"{at}w3.bias"]
    hidden = x @ w[f"{at}fc1.weight"].T + w[f"{at}fc1.bias"]
    hidden = hidden * (1 + torch.erf(hidden / 2**0.5)) / 2  # GELU
    return hidden @ w[f"{at}fc2.weight"].T + w[f"{at}fc2.bias"]
