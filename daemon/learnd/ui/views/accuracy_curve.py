"""The mean accuracy of all tasks, version by version: an SVG element in the colours of the page around it."""

from __future__ import annotations

from collections.abc import Iterator

from learnd.metrics import Matrix, accuracy

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 220, 44, 12, 10, 30  # pixels
SMALL_TEXT = 'font-size="11" fill="var(--dim)"'


def svg(unified: Matrix, scoped: Matrix) -> str:
    """Among everything, solid, and each task by itself, dashed; empty where nothing was asked about."""
    means = [list(_means(matrix)) for matrix in (unified, scoped)]
    if not any(means):
        return ""
    first, last = unified.versions[0], unified.versions[-1]

    def at(version: int, value: float) -> tuple[float, float]:
        x = LEFT + (version - first) / max(1, last - first) * (WIDTH - LEFT - RIGHT)
        return round(x, 1), round(_height(value), 1)

    looks = (("among everything", "var(--blue)", "none"), ("each task by itself", "var(--good)", "6 4"))
    about = 'role="img" aria-label="accuracy by version" style="max-width: 100%"'
    lines = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" {about}>', *_grid(first, last)]
    for values, (name, colour, dashes) in zip(means, looks, strict=True):
        points = [at(version, value) for version, value in values]
        line = " ".join(f"{x},{y}" for x, y in points)
        style = f'fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dashes}"'
        lines.append(f'<polyline points="{line}" {style}><title>{name}</title></polyline>')
        lines += [f'<circle cx="{x}" cy="{y}" r="2.5" fill="{colour}"/>' for x, y in points]
    return "\n".join([*lines, "</svg>"])


def _height(value: float) -> float:
    """Where an accuracy lies, in pixels from the top."""
    return TOP + (1 - value) * (HEIGHT - TOP - BOTTOM)


def _grid(first: int, last: int) -> Iterator[str]:
    end = WIDTH - RIGHT
    for value in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = f"{_height(value):.1f}"
        yield f'<line x1="{LEFT}" x2="{end}" y1="{y}" y2="{y}" stroke="var(--line)"/>'
        yield f'<text x="{LEFT - 8}" y="{y}" dy="4" text-anchor="end" {SMALL_TEXT}>{value:.2f}</text>'
    yield f'<text x="{LEFT}" y="{HEIGHT - 6}" {SMALL_TEXT}>version {first}</text>'
    yield f'<text x="{end}" y="{HEIGHT - 6}" text-anchor="end" {SMALL_TEXT}>version {last}</text>'


def _means(matrix: Matrix) -> Iterator[tuple[int, float]]:
    for version, row in zip(matrix.versions, matrix.values, strict=True):
        mean = accuracy(Matrix((version,), matrix.tasks, (row,)))
        if mean is not None:
            yield version, mean
