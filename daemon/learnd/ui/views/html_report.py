"""The whole state as one HTML page that needs nothing else: no script, no font, no picture from elsewhere.

Made of the plain data that the commands print as JSON.  Names are escaped, and control characters in them shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape

from learnd.identity import printable
from learnd.messages.convert import Json
from learnd.metrics import Matrix
from learnd.ui.views import accuracy_curve, heatmap
from learnd.ui.views.confusion_matrix import MAX_PAIRS, SQUARE, square
from learnd.ui.views.wording import counted, moment, size

DETAILED = 200  # tasks, the newest, of which everything is told; of the others a line

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --dim: #59636e; --line: #d1d9e0; --paper: #ffffff; --wash: #f6f8fa;
  --good: #1a7f37; --bad: #cf222e; --blue: #0969da; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --dim: #9198a1; --line: #3d444d; --paper: #0d1117;
  --wash: #151b23; --good: #3fb950; --bad: #f85149; --blue: #58a6ff; } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 72rem; padding: 1.5rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif }
h1 { font-size: 1.6rem; margin: 0 } h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem }
h3 { font-size: 1rem; margin: 1rem 0 .3rem }
a { color: var(--blue) } p { margin: .3rem 0 } .dim { color: var(--dim) }
table { border-collapse: collapse; font-size: .9rem } .wide { overflow-x: auto }
th, td { text-align: left; padding: .2rem .7rem .2rem 0; border-bottom: 1px solid var(--line); vertical-align: top }
th { color: var(--dim); font-weight: 600 } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
.cards { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1rem 0 }
.card, details { background: var(--wash); border: 1px solid var(--line); border-radius: .5rem }
.card { padding: .6rem 1rem; min-width: 8rem } details { margin: .5rem 0; padding: .4rem .9rem }
.card b { display: block; font-size: 1.4rem; font-variant-numeric: tabular-nums }
summary { cursor: pointer; font-weight: 600 } summary span { font-weight: 400 }
.thumbs { display: flex; flex-wrap: wrap; gap: .5rem; margin: .5rem 0 }
figure { margin: 0; text-align: center; font-size: .75rem; color: var(--dim); max-width: 5rem; overflow-wrap: anywhere }
figure img { width: 56px; height: 56px; object-fit: contain; background: #fff; border: 1px solid var(--line) }
.map svg { max-width: 100%; height: auto; border: 1px solid var(--line) }
td.hit { background: color-mix(in srgb, var(--good) 25%, transparent) }
td.miss { background: color-mix(in srgb, var(--bad) 25%, transparent) }
"""


def page(data: Json, unified: Matrix, scoped: Matrix) -> str:
    """The document.  data: see `reporting.gathered`."""
    parts = [
        *_head(data),
        *_curve(unified, scoped),
        *_map(unified),
        *_tasks(data["tasks"]),
        *_details(data["details"], len(data["tasks"])),
        *_problems(data["tasks"]),
        *_joins(data),
        *_versions(data["versions"], data["decisions"]),
        f'<p class="dim">Made by learnd {_text(data["learnd"])}, {moment(data["at"])}.</p>',
    ]
    title = f"learnd: {data['path']}"
    return "\n".join(
        [
            '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"/>',
            '<meta name="viewport" content="width=device-width, initial-scale=1"/>',
            f"<title>{_text(title)}</title><style>{STYLE}</style></head><body>",
            *parts,
            "</body></html>\n",
        ]
    )


def _text(value: object) -> str:
    """Safe between tags and in attributes."""
    return escape(printable(str(value)))


def _head(data: Json) -> Iterator[str]:
    known = data["knowledge"]
    yield f'<h1>What learnd knows</h1><p class="dim">{_text(data["path"])}, {moment(data["at"])}</p>'
    yield '<div class="cards">'
    cards = {
        "version": known["version"],
        "tasks": known["tasks"],
        "classes": known["classes"],
        "on the disk": size(known["bytes"]),
        "network": known["backbone"],
        "among everything": _share(data["accuracy"]["unified"]),
        "each task by itself": _share(data["accuracy"]["scoped"]),
    }
    for title, value in cards.items():
        yield f'<div class="card"><b>{_text(value)}</b><span class="dim">{title}</span></div>'
    yield "</div>"


# --- the curve and the matrix ---------------------------------------------------------------------------------------


def _curve(unified: Matrix, scoped: Matrix) -> Iterator[str]:
    """The mean accuracy of all tasks that were asked about, version by version."""
    drawn = accuracy_curve.svg(unified, scoped)
    yield "<h2>Accuracy, version by version</h2>"
    yield drawn if drawn else "<p>Nothing was asked about yet.</p>"
    if drawn:
        yield '<p class="dim">Solid blue: among everything. Dashed green: each task by itself.</p>'


def _map(unified: Matrix) -> Iterator[str]:
    if unified.tasks:
        yield "<h2>Each task among everything, version by version</h2>"
        yield f'<div class="map">{heatmap.svg(heatmap.draw({"the darker the better": unified}))}</div>'


# --- the tasks ------------------------------------------------------------------------------------------------------


def _tasks(rows: Sequence[Json]) -> Iterator[str]:
    yield f"<h2>{counted(len(rows), 'task')}</h2>"
    yield from _table(
        ("task", "state", "classes", "images", "algorithm", "accuracy", "95 % interval", "seconds"),
        (
            (
                f'<a href="#{_text(row["id"])}">{_text(row["name"])}</a>',
                _text(row["state"]),
                row["ways"] or "",
                row["images"] or "",
                _text(row["algorithm"] or ""),
                _share(row["accuracy"]),
                _interval(row["accuracy_ci"]),
                "" if row["seconds"] is None else f"{row['seconds']:.2f}",
            )
            for row in rows
        ),
        numbers=(2, 3, 5, 6, 7),
    )


def _details(shown: Sequence[Json], tasks: int) -> Iterator[str]:
    yield "<h2>Task by task</h2>"
    if len(shown) < tasks:
        yield f'<p class="dim">The {len(shown)} that changed last, of {tasks:,}; learnd show TASK tells of any.</p>'
    for number, one in enumerate(shown):
        report, opened = one["report"], "" if number else ' open="open"'
        yield f'<details id="{_text(one["id"])}"{opened}><summary>{_text(one["name"])} <span class="dim">'
        said = _text(f"{one['state']}: {one['reason']}" if one["reason"] else one["state"])
        if report is None:
            yield f"{_text(one['state'])}</span></summary><p>{said}</p></details>"
            continue
        measured = f", {_share(report['accuracy'])} ({report['measured_on']})" if report["measured_on"] else ""
        yield f"{_text(report['algorithm'])}{measured}</span></summary>"
        if one["state"] != "learned":
            yield f"<p>{said}. What follows is what is known of it.</p>"
        yield from (f"<p>{_text(report[key])}</p>" for key in ("domain", "description") if report.get(key))
        yield from _thumbs(one["thumbs"])
        yield from _tried(report["candidates"])
        yield from _confusions(report)
        if one["nearest"]:
            near = ", ".join(f"{_text(near['task'])} ({near['distance']:.2f})" for near in one["nearest"])
            yield f"<p>Nearest tasks: {near}</p>"
        yield "</details>"


def _thumbs(thumbs: Sequence[Json]) -> Iterator[str]:
    if not thumbs:
        return
    yield '<div class="thumbs">'
    for one in thumbs:
        name = _text(one["class"])
        yield f'<figure><img alt="{name}" src="{one["src"]}"/><figcaption>{name}</figcaption></figure>'
    yield "</div>"


def _tried(candidates: Sequence[Json]) -> Iterator[str]:
    yield "<h3>What was tried</h3>"
    yield from _table(
        ("algorithm", "bid", "accuracy", "seconds", "outcome", "why"),
        (
            (
                _text(one["algorithm"]),
                f"{one['bid']:.2f}",
                _share(one["accuracy"]),
                "" if one["seconds"] is None else f"{one['seconds']:.2f}",
                _text(one["outcome"]),
                _text((one["reason"] or one["bid_reason"]).partition("\n")[0]),
            )
            for one in candidates
        ),
        numbers=(1, 2, 3),
    )


def _confusions(report: Json) -> Iterator[str]:
    if not report.get("confusions"):
        return
    yield "<h3>What was told wrong</h3>"
    if len(report["classes"]) <= SQUARE:
        yield from _square(report)
    else:
        rows = ((_text(c["class_name"]), _text(c["told_as"]), c["images"]) for c in report["confusions"][:MAX_PAIRS])
        yield from _table(("of", "told as", "images"), rows, numbers=(2,))
    yield from _table(
        ("surest mistakes", "is", "told as", "probability"),
        (
            (_text(m["path"]), _text(m["class_name"]), _text(m["told_as"]), f"{m['probability']:.2f}")
            for m in report["mistakes"]
        ),
        numbers=(3,),
    )


def _square(report: Json) -> Iterator[str]:
    """A row a class, a column what its images were told as; what never happened is left blank."""
    classes = report["classes"]
    heads = "".join(f'<th class="n">{_text(name)}</th>' for name in classes)
    yield f'<div class="wide"><table><tr><th>of, told as</th>{heads}</tr>'
    for number, (name, row) in enumerate(zip(classes, square(report), strict=True)):
        cells = ""
        for column, count in enumerate(row):
            kind = " hit" if column == number else " miss" if count else ""
            cells += f'<td class="n{kind}">{count or ""}</td>'
        yield f"<tr><td>{_text(name)}</td>{cells}</tr>"
    yield "</table></div>"


# --- the rest -------------------------------------------------------------------------------------------------------


def _problems(rows: Sequence[Json]) -> Iterator[str]:
    bad = [row for row in rows if row["state"] in ("failed", "rejected")]
    if bad:
        yield "<h2>Problems</h2>"
        yield from _table(
            ("task", "state", "why"), ((_text(r["name"]), _text(r["state"]), _text(r["reason"])) for r in bad)
        )


def _joins(data: Json) -> Iterator[str]:
    if data["joins"] or data["twins"]:
        yield "<h2>Classes that are one</h2>"
        said = [(one, one["by"] if one["in_force"] else f"{one['by']}, waits") for one in data["joins"]]
        said += [(one, "suggested") for one in data["twins"]]
        yield from _table(
            ("class", "is answered as", ""),
            (
                (_text(f"{one['task']}/{one['class']}"), _text(f"{one['to_task']}/{one['to_class']}"), _text(how))
                for one, how in said
            ),
        )


def _versions(versions: Sequence[Json], decisions: Sequence[Json]) -> Iterator[str]:
    shown = versions[:DETAILED]
    yield f"<h2>{counted(len(versions), 'version')}</h2>"
    yield from _table(
        ("version", "since", "what", "tasks", "classes", "size"),
        (
            (
                str(one["version"]),
                moment(one["created"]),
                _text(one["reason"]),
                one["tasks"],
                one["classes"],
                size(one["bytes"]),
            )
            for one in shown
        ),
        numbers=(0, 3, 4, 5),
    )
    if decisions:
        yield "<h3>Candidate networks</h3>"
        yield from _table(
            ("when", "became", "mean before", "after", "why"),
            (
                (
                    moment(one["at"]),
                    "refused" if one["version"] is None else f"version {one['version']}",
                    f"{one['before']:.4f}",
                    f"{one['after']:.4f}",
                    _text("; ".join(one["reasons"]) or "no task got worse"),
                )
                for one in decisions
            ),
            numbers=(2, 3),
        )


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]], numbers: Sequence[int] = ()) -> Iterator[str]:
    """Cells are HTML already."""

    def cells(tag: str, values: Sequence[object]) -> str:
        kinds = (' class="n"' if place in numbers else "" for place in range(len(values)))
        return "".join(f"<{tag}{kind}>{value}</{tag}>" for kind, value in zip(kinds, values, strict=True))

    yield f'<div class="wide"><table><tr>{cells("th", heads)}</tr>'
    yield from (f"<tr>{cells('td', row)}</tr>" for row in rows)
    yield "</table></div>"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _interval(bounds: Sequence[float] | None) -> str:
    return "" if bounds is None else f"{bounds[0]:.3f} to {bounds[1]:.3f}"
