"""time_series_patterns, computed a second time in Python: with gaps, ties, zeros, single points and constant series."""

import random
from datetime import date, timedelta
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest

from pipeline_project.analytics.catalogue import InvalidParameters
from pipeline_project_tests.analytics_rows import ask, columns, entity, insert, point, rounded
from pipeline_project_tests.fix_postgres import FreshDatabase

Series = list[Fraction | None]


def begin_of(day: date, period: str) -> date:
    match period:
        case "day":
            return day
        case "week":
            return day - timedelta(days=day.weekday())
        case "month":
            return day.replace(day=1)
        case "quarter":
            return date(day.year, (day.month - 1) // 3 * 3 + 1, 1)
        case _:
            return date(day.year, 1, 1)


def after(begin: date, period: str) -> date:
    return begin_of(
        begin + timedelta(days={"day": 1, "week": 7, "month": 31, "quarter": 93, "year": 366}[period]), period
    )


def season(begin: date, period: str) -> int:
    return {
        "day": begin.isoweekday(),
        "week": begin.isocalendar().week,
        "month": begin.month,
        "quarter": (begin.month + 2) // 3,
        "year": 1,
    }[period]


def mean(values: list[Fraction]) -> Fraction:
    return sum(values, Fraction(0)) / len(values)


def deviation(values: list[Fraction]) -> Fraction | None:
    """The sample standard deviation, to forty digits."""
    if len(values) < 2:
        return None
    centre = mean(values)
    variance = sum(((value - centre) * (value - centre) for value in values), Fraction(0)) / (len(values) - 1)
    with localcontext(prec=60):
        return Fraction((Decimal(variance.numerator) / variance.denominator).sqrt())


def there(values: Series) -> list[Fraction]:
    return [value for value in values if value is not None]


def slope(values: Series) -> Fraction | None:
    known = [(Fraction(place), value) for place, value in enumerate(values) if value is not None]
    if len(known) < 3:
        return None
    middle, centre = mean([x for x, _ in known]), mean([y for _, y in known])
    rise = sum(((x - middle) * (y - centre) for x, y in known), Fraction(0))
    run = sum(((x - middle) * (x - middle) for x, _ in known), Fraction(0))
    return rise / run / abs(centre) if centre else None


def patterns(points: dict[date, list[Decimal]], period: str) -> list[tuple[Any, ...]]:
    sums: dict[date, list[Decimal]] = {}
    for day, amounts in points.items():
        sums.setdefault(begin_of(day, period), []).extend(amounts)
    if not sums:
        return []
    calendar = [min(sums)]
    while calendar[-1] < max(sums):
        calendar.append(after(calendar[-1], period))
    values: Series = [Fraction(sum(sums[each])) if each in sums else None for each in calendar]
    growths: Series = [None]
    for earlier, value in pairwise(values):
        growths.append((value - earlier) / abs(earlier) if earlier and value is not None else None)
    whole = mean(there(values))
    expected = []
    for n, begin in enumerate(calendar):
        value = values[n]
        recent = there(values[max(0, n - 2) : n + 1])
        volatility = deviation(there(growths[max(0, n - 5) : n + 1]))
        alike = there([v for b, v in zip(calendar, values, strict=True) if season(b, period) == season(begin, period)])
        seasonality = mean(alike) / whole if whole and alike else None
        steep = slope(values[max(0, n - 5) : n + 1])
        past = there(values[max(0, n - 12) : n])
        spread = deviation(past) if len(past) >= 6 else None
        off = (value - mean(past)) / spread if value is not None and spread else None
        # "More than three standard deviations from the mean of the twelve periods before, of which at least six must be there."
        anomaly = value is not None and spread is not None and abs(value - mean(past)) > 3 * spread
        trend = None
        if value is not None and steep is not None:
            trend = "rising" if steep > Fraction(1, 100) else "falling" if steep < -Fraction(1, 100) else "flat"
            trend = "volatile" if volatility is not None and volatility > Fraction(1, 2) else trend
        expected.append(
            (
                *(begin, len(sums.get(begin, [])), Decimal(sum(sums[begin])) if begin in sums else None),
                *(rounded(mean(recent)) if recent else None, rounded(growths[n]), rounded(volatility)),
                *(rounded(seasonality), rounded(steep), trend, rounded(off), anomaly),
            )
        )
    return expected


def some_points(seed: int) -> dict[date, list[Decimal]]:
    chance = random.Random(seed)
    points: dict[date, list[Decimal]] = {}
    for n in range(900):
        if chance.random() < 0.06:  # sparse, so that whole periods are missing
            level = Decimal(chance.choice([0, 500, 500, -600, 1000 + n, 90_000 if n == 700 else 700])) / 4
            points[date(2022, 1, 3) + timedelta(days=n)] = [level, level + 1]
    return points


@pytest.mark.parametrize("period", ["day", "week", "month", "quarter", "year"])
@pytest.mark.parametrize("seed", [1, 2])
def test_any_series(database: FreshDatabase, seed: int, period: str) -> None:
    points = some_points(seed)
    rows = [point(f"crm_{n}", day, value) for day, values in points.items() for n, value in enumerate(values)]
    rows += [
        point("crm_0", date(2022, 5, 5), Decimal(9), metric_type="other"),
        point("crm_9", date(2022, 5, 5), None, deleted=True),
    ]
    insert(database.loader, "time_series_data", rows)
    got = ask(database.reader, "time_series_patterns", analysis_period=period, metric="revenue")
    assert [tuple(row.values()) for row in got] == patterns(points, period)


def test_a_single_point_has_no_course(database: FreshDatabase) -> None:
    insert(database.loader, "time_series_data", [point("crm_1", date(2024, 2, 29), Decimal("12.50"))])
    [got] = ask(database.reader, "time_series_patterns")
    assert got["value"] == Decimal("12.50")
    assert (got["growth"], got["volatility"], got["slope"], got["trend"], got["anomaly"]) == (
        None,
        None,
        None,
        None,
        False,
    )


def test_a_constant_series_is_flat(database: FreshDatabase) -> None:
    months = [date(2023 + n // 12, n % 12 + 1, 15) for n in range(24)]
    insert(database.loader, "time_series_data", [point("crm_1", month, Decimal(7)) for month in months])
    got = ask(database.reader, "time_series_patterns")
    assert set(columns(got[2:], "trend", "anomaly")) == {("flat", False)}
    assert set(columns(got, "seasonality")) == {(Decimal(1),)}


def test_the_past_of_those_who_left_stays(database: FreshDatabase) -> None:
    """A deleted customer's points count, and those of one that has not arrived; where the living are counted they do not."""
    insert(database.loader, "entities", [entity("crm_here"), entity("crm_left", deleted=True)])
    rows = [point(each, date(2024, 2, 3), Decimal(5)) for each in ("crm_here", "crm_left", "crm_unknown")]
    insert(database.loader, "time_series_data", rows)
    [month] = ask(database.reader, "time_series_patterns")
    assert (month["points"], month["value"]) == (3, 15)
    [counted] = ask(database.reader, "count_analysis", metric="time_series_points")
    assert (counted["entities"], counted["count"]) == (1, 1)


def test_growth_is_positive_where_it_goes_up(database: FreshDatabase) -> None:
    values = [-100, -50, 50, -50, -100, 0, -1]
    points = [point("crm_1", date(2024, 1 + n, 1), Decimal(value)) for n, value in enumerate(values)]
    insert(database.loader, "time_series_data", points)
    got = [row["growth"] for row in ask(database.reader, "time_series_patterns")]
    assert got == [None, *map(Decimal, ("0.5", "2", "-2", "-1", "1")), None]


def test_what_leaves_a_constant_course_is_an_anomaly(database: FreshDatabase) -> None:
    """By however little; but five periods before are too few to tell."""
    for before, metric in ((5, "few"), (6, "enough"), (12, "many")):
        values = [Decimal("7.10")] * before + [Decimal("7.11"), Decimal("7.10")]
        months = [date(2023 + n // 12, n % 12 + 1, 1) for n in range(len(values))]
        insert(
            database.loader,
            "time_series_data",
            [point("crm_1", month, value, metric_type=metric) for month, value in zip(months, values, strict=True)],
        )
        got = ask(database.reader, "time_series_patterns", metric=metric)
        points = {month: [value] for month, value in zip(months, values, strict=True)}
        assert [tuple(row.values()) for row in got] == patterns(points, "month")
        assert [row["period"] for row in got if row["anomaly"]] == ([months[before]] if before >= 6 else [])
        assert got[before]["deviation"] is None


def test_an_outlier_is_an_anomaly(database: FreshDatabase) -> None:
    values = [100 + n % 3 for n in range(18)]
    values[15] = 150
    months = [date(2023 + n // 12, n % 12 + 1, 1) for n in range(18)]
    insert(
        database.loader,
        "time_series_data",
        [point("crm_1", month, Decimal(value)) for month, value in zip(months, values, strict=True)],
    )
    got = ask(database.reader, "time_series_patterns")
    assert [row["period"] for row in got if row["anomaly"]] == [months[15]]


def test_a_metric_that_nobody_sent_is_refused_with_those_there_are(database: FreshDatabase) -> None:
    assert (
        ask(database.reader, "time_series_patterns", metric="orders") == []
    )  # where there is nothing, nothing is wrong
    day = date(2024, 2, 29)
    points = [point("crm_1", day, Decimal(1), metric_type=name) for name in ("tickets", "orders")]
    insert(database.loader, "time_series_data", points)
    with pytest.raises(InvalidParameters) as refused:
        ask(database.reader, "time_series_patterns", metric="order")
    message = "names nothing that is there; there are orders, tickets"
    assert refused.value.errors == [{"field": "metric", "rule": "exists", "message": message}]
    assert ask(database.reader, "time_series_patterns") == []  # the default was not asked for by anybody
