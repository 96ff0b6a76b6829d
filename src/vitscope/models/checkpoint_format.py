"""What the loader needs to know of a format in which others save weights."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

from vitscope.models.backbone import Backbone
from vitscope.models.checkpoint import Checkpoint
from vitscope.models.module_backbone import module_backbone
from vitscope.models.spec import Spec
from vitscope.models.strict_loading import load_strictly


@dataclass(frozen=True, eq=False, kw_only=True)
class Encoder:
    """A model that a weight file describes, and its weights; they are not loaded yet.

    Args:
        module: Of the sizes that the file and the spec give.
        weights: Every tensor of the branch, under the module's names where it has one.
        dropped: Shell patterns of the keys that are not part of the encoder.
        heads_from: Where the number of heads comes from, which few files hold.
        name: Shown in tables and figures; None: the file's own.
        mean: Per-channel mean that normalises pixels in [0, 1]; None: the module's own.
        std: Per-channel standard deviation, likewise.
        facts: What a report should say of the weights: branch, licence, ...
    """

    module: nn.Module
    weights: Mapping[str, Tensor]
    dropped: tuple[str, ...]
    heads_from: str
    name: str | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class CheckpointFormat:
    """A weight file's format.

    Args:
        name: The kind in a spec: `name:PATH`.
        recognises: Whether the keys of a file are those of this format.
        encoder: The model that the weights describe; the spec's options give the facts that no
            file holds. Raises ValueError if a size cannot be known.
        description: What a list of formats says of it.
    """

    name: str
    recognises: Callable[[Checkpoint], bool]
    encoder: Callable[[Checkpoint, Spec], Encoder]
    description: str

    def backbone(self, checkpoint: Checkpoint, spec: Spec) -> Backbone:
        """The encoder of a file, loaded strictly.

        Raises:
            ValueError: If a size cannot be known, or a key does not fit.
        """
        encoder = self.encoder(checkpoint, spec)
        report = load_strictly(
            encoder.module, encoder.weights, dropped=encoder.dropped, source=str(checkpoint.path)
        )
        facts = {"format": self.name, "sha256": checkpoint.sha256, "keys": str(report)}
        if checkpoint.source_sha256:
            facts["sha256_before_conversion"] = checkpoint.source_sha256
        return module_backbone(
            encoder.module,
            encoder.name or checkpoint.path.stem,
            mean=encoder.mean,
            std=encoder.std,
            facts={**facts, "heads_from": encoder.heads_from, **encoder.facts},
        )
