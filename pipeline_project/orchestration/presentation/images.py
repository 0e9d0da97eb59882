"""Pictures in metadata. Dagster shows a picture if its content is part of the Markdown."""

import base64
from collections.abc import Mapping

import dagster as dg

COLOURS = {
    "inserted": "#2e7d32",
    "updated": "#1565c0",
    "unchanged": "#90a4ae",
    "stale": "#bdb76b",
    "rejected": "#c62828",
    "deleted": "#6a1b9a",
}
BAR, LABEL, LINE = 480, 110, 30
"""Sizes in the plot, in pixels: the longest bar, the space for its name, the height of a line."""


def image(kind: str, content: bytes) -> dg.MarkdownMetadataValue:
    """Return Markdown with a picture. `kind` is the second part of its media type, for example `png`."""
    return dg.MetadataValue.md(f"![plot](data:image/{kind};base64,{base64.b64encode(content).decode()})")


def counts_plot(sums: Mapping[str, int]) -> str:
    """Return an SVG with a bar for each count. It is written by hand: matplotlib would take longer than a small load."""
    most = max(1, *(sums[name] for name in COLOURS))
    parts = []
    for number, (name, colour) in enumerate(COLOURS.items()):
        top, width = number * LINE + 5, sums[name] / most * BAR
        parts += [
            f'<text x="{LABEL - 10}" y="{top + 15}" text-anchor="end">{name}</text>',
            f'<rect x="{LABEL}" y="{top}" width="{width:.1f}" height="{LINE - 9}" rx="2" fill="{colour}"/>',
            f'<text x="{LABEL + width + 8:.1f}" y="{top + 15}">{sums[name]:,}</text>',
        ]
    width, height = LABEL + BAR + 100, len(COLOURS) * LINE + 5
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" '
        f'font-size="13" fill="#37474f"><rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>'
    )
