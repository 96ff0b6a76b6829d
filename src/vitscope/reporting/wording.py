"""Numbers and names as a reader sees them."""

import json
import math
import re
from collections.abc import Iterable, Mapping
from numbers import Real

from markupsafe import Markup

NO_UNIT = {"", "1", "none", "nan"}
COORDINATES = {"π": "spatial frequency (units of π)"}  # of 1 are patches that alternate
SHORT_NAMES = {"normalized_mutual_information": "NMI"}
VARIANTS = {"canonical": "", "paper": "published recipe"}


def value_text(mean: float, low: float | None = None, high: float | None = None) -> str:
    """A number, and its interval if it has one, with the digits that the interval supports.

    Numbers have at most four significant digits.

    Example:
        >>> value_text(0.81234, 0.8012, 0.8231)
        '0.812 [0.801, 0.823]'
        >>> value_text(26.53412)
        '26.53'
        >>> value_text(-0.5, -0.5, -0.5)
        '−0.5'
    """
    if not math.isfinite(mean):
        return "–"
    if low is None or high is None or not high > low or not math.isfinite(high - low):
        return _signed(_four_digits(mean))
    size = max(abs(low), abs(high))
    digits = min(decimals(high - low), max(3 - math.floor(math.log10(size)), 0))
    return "{} [{}, {}]".format(*(_signed(f"{x:.{digits}f}") for x in (mean, low, high)))


def _four_digits(number: float) -> str:
    if number == 0:
        return "0"
    text = f"{number:.{min(max(3 - math.floor(math.log10(abs(number))), 0), 8)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def decimals(width: float) -> int:
    """Decimals that show an interval of this width with one digit, or two if it begins with 1-3.

    Example:
        >>> decimals(0.02), decimals(0.05), decimals(40.0)
        (3, 2, 0)
    """
    exponent = math.floor(math.log10(width))
    return min(max((width < 3.5 * 10.0**exponent) - exponent, 0), 6)


def _signed(text: str) -> str:
    return "0" if text == "-0" else text.replace("-", "−")


def count_text(number: float) -> str:
    """A count with thin spaces, or in millions from a million on.

    Example:
        >>> count_text(21_670_000)
        '21.7 M'
    """
    if number >= 1e6:
        return f"{number / 1e6:.1f} M"
    return f"{int(number):,}".replace(",", "\u202f")


def counts_text(numbers: object) -> str:
    """A count, or the lowest and highest where there are several; a dash where there is none.

    Example:
        >>> counts_text(8), counts_text([12, 8, 9]), counts_text(None)
        ('8', '8 to 12', '–')
    """
    several = numbers if isinstance(numbers, list | tuple) else [numbers]
    found = [float(n) for n in several if isinstance(n, Real) and math.isfinite(n)]
    if not found:
        return "–"
    low, high = min(found), max(found)
    return count_text(high) if low == high else f"{count_text(low)} to {count_text(high)}"


def plain_text(value: object) -> str:
    """A note as text: lists with commas, mappings as JSON.

    Example:
        >>> plain_text(["a", 1])
        'a, 1'
    """
    if isinstance(value, list | tuple):
        return ", ".join(map(plain_text, value))
    return json_text(value) if isinstance(value, Mapping) else str(value)


def json_text(value: object) -> str:
    """Indented JSON; a text is taken as JSON already."""
    if isinstance(value, str):
        return value
    return json.dumps(value, indent=1, ensure_ascii=False, default=str)


def listed(words: Iterable[str]) -> str:
    """Words joined as in a sentence.

    Example:
        >>> listed(["CL", "MIM", "both"])
        'CL, MIM and both'
    """
    words = list(words)
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def runs_of(numbers: Iterable[int]) -> str:
    """Whole numbers with runs joined.

    Example:
        >>> runs_of([1, 2, 3, 7])
        '1–3, 7'
    """
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(f"{a}" if a == b else f"{a}–{b}" for a, b in runs)


def shortened(name: str, most: int = 32) -> str:
    """A name with its middle left out if it is long; its end often tells versions apart.

    Example:
        >>> shortened("vit_small_patch16_224.dino", most=11)
        'vit_s….dino'
    """
    half = most // 2
    return name if len(name) <= most else f"{name[:half]}…{name[len(name) - most + half + 1 :]}"


def slug(text: str) -> str:
    """Letters, digits and hyphens only, for file names and anchors."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "x"


def file_name(measure: str) -> str:
    """A measure's name as part of a file's name: nothing in it leads to another folder."""
    return re.sub(r"[^A-Za-z0-9_]+", "-", measure).strip("-") or "x"


def title_of(measure: str, declared: Mapping[str, Mapping[str, object]]) -> str:
    """The measure's title, or its name in words."""
    title = declared.get(measure, {}).get("title")
    return str(title or measure.replace("_", " ").capitalize())


def axis_label(title: str, unit: object) -> str:
    """Title and unit, as an axis shows them.

    Example:
        >>> axis_label("Attention distance", "px")
        'Attention distance (px)'
    """
    return f"{title} ({unit_text(unit)})" if unit_text(unit) else title


def value_label(unit: str, measure: str) -> str:
    """What stands above a value axis: the unit, or a short name of what has none.

    Example:
        >>> value_label("px", "attention_distance"), value_label("", "row_entropy")
        ('px', 'row entropy')
    """
    return unit or SHORT_NAMES.get(measure, measure.replace("_", " "))


def coordinate_label(unit: object) -> str:
    """What stands below the axis of a coordinate.

    Example:
        >>> coordinate_label("π"), coordinate_label(None)
        ('spatial frequency (units of π)', 'coordinate')
    """
    return COORDINATES.get(unit, unit) if isinstance(unit, str) else "coordinate"


def breakable(name: object) -> Markup:
    """A name as HTML that may go on in a new line after each sign that joins words.

    Example:
        >>> str(breakable("run:vit_tiny <b>"))
        'run:<wbr>vit_<wbr>tiny &lt;b&gt;'
    """
    parts = re.split(r"(?<=[:_/.-])(?=\w)", str(name))
    return Markup("<wbr>").join(parts)


def unit_text(unit: object) -> str:
    """A unit, or nothing where there is none."""
    return "" if unit is None or str(unit).lower() in NO_UNIT else str(unit)


def variant_text(variant: object) -> str:
    """How a variant is called: nothing for the canonical one."""
    return VARIANTS.get(str(variant), str(variant)) if variant else ""
