"""The order of the page: which figure answers which question, and what is missing."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from vitscope.reporting.best_probe import PROBE
from vitscope.reporting.plates import Plate
from vitscope.reporting.wording import listed

# The order of arXiv:2305.00729, sections 2 to 4.
QUESTIONS = (
    (
        "attentions",
        "How do attentions behave?",
        "Where a patch looks: near or far, all patches at the same place or each at its own.",
        ("attention_distance", "normalized_mutual_information", "row_entropy", "key_entropy"),
    ),
    (
        "representations",
        "How are representations transformed?",
        "What happens to the tokens of an image on their way through the blocks: whether they "
        "grow alike, and whether coarse shape or fine texture is kept. Filled markers are block "
        "ends; small hollow ones lie after the attention inside a block.",
        (
            "token_similarity",
            "centred_token_similarity",
            "depth_similarity",
            "fourier_log_amplitude",
            "fourier_spectrum",
        ),
    ),
    (
        "layers",
        "Which layers matter?",
        "How well a linear classifier on frozen features tells classes apart, depth by depth. "
        "A ring marks the highest point of each curve.",
        (PROBE,),
    ),
)
PUBLISHED = "paper"
# Both definitions of these stand side by side; of the others the published one is kept aside.
BOTH_SHOWN = ("fourier_log_amplitude",)


@dataclass
class Section:
    """One question and the figures that answer it.

    Args:
        anchor: Of the heading.
        question: The heading.
        lead: One or two sentences below it.
        plates: Figures, in order.
        aside: Further figures: published variants, sites between blocks.
        missing: Names of expected measures that have no rows.
    """

    anchor: str
    question: str
    lead: str
    plates: list[Plate] = field(default_factory=list)
    aside: list[Plate] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    @property
    def missing_text(self) -> str:
        """A sentence on what a reader would look for in vain; empty if nothing is missing."""
        names = [name.replace("_", " ") for name in self.missing]
        return f"Not in these results: {listed(names)}." if names else ""


def sections_of(plates: Sequence[Plate]) -> list[Section]:
    """The figures in the order of the questions; unknown measures go where their site belongs."""
    sections = []
    known = {name for *_, measures in QUESTIONS for name in measures}
    for anchor, question, lead, measures in QUESTIONS:
        extra = [p.measure for p in plates if p.measure not in known and _home(p) == anchor]
        found = [p for name in dict.fromkeys([*measures, *extra]) for p in _of(plates, name)]
        aside = [plate for plate in found if _is_aside(plate, found)]
        missing = [name for name in measures if not _of(plates, name)]
        main = [plate for plate in found if plate not in aside]
        sections.append(Section(anchor, question, lead, main, aside, missing))
    return sections


def _of(plates: Iterable[Plate], measure: str) -> list[Plate]:
    return [plate for plate in plates if plate.measure == measure]


def _home(plate: Plate) -> str:
    return "attentions" if plate.site == "attention" else "representations"


def _is_aside(plate: Plate, plates: Sequence[Plate]) -> bool:
    """Whether another figure of the same measure says the same in the usual way."""
    place = (plate.measure, plate.dataset)
    others = [other for other in _of(plates, plate.measure) if other.dataset == place[1]]
    usual = [other for other in others if other.variant != PUBLISHED]
    if plate.variant == PUBLISHED and usual and plate.measure not in BOTH_SHOWN:
        return True
    is_spectrum = bool(plate.rows["coordinate"].notna().any())
    return is_spectrum and plate.site != "tokens" and any(o.site == "tokens" for o in others)
