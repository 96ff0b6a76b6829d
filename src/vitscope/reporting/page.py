"""The report: one self-contained page, and beside it the figures, their rows and the Table."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import jinja2
from markupsafe import Markup

from vitscope.reporting import facts, highlights
from vitscope.reporting.best_probe import PROBE
from vitscope.reporting.gallery import attention_entries, reconstruction_entries
from vitscope.reporting.gather import gathered, models_of, part, untrained
from vitscope.reporting.pictures import SCALE, SCALE_PLACES, TIMES
from vitscope.reporting.plates import PLATE_KEYS, plates_of, training_plate
from vitscope.reporting.probe_notes import probe_settings, with_chance
from vitscope.reporting.sections import Section, sections_of
from vitscope.reporting.shown import sample, shown
from vitscope.reporting.style import Look, dark_counterparts, looks_of
from vitscope.reporting.wording import breakable, listed
from vitscope.runs import write_atomically
from vitscope.table import Table

MAX_NAMES = 4  # more model names make the title a list


def report(tables: Table | Sequence[Table], out: str | Path = "report/") -> Path:
    """Write a report on one or several Tables.

    Args:
        tables: What was measured; several Tables are shown together.
        out: Folder to write to; files of the same name are replaced.

    Returns:
        The path of `report.html`. It needs no other file and no network. Beside it lie
        `figures/NAME.png` and `.svg`, `data/NAME.csv` with exactly the rows behind each figure,
        and `table.parquet` with its exhibits, from which the report can be made again.

    Raises:
        ValueError: If there is nothing to report, or if one name stands for two models.
        OSError: If the page cannot be written; one that was there before is kept.
    """
    table, out = with_chance(gathered(tables)), Path(out)
    for folder in (out, out / "figures", out / "data"):
        folder.mkdir(parents=True, exist_ok=True)
    arrays = _save(table, out)
    runs = part(table.notes, "training")  # those that are no model of the Table get a look as well
    looks = looks_of([*models_of(table), *runs], untrained(table))
    page = _template().render(**_context(table, looks, out, arrays))
    path = out / "report.html"
    write_atomically(path, lambda partial: partial.write_text(page, encoding="utf-8"))
    return path


def _save(table: Table, out: Path) -> dict[tuple[str, str], str]:
    """Save rows and exhibits; return the file of each exhibit by (name, model)."""
    Table(table.frame, table.notes).save(out / "table.parquet")
    folder = out / "table.exhibits"  # where Table.load looks for them
    files = {(e.name, e.model): e.save(folder).name for e in table.exhibits}
    return {key: f"{folder.name}/{name}" for key, name in files.items()}


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    environment.filters["breakable"] = breakable
    return environment.get_template("page.html.j2")


def _asset(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def _context(
    table: Table, looks: Mapping[str, Look], out: Path, arrays: Mapping[tuple[str, str], str]
) -> dict[str, object]:
    """Everything that the template names."""
    models = models_of(table)
    trained = [model for model in models if looks[model].is_trained]
    training = training_plate(part(table.notes, "training"), _training_remark(table))
    summary = table.summary(by=PLATE_KEYS)
    plates = plates_of(summary, table.notes)
    uniform = highlights.uniform_depths(summary)
    return {
        "title": title_text(trained),
        "deck": _deck(table),
        "css": Markup(_asset("page.css")),
        "js": Markup(_asset("page.js")),
        "dark": Markup(
            " ".join(f"--c{light[1:]}: {dark};" for light, dark in dark_counterparts().items())
        ),
        "samples": {model: sample(look) for model, look in looks.items()},
        "colours": {m: f"var(--c{look.colour[1:]}, {look.colour})" for m, look in looks.items()},
        "groups": {model: f"series-{place}" for place, model in enumerate(models)},
        "trained": trained,
        "models": facts.model_facts(table, models),
        "data": facts.data_facts(table),
        "sections": [_drawn(each, looks, out) for each in sections_of(plates)],
        "warnings": [*facts.texts(table, "warnings"), *highlights.uniform_sentences(uniform)],
        "training": shown(training, looks, out) if training else None,
        "attention": attention_entries(table.exhibits, models, out, arrays),
        "reconstructions": reconstruction_entries(table.exhibits, models, out, arrays),
        "times": TIMES,
        "scale": ", ".join(f"{c} {100 * p:g}%" for c, p in zip(SCALE, SCALE_PLACES, strict=True)),
        "commands": facts.texts(table, "command"),
        "settings": facts.settings(table, "settings"),
        "probes": probe_settings(table),
        "versions": facts.settings(table, "versions"),
        "sources": facts.sources(table),
        **_findings(table, models, uniform),
    }


def _drawn(section: Section, looks: Mapping[str, Look], out: Path) -> dict[str, object]:
    """A section as the template reads it, its figures drawn."""
    return {
        **vars(section),
        "missing_text": section.missing_text,
        "main": [shown(plate, looks, out) for plate in section.plates],
        "aside": [shown(plate, looks, out) for plate in section.aside],
        "aside_text": _aside_text(section),
    }


def _aside_text(section: Section) -> str:
    titles = [", ".join(filter(None, [plate.title, plate.tag])) for plate in section.aside]
    noun = "figure" if len(titles) == 1 else "figures"
    return f"{len(titles)} more {noun}: {'; '.join(titles)}"


def _findings(
    table: Table, models: Sequence[str], uniform: Mapping[str, list[int]]
) -> dict[str, object]:
    """Key numbers and the sentences about them."""
    depths = highlights.depths_of(table)
    flat = {model for model, layers in uniform.items() if depths[model] in layers}
    late = highlights.late_rows(table)
    summary = late.summary(by=highlights.GROUP)
    best = highlights.best_depths(table)
    tables = (
        facts.late_table(summary, models, part(table.notes, "measures")),
        facts.probe_table(best, models),
    )
    return {
        "key_tables": [each for each in tables if each],
        "sentences": [
            *highlights.late_sentences(late, summary, flat),
            *highlights.probe_sentences(best, depths, untrained(table)),
        ],
    }


def title_text(models: Sequence[str]) -> str:
    """The question that the page answers about trained models.

    Example:
        >>> title_text(["CL", "MIM"])
        'What did CL and MIM learn?'
    """
    if not models:
        return "What is there before training?"
    if len(models) > MAX_NAMES:
        return f"What did these {len(models)} models learn?"
    return f"What did {listed(models)} learn?"


def _training_remark(table: Table) -> str:
    """What the notes say of all training curves, such as how short the runs were."""
    return " ".join(facts.texts(table, "training_remark"))


def _deck(table: Table) -> str:
    """One sentence below the title: how much was looked at."""
    rows = table.frame[table.frame["image"].notna()]
    measured = set(rows.loc[rows["measure"] != PROBE, "dataset"].dropna()) or set(rows["dataset"])
    found = [
        f"{each['images']} images of {each['name']}"
        for each in facts.data_facts(table)
        if each["name"] in measured
    ]
    start = f"Measured on {listed(found)}: " if found else "Measured: "
    return start + "attention, representations and layers, block by block, with intervals."
