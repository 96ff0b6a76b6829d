"""What a weight file is: its format, its sizes, and what becomes of each key; nothing is loaded."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from vitscope.axes import PatchGrid
from vitscope.models.checkpoint import Checkpoint, read_checkpoint, sha256_of
from vitscope.models.checkpoint_format import CheckpointFormat, Encoder
from vitscope.models.described import UnknownHeads
from vitscope.models.formats import FORMATS
from vitscope.models.module_backbone import module_backbone
from vitscope.models.pickled_names import pickled_names
from vitscope.models.spec import Spec, parse_spec
from vitscope.models.strict_loading import LoadReport, load_report, some

LABEL = 12  # width of the words that begin a line
SHORT = 40  # a longer text among a file's entries is not shown


@dataclass(frozen=True, kw_only=True)
class InspectedModel:
    """The model that a file's keys describe, and what becomes of each key.

    Args:
        kind: timm's class.
        branch: Which of a file's encoders.
        depth: Number of blocks.
        embed_dim: Channels of a token.
        num_heads: Attention heads per block; None if nobody states it.
        heads_from: Who states it.
        image_size: Height and width in pixels.
        grid: Rows and columns of patches, and their size in pixels.
        num_prefix_tokens: Tokens before the patches.
        mean: Per-channel mean that normalises pixels in [0, 1].
        std: Per-channel standard deviation, likewise.
        report: What would be used and dropped, and what does not fit.
    """

    kind: str
    branch: str
    depth: int
    embed_dim: int
    num_heads: int | None
    heads_from: str
    image_size: tuple[int, int]
    grid: PatchGrid
    num_prefix_tokens: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    report: LoadReport

    @property
    def lines(self) -> list[tuple[str, str]]:
        """Label and text of each line of a description."""
        grid, (height, width) = self.grid, self.image_size
        heads = f"{self.num_heads}, from {self.heads_from}" if self.num_heads else "not known"
        patches = (
            f"{grid.height} x {grid.width} patches of {grid.patch_height} x {grid.patch_width}"
        )
        lines = [
            ("model", f"{self.kind}, {self.branch}"),
            ("sizes", f"depth {self.depth}, embed_dim {self.embed_dim}"),
            ("num_heads", heads),
            ("image", f"{height} x {width} pixels, mean {self.mean}, std {self.std}"),
            ("tokens", f"{patches}, after {self.num_prefix_tokens} others"),
            ("used", f"{len(self.report.used)} keys"),
        ]
        if self.report.dropped:
            lines.append(("dropped", _by_part(self.report.dropped)))
        for word in ("missing", "unexpected", "unusable"):
            if keys := getattr(self.report, word):
                lines.append((word, some(keys)))
        return lines


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What a weight file is.

    Args:
        path: The file.
        num_bytes: Its size.
        sha256: Of its bytes, hexadecimal.
        objects: What a pickle would import, beside what weights need; it was not imported.
        entries: The top level, a line each; empty if it cannot be read safely.
        formats: Names of the formats that recognise the keys; one, if all is well.
        model: What the keys describe; None if they describe no model that is known.
        problem: Why it cannot be loaded as it was asked for; empty if it can.
    """

    path: Path
    num_bytes: int
    sha256: str
    objects: tuple[str, ...] = ()
    entries: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()
    model: InspectedModel | None = None
    problem: str = ""

    def __str__(self) -> str:
        labelled = [
            ("file", f"{self.path}, {self.num_bytes:,} bytes"),
            ("sha256", self.sha256),
            ("holds", "\n".join(self.entries)),
            ("objects", some(self.objects)),
            ("format", ", ".join(self.formats) or "none that vitscope knows"),
            *(self.model.lines if self.model else ()),
            ("problem", self.problem),
        ]
        lines = [f"{label:<{LABEL}}{text}" for label, text in labelled if text]
        return "\n".join(line.replace("\n", "\n" + " " * LABEL) for line in lines)


def inspect_checkpoint(source: str | Path) -> Inspection:
    """What a weight file is; a file that does not fit is described, not refused.

    Args:
        source: A file, or the spec of one: `file:PATH?num_heads=8`, `mae:PATH`,
            `moco_v3:PATH?branch=momentum`. A format that is named is taken for granted.

    Raises:
        ValueError: If there is no such file, or the spec is malformed.
    """
    spec = _spec_of(source)
    path = Path(spec.name)
    file = Inspection(
        path=path,
        sha256=sha256_of(path),
        num_bytes=path.stat().st_size,
        objects=pickled_names(path),
    )
    try:
        checkpoint = read_checkpoint(path)
    except ValueError as error:
        return replace(file, problem=str(error))
    recognised = [known for known in FORMATS if known.recognises(checkpoint)]
    names = tuple(known.name for known in recognised)
    file = replace(file, entries=_entries(checkpoint.entries), formats=names)
    chosen = [known for known in FORMATS if known.name == spec.kind] or recognised
    if len(chosen) != 1:
        found = "more than one format" if chosen else "no format"
        return replace(file, problem=f"{found} fits its keys; name one: FORMAT:{path}")
    try:
        encoder, problem = _encoder(chosen[0], checkpoint, spec)
    except ValueError as error:
        return replace(file, problem=str(error))
    model = _model(encoder, is_of_known_heads=not problem)
    if not model.report.complete:
        misfit = "some keys do not fit the model that they describe"
        problem = f"{misfit}; {problem}" if problem else misfit
    return replace(file, model=model, problem=problem)


def _spec_of(source: str | Path) -> Spec:
    kinds = ("file:", *(f"{known.name}:" for known in FORMATS))
    is_spec = isinstance(source, str) and source.startswith(kinds)
    return parse_spec(str(source) if is_spec else f"file:{source}")


def _encoder(known: CheckpointFormat, checkpoint: Checkpoint, spec: Spec) -> tuple[Encoder, str]:
    """The encoder, and an empty text; of one head, and why, where nobody states their number."""
    try:
        return known.encoder(checkpoint, spec), ""
    except UnknownHeads as error:
        one_head = replace(
            spec, options={**spec.options, "num_heads": "1"}
        )  # no shape depends on it
        return known.encoder(checkpoint, one_head), str(error)


def _model(encoder: Encoder, *, is_of_known_heads: bool) -> InspectedModel:
    empty = module_backbone(encoder.module, "", mean=encoder.mean, std=encoder.std)
    return InspectedModel(
        kind=type(encoder.module).__name__,
        branch=encoder.facts["branch"],
        depth=empty.depth,
        embed_dim=empty.embed_dim,
        num_heads=empty.num_heads if is_of_known_heads else None,
        heads_from=encoder.heads_from if is_of_known_heads else "",
        image_size=empty.image_size,
        grid=empty.grid,
        num_prefix_tokens=empty.num_prefix_tokens,
        mean=empty.mean,
        std=empty.std,
        report=load_report(encoder.module, encoder.weights, encoder.dropped),
    )


def _entries(entries: Mapping[str, object]) -> tuple[str, ...]:
    """The top level: tensors together, other entries one by one."""
    tensors = sum(isinstance(value, Tensor) for value in entries.values())
    lines = [f"{tensors} tensors"] if tensors else []
    for name, value in entries.items():
        if isinstance(value, Mapping):
            inner = sum(isinstance(each, Tensor) for each in value.values())
            lines.append(f"{name}: {inner} tensors" if inner else f"{name}: {len(value)} entries")
        elif not isinstance(value, Tensor):
            is_short = isinstance(value, (str, int, float)) and len(str(value)) <= SHORT
            lines.append(f"{name}: {value if is_short else type(value).__name__}")
    return tuple(lines)


def _by_part(keys: Sequence[str]) -> str:
    """How many keys there are of each part of a model, by the first word of a key."""
    counts = Counter(key.partition(".")[0] for key in keys)
    return ", ".join(f"{part} ({count})" for part, count in counts.items())
