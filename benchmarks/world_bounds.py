"""Measure what the bundled world asks of a model: how far raw pixels, an untrained ViT and a
supervised ViT get, and how little each label says about everything else that is drawn.

    python benchmarks/world_bounds.py --train 8000 --test 2000 --threads 1

Prints two markdown tables. `--epochs 0` skips the supervised ViT, the only slow part.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

import numpy as np
import torch
from timm.models import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional

from vitscope.data.shape_texture import ShapeTexture
from vitscope.models.vit import build_vit
from vitscope.recipe import Architecture

NEIGHBOURS = 20  # as in the k-NN protocol of Wu et al. (2018) and DINO
RIDGE_STRENGTHS = tuple(10.0**power for power in range(-4, 3))  # relative to the mean variance
VALIDATION_SHARE = 0.2  # of the training images, for the ridge strength and the layer
BINS = 8  # of a continuous parameter: chance in the tables is 1/8 too
SHUFFLES = 20  # label permutations behind the bias correction of a mutual information
SUPERVISED_DEPTH = 4  # two thirds of the recipes' depth: enough for the bound, in less time
LABELS = ("shape", "texture")


def normalised(images: np.ndarray) -> Tensor:
    """Return float images (n, 3, h, w) around 0; 0.25 is about their standard deviation."""
    return (torch.from_numpy(images).float() / 255 - 0.5) / 0.25


class Classifier(nn.Module):
    """The ViT that the recipes train, less deep, with a linear head on its mean patch token."""

    def __init__(self, size: int, num_classes: int) -> None:
        super().__init__()
        self.encoder = recipe_vit(size, SUPERVISED_DEPTH)
        for block in self.encoder.blocks:  # fused attention is slow in bf16 on a CPU
            block.attn.fused_attn = False
        self.head = nn.Linear(self.encoder.embed_dim, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.encoder.forward_features(images)
        return self.head(tokens[:, self.encoder.num_prefix_tokens :].mean(1))


def recipe_vit(size: int, depth: int = 6) -> VisionTransformer:
    """Return an untrained ViT as the recipes start from: 8 x 8 patches, sine-cosine positions."""
    return build_vit(Architecture(image_size=size, patch_size=size // 8, depth=depth), seed=0)


def timm_vit(size: int) -> VisionTransformer:
    """Return an untrained ViT of the same sizes as timm makes it: small weights and positions."""
    return VisionTransformer(
        img_size=size, patch_size=size // 8, embed_dim=128, depth=6, num_heads=4, num_classes=0
    )


def knn_accuracy(train: Tensor, labels: Tensor, test: Tensor, expected: Tensor) -> float:
    """Return the accuracy of a majority vote among the nearest neighbours in Euclidean distance."""
    hits = 0
    for part, truth in zip(test.split(256), expected.split(256), strict=True):
        nearest = torch.cdist(part, train).topk(NEIGHBOURS, largest=False).indices
        votes = functional.one_hot(labels[nearest], int(labels.max()) + 1).sum(1)
        hits += int((votes.argmax(1) == truth).sum())
    return hits / len(test)


def ridge_scores(train: Tensor, labels: Tensor, test: Tensor, strength: float) -> Tensor:
    """Return class scores of a ridge regression on one-hot labels over standardised features."""
    mean, deviation = train.mean(0), train.std(0).clamp_min(1e-8)
    train, test = (train - mean) / deviation, (test - mean) / deviation
    target = functional.one_hot(labels).to(train) - 1 / (int(labels.max()) + 1)
    gram = train.T @ train + strength * len(train) * torch.eye(train.shape[1]).to(train)
    return test @ torch.linalg.solve(gram, train.T @ target)


def ridge_accuracy(train: Tensor, labels: Tensor, test: Tensor, expected: Tensor) -> float:
    """Return the test accuracy of the depth and strength that are best on a validation part.

    `train`, `test`: (depth, image, channel).
    """
    kept = int(train.shape[1] * (1 - VALIDATION_SHARE))
    best = (-1.0, 0, 0.0)
    for depth, features in enumerate(train.double()):
        for strength in RIDGE_STRENGTHS:
            scores = ridge_scores(features[:kept], labels[:kept], features[kept:], strength)
            accuracy = float((scores.argmax(1) == labels[kept:]).double().mean())
            best = max(best, (accuracy, depth, strength))
    _, depth, strength = best
    scores = ridge_scores(train[depth].double(), labels, test[depth].double(), strength)
    return float((scores.argmax(1) == expected).double().mean())


@torch.no_grad()
def pooled_tokens(model: VisionTransformer, images: Tensor) -> Tensor:
    """Return mean patch tokens after the embedding and every block: (depth + 1, image, channel)."""
    batches = []
    for part in images.split(256):
        tokens = model.norm_pre(model._pos_embed(model.patch_embed(part)))
        depths = [tokens]
        for block in model.blocks:
            depths.append(block(depths[-1]))
        batches.append(torch.stack([d[:, model.num_prefix_tokens :].mean(1) for d in depths]))
    return torch.cat(batches, 1)


def shifted_and_flipped(images: Tensor, generator: torch.Generator) -> Tensor:
    """Return images moved by up to an eighth of the frame (edges repeated), half flipped."""
    reach = images.shape[-1] // 8
    padded = functional.pad(images, (reach,) * 4, mode="replicate")
    size, moved = images.shape[-1], torch.empty_like(images)
    corners = torch.randint(0, 2 * reach + 1, (len(images), 2), generator=generator)
    flips = torch.rand(len(images), generator=generator) < 0.5
    for row, ((top, left), flip) in enumerate(zip(corners.tolist(), flips.tolist(), strict=True)):
        crop = padded[row, :, top : top + size, left : left + size]
        moved[row] = crop.flip(-1) if flip else crop
    return moved


def supervised_accuracies(
    train: Tensor, labels: Tensor, test: Tensor, expected: Tensor, epochs: int, seed: int
) -> list[float]:
    """Return test accuracies of one ViT trained on both labels at once, one head for each.

    `labels`, `expected`: (image, label). AdamW, one-cycle rate, batches of 64, bf16 autocast.
    """
    generator = torch.Generator().manual_seed(seed)
    classes = int(labels.max()) + 1
    model = Classifier(train.shape[-1], 2 * classes)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    batches = len(train) // 64
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-3, max(1, epochs * batches))
    for epoch in range(epochs):
        order, losses = torch.randperm(len(train), generator=generator), []
        for chosen in order[: batches * 64].split(64):
            with torch.autocast("cpu", torch.bfloat16):
                logits = model(shifted_and_flipped(train[chosen], generator))
            logits = logits.float().unflatten(1, (2, classes)).flatten(0, 1)
            loss = functional.cross_entropy(logits, labels[chosen].flatten())
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
        if (epoch + 1) % 5 == 0 or epoch + 1 == epochs:
            with torch.no_grad():
                logits = torch.cat([model(part) for part in test.split(256)])
            right = logits.unflatten(1, (2, classes)).argmax(2) == expected
            accuracies = right.double().mean(0).tolist()
            print(f"epoch {epoch + 1}: loss {np.mean(losses):.3f}, test {accuracies}", flush=True)
    return accuracies


def mutual_information(first: np.ndarray, second: np.ndarray) -> float:
    """Return the plug-in mutual information, in bits, of two arrays of whole numbers."""
    joint = np.zeros((first.max() + 1, second.max() + 1))
    np.add.at(joint, (first, second), 1 / len(first))
    expected = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    seen = joint > 0
    return float((joint[seen] * np.log2(joint[seen] / expected[seen])).sum())


def corrected_information(label: np.ndarray, value: np.ndarray, seed: int) -> float:
    """Return the mutual information less its mean over shuffled labels (what no relation gives)."""
    generator = np.random.default_rng(seed)
    chance = [mutual_information(generator.permutation(label), value) for _ in range(SHUFFLES)]
    return mutual_information(label, value) - float(np.mean(chance))


def binned(values: np.ndarray) -> np.ndarray:
    """Return the number of the quantile bin of each value."""
    edges = np.quantile(values, np.linspace(0, 1, BINS + 1)[1:-1])
    return np.searchsorted(edges, values, side="right")


def masked_mean(plane: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the mean (n,) of each plane (n, height, width) where its mask is true."""
    return (plane * mask).sum((1, 2)) / mask.sum((1, 2))


def nuisances(world: ShapeTexture, indices: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Yield every other thing that is drawn, one scalar at a time, and what is seen of it."""
    drawn = world.parameters(indices)
    for name, values in drawn.items():
        columns = values.reshape(len(indices), -1)
        if name in LABELS:
            continue
        for column in range(columns.shape[1]):
            yield f"{name}[{column}]", columns[:, column]
    batch = world.render(indices)
    for channel, colour in enumerate(("red", "green", "blue")):
        plane = batch.image[:, channel]
        yield f"mean {colour} of the image", plane.mean((1, 2))
        yield f"mean {colour} on the object", masked_mean(plane, batch.mask)
        yield f"mean {colour} off the object", masked_mean(plane, ~batch.mask)


def print_information(world: ShapeTexture, indices: np.ndarray) -> None:
    labels = world.labels(indices)
    print(f"\n| mutual information, bits ({len(indices)} images) | shape | texture |")
    print("|---|---|---|")
    between = corrected_information(labels["shape"], labels["texture"], 0)
    print(f"| the other label | {between:.4f} | {between:.4f} |")
    groups: dict[str, list[tuple[float, float]]] = {}
    for name, values in nuisances(world, indices):
        bins = binned(values)
        pair = tuple(corrected_information(labels[label], bins, 0) for label in LABELS)
        groups.setdefault(name.split("[")[0], []).append(pair)
    for name, pairs in groups.items():
        shape, texture = np.max(pairs, axis=0)
        print(f"| {name} (largest of {len(pairs)}) | {shape:.4f} | {texture:.4f} |")


def rendered(seed: int, count: int, size: int) -> tuple[Tensor, Tensor]:
    """Return normalised images and their labels (image, label) of the independent split."""
    batch = ShapeTexture(size=size, num_images=count, seed=seed).render(np.arange(count))
    return normalised(batch.image), torch.from_numpy(np.stack([batch.shape, batch.texture], 1))


def print_accuracies(arguments: argparse.Namespace) -> None:
    train, labels = rendered(0, arguments.train, arguments.size)
    test, expected = rendered(1, arguments.test, arguments.size)
    rows: dict[str, list[float]] = {}
    both = [(labels[:, column], expected[:, column]) for column in range(len(LABELS))]
    raw = train.flatten(1), test.flatten(1)
    rows["raw-pixel 20-NN"] = [knn_accuracy(raw[0], a, raw[1], b) for a, b in both]
    vits = {"as the recipes start": recipe_vit, "as timm starts": timm_vit}
    for name, make in vits.items():
        model = make(arguments.size).eval()
        features = pooled_tokens(model, train), pooled_tokens(model, test)
        rows[f"ridge on a random ViT, {name}"] = [
            ridge_accuracy(features[0], a, features[1], b) for a, b in both
        ]
    if arguments.epochs:
        name = f"supervised ViT, {arguments.epochs} epochs"
        rows[name] = supervised_accuracies(train, labels, test, expected, arguments.epochs, 0)
    counts = f"{arguments.size} px, {arguments.train} train, {arguments.test} test"
    print(f"\n| accuracy, % ({counts}; chance 12.5) | shape | texture |\n|---|---|---|")
    for name, (shape, texture) in rows.items():
        print(f"| {name} | {100 * shape:.1f} | {100 * texture:.1f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", type=int, default=8000, help="training images (seed 0)")
    parser.add_argument("--test", type=int, default=2000, help="test images (seed 1)")
    parser.add_argument("--size", type=int, default=64, help="image size in pixels")
    parser.add_argument("--epochs", type=int, default=30, help="of the supervised ViT; 0 skips it")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    started = time.perf_counter()
    print_accuracies(arguments)
    count = arguments.train + arguments.test
    print_information(ShapeTexture(num_images=count), np.arange(count))
    print(f"\n{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
