"""A picture of a result: what Dagster shows beside an asset and `pipeline query --plot` writes. One plain chart an operation.

matplotlib is imported when a plot is made: nothing that answers REST comes here.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline_project.analytics.execution import Column, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

MOST_BARS = 30
LARGE = 1_000


@dataclass(frozen=True)
class Chart:
    """Bars over texts or lines over periods: `value` (and `also`) against `label`, of the rows that `keep` accepts."""

    label: tuple[str, ...]
    value: str
    also: tuple[str, ...] = ()
    line: bool = False
    keep: Callable[[Mapping[str, Any]], bool] = bool


CHARTS: Mapping[str, Chart] = {
    "database_info": Chart(("table_name",), "row_count"),
    "simple_demo": Chart(("source", "entity_type"), "entities"),
    "revenue_analysis": Chart(("segment",), "segment_total"),
    "customer_analysis": Chart(("segment",), "total"),
    "count_analysis": Chart(("segment",), "count"),
    "multi_dimensional_analytics": Chart(
        ("period",), "revenue", line=True, keep=lambda row: row["grouped_by"] == ["period"]
    ),
    "relationship_network": Chart(("name", "canonical_id"), "total_revenue"),
    "time_series_patterns": Chart(("period",), "value", also=("moving_average",), line=True),
    "data_integrity_analysis": Chart(
        ("left_system", "right_system"), "matches", also=("equal_names",), keep=lambda row: row["kind"] == "total"
    ),
}


def plot(operation: str, columns: Sequence[Column], rows: Sequence[Row]) -> bytes:
    """A PNG. An operation without a chart of its own (a person's query) is drawn as its first number over its first column."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415

    target = io.BytesIO()
    FigureCanvasAgg(figure(operation, columns, rows)).print_png(target, pil_kwargs={"optimize": True})
    return target.getvalue()


def figure(operation: str, columns: Sequence[Column], rows: Sequence[Row]) -> "Figure":
    """What `plot` makes a picture of."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    chart = CHARTS.get(operation) or _guessed(columns)
    names = [column.name for column in columns]
    kept = [row for row in (dict(zip(names, row, strict=True)) for row in rows) if chart.keep(row)]
    # Not pyplot: it keeps figures, and is not meant for threads.
    found = Figure(figsize=(9, 5), layout="constrained")
    axes = found.add_subplot()
    axes.set_title(operation.replace("_", " "))
    if not kept or chart.value not in names:
        axes.text(0.5, 0.5, "no data", ha="center", va="center")
        axes.set_axis_off()
    elif chart.line:
        _lines(axes, chart, kept)
    else:
        _bars(axes, chart, kept)
    return found


def _guessed(columns: Sequence[Column]) -> Chart:
    value = next((c.name for c in columns if c.is_number), "")
    label = next((c.name for c in columns if c.name != value), value)
    return Chart((label,), value)


def _text(row: Mapping[str, Any], chart: Chart) -> str:
    # A dollar would start a formula.
    return " / ".join("—" if row[name] is None else str(row[name])[:40] for name in chart.label).replace("$", r"\$")


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _bars(axes: "Axes", chart: Chart, rows: Sequence[Mapping[str, Any]]) -> None:
    """One bar a label, the first row of each (further ones repeat it), the greatest on top. What has no label or no value has
    no bar."""
    told = [row for row in rows if row[chart.value] is not None and any(row[name] is not None for name in chart.label)]
    first = {_text(row, chart): row for row in reversed(told)}
    ranked = sorted(first.items(), key=lambda item: _number(item[1][chart.value]))[-MOST_BARS:]
    labels = [label for label, _ in ranked]
    series = (chart.value, *chart.also)
    height = 0.8 / len(series)
    for n, name in enumerate(series):
        places = [place + n * height for place in range(len(labels))]
        axes.barh(places, [_number(row[name] or 0) for _, row in ranked], height=height, label=name.replace("_", " "))
    axes.set_yticks([place + height * (len(series) - 1) / 2 for place in range(len(labels))], labels)
    axes.set_xlabel(chart.value.replace("_", " "))
    _write_large_numbers(axes.xaxis)
    if chart.also:
        axes.legend()


def _lines(axes: "Axes", chart: Chart, rows: Sequence[Mapping[str, Any]]) -> None:
    periods = [row[chart.label[0]] for row in rows]
    for name in (chart.value, *chart.also):
        axes.plot(periods, [_number(row[name]) for row in rows], marker=".", label=name.replace("_", " "))
    marked = [row for row in rows if row.get("anomaly")]
    if marked:
        axes.scatter(
            [row[chart.label[0]] for row in marked],
            [_number(row[chart.value]) for row in marked],
            s=90,
            facecolors="none",
            edgecolors="red",
            label="anomaly",
        )
    axes.legend()
    axes.tick_params(axis="x", rotation=30)
    _write_large_numbers(axes.yaxis)


def _write_large_numbers(axis: "Axis") -> None:
    """60 M, where matplotlib would write 6 and 1e7 at the end of the axis. Small ones as they are: not 200 m for 0.2."""
    from matplotlib.ticker import EngFormatter  # noqa: PLC0415

    if max(map(abs, axis.get_view_interval())) >= LARGE:
        axis.set_major_formatter(EngFormatter())
