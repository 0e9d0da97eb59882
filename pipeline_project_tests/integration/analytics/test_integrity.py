"""data_integrity_analysis against a comparison of everything with everything, which is what it must not do itself."""

import random
import re
from collections import Counter
from decimal import Decimal
from fractions import Fraction
from itertools import combinations
from typing import Any

import pytest

from pipeline_project.analytics.catalogue import InvalidParameters
from pipeline_project_tests.analytics_rows import ask, columns, entity, insert, rounded
from pipeline_project_tests.fix_postgres import FreshDatabase

LEGAL_FORMS = re.compile(
    r"\b(incorporated|inc|ltd|limited|llc|llp|plc|gmbh|mbh|ag|kg|sas|sarl|sa|srl|spa|bv|nv|ab|as|oy|corporation|company|corp|co)\b"
)


def match_name(name: str) -> str:
    words = re.sub(r"[^\w]+|_", " ", name.lower().replace(".", "").replace("'", "").replace("’", ""))
    return " ".join(LEGAL_FORMS.sub("", words).split()) or name.lower()


def trigrams(name: str) -> set[str]:
    """As pg_trgm makes them: of each word, with two blanks before and one behind."""
    words = re.findall(r"[^\W_]+", name)
    return {f"  {word} "[n : n + 3] for word in words for n in range(len(word) + 1)}


def similarity(left: str, right: str) -> Fraction:
    """Of the first hundred characters."""
    a, b = trigrams(left[:100]), trigrams(right[:100])
    return Fraction(len(a & b), len(a | b)) if a | b else Fraction(0)


def parts(name: str) -> set[str]:
    """What two names have in common if they are to be compared by words."""
    words = name[:100].split(" ")
    shortened = [words, *(words[:n] + words[n + 1 :] for n in range(len(words)))]
    return {" ".join(sorted(each)) for each in shortened} | {"".join(words)}


def matches(
    rows: list[dict[str, Any]], least: Fraction, *, by_words: bool = False
) -> dict[tuple[str, str], list[tuple[str, str, Decimal]]]:
    """For each pair of systems (left id, right id, similarity), by left id."""
    names: dict[str, dict[str, str]] = {}
    for row in sorted(rows, key=lambda row: row["canonical_id"]):
        names.setdefault(row["source"], {}).setdefault(match_name(row["name"]), row["canonical_id"])
    found = {}
    for left, right in combinations(sorted(names), 2):
        equal = names[left].keys() & names[right].keys()
        pairs = [(names[left][name], names[right][name], Decimal("1.0000")) for name in equal]
        scores: dict[tuple[str, str], Fraction] = {}
        for a in names[left].keys() - equal:
            for b in names[right].keys() - equal:
                if (score := similarity(a, b)) >= least and (not by_words or parts(a) & parts(b)):
                    scores[names[left][a], names[right][b]] = score
        for (a, b), score in scores.items():
            best_right = min((-s, other) for (one, other), s in scores.items() if one == a)
            best_left = min((-s, one) for (one, other), s in scores.items() if other == b)
            if best_right == (-score, b) and best_left == (-score, a):
                pairs.append((a, b, rounded(score, 4) or Decimal(0)))
        found[left, right] = sorted(pairs)
    return found


def some_companies(seed: int, systems: int) -> list[dict[str, Any]]:
    """Names from few syllables, so that many are alike; each system spells them in its own way and with slips."""
    chance = random.Random(seed)
    syllables = ["ba", "ko", "lim", "ter", "sun", "o", "vex"]
    forms = ["", " Inc", " Ltd.", " L.L.C.", " GmbH", ", Inc."]
    rows = []
    for number in range(120):
        words = ["".join(chance.choices(syllables, k=chance.randint(1, 3))) for _ in range(chance.randint(1, 4))]
        for source in ["crm", "erp", "old"][:systems]:
            name = " ".join(words)
            if chance.random() < 0.4:
                place = chance.randrange(len(name))
                name = name[:place] + chance.choice(["x", "", "-", "q"]) + name[place + 1 :]
            if chance.random() < 0.8:
                name = (name or "z").title() + chance.choice(forms)
                rows.append(entity(f"{source}_{number}", name=name, revenue=Decimal(chance.choice([100, 104, 200]))))
    odd = ["Ltd", "???", "a", "日本電気 株式会社", "Ünïcode Straße AG", "O’Neill & Sons", "x" * 300, "B.V."]
    rows += [entity(f"{source}_odd{n}", name=name) for source in ("crm", "erp") for n, name in enumerate(odd)]
    rows += [entity(f"{source}_long", name=f"{'Long Winded ' * 9}{source}") for source in ("crm", "erp")]
    return rows


@pytest.mark.parametrize("least", ["0.6", "0.7", "0.85", "1"])
@pytest.mark.parametrize(("seed", "systems"), [(1, 2), (2, 3), (3, 2)])
def test_finds_what_comparing_everything_finds(database: FreshDatabase, seed: int, systems: int, least: str) -> None:
    rows = some_companies(seed, systems)
    insert(database.loader, "entities", rows)
    got = ask(database.reader, "data_integrity_analysis", min_similarity=float(least))
    expected = matches(rows, Fraction(least))
    for (left, right), pairs in expected.items():
        here = [row for row in got if (row["left_system"], row["right_system"]) == (left, right)]
        assert here[0]["kind"] == "total"
        assert here[0]["matches"] == len(pairs)
        assert sorted(columns(here[1:], "left_id", "right_id", "similarity")) == pairs
    assert len(got) == sum(1 + len(pairs) for pairs in expected.values())
    assert (
        any(Decimal(least) < similarity < 1 for pairs in expected.values() for *_, similarity in pairs) or least == "1"
    )


@pytest.mark.parametrize(("seed", "least"), [(1, "0.6"), (2, "0.7"), (3, "0.85")])
def test_many_names_are_compared_if_they_have_all_words_but_one(database: FreshDatabase, seed: int, least: str) -> None:
    rows = some_companies(seed, 3)
    insert(database.loader, "entities", rows)
    got = ask(database.reader, "data_integrity_analysis", min_similarity=float(least), exhaustive_up_to=0)
    expected = matches(rows, Fraction(least), by_words=True)
    assert expected != matches(rows, Fraction(least)) or least == "0.85"
    for (left, right), pairs in expected.items():
        total, *here = [row for row in got if (row["left_system"], row["right_system"]) == (left, right)]
        assert (total["compared_by"], total["crowded_names"], total["matches"]) == ("words", 0, len(pairs))
        assert sorted(columns(here, "left_id", "right_id", "similarity")) == pairs


def test_names_in_a_crowd_that_is_not_compared_are_counted(database: FreshDatabase) -> None:
    """Two hundred that differ in two letters only: comparing them all is what grows with the square."""
    letters = [a + b for a in "bdfghjklmn" for b in "aeiouyrstz"]
    rows = [
        entity(f"{source}_{n}", name=f"International Trading {word}{'x' if source == 'erp' else ''}")
        for source in ("crm", "erp")
        for n, word in enumerate(letters)
    ]
    rows += [entity("crm_other", name="Sun Shine Foods"), entity("erp_other", name="Sunshine Foods")]
    insert(database.loader, "entities", rows)
    by_words, *matched = ask(database.reader, "data_integrity_analysis", exhaustive_up_to=201)
    assert (by_words["compared_by"], by_words["crowded_names"]) == ("words", 200)
    assert ("crm_other", "erp_other") in columns(matched, "left_id", "right_id")
    by_trigrams, *matched = ask(database.reader, "data_integrity_analysis", exhaustive_up_to=202)
    assert (by_trigrams["compared_by"], by_trigrams["crowded_names"], len(matched)) == ("trigrams", 0, 101)


def test_what_differs_and_what_to_do(database: FreshDatabase) -> None:
    def company(canonical_id: str, name: str, **fields: Any) -> dict[str, Any]:
        known = {"industry": "Steel", "country": "DE", "revenue": Decimal(1000), "employees": 100, **fields}
        return entity(canonical_id, name=name, **known)

    rows = [
        company("crm_1", "Acme Inc."),
        company("erp_1", "ACME LTD", industry="steel", revenue=Decimal(1050), employees=110),  # within what is allowed
        company("crm_2", "Globex"),
        company("erp_2", "Globex", country="FR", revenue=Decimal(2000), employees=None),
        company("crm_3", "Initech"),
        company("crm_4", "Initech"),
        company("erp_3", "Initech"),
        company("crm_5", "Umbrella Corporation Holding"),
        company("erp_5", "Umbrela Corporation Holding", industry=None, country=None, revenue=None, employees=None),
        company("erp_6", "Nobody else"),
        company("crm_7", "Vandelay Inc Imports"),
        company("erp_7", "Vandelay Imports Ltd"),
        company("old_1", "Acme"),
    ]
    insert(database.loader, "entities", rows)
    got = ask(database.reader, "data_integrity_analysis", systems="crm,erp")
    assert Counter(row["kind"] for row in got) == {"total": 1, "match": 5}
    told = {row["left_id"]: row for row in got[1:]}
    assert {each: row["recommended_action"] for each, row in told.items()} == {
        "crm_1": "link",
        "crm_2": "link_and_correct",
        "crm_3": "resolve_duplicates",
        "crm_5": "review",
        "crm_7": "link",
    }
    assert told["crm_1"]["discrepancies"] == []
    assert told["crm_2"]["discrepancies"] == ["country", "revenue"]
    assert told["crm_2"]["quality_score"] == Decimal("73.33")  # 60 for the name, a third of 40 for the industry
    assert told["crm_5"]["quality_score"] == rounded(100 * Fraction(told["crm_5"]["similarity"]), 2)
    assert (told["crm_3"]["left_entities"], told["crm_3"]["right_entities"]) == (2, 1)
    total = got[0]
    assert (total["left_entities"], total["right_entities"], total["matches"], total["equal_names"]) == (6, 6, 5, 4)
    assert (total["with_discrepancies"], total["match_rate"]) == (1, Decimal(1))


def test_names_that_differ_late_are_not_equal(database: FreshDatabase) -> None:
    """Only their first hundred characters are compared, and are the same; the names are not."""
    same, long = "Society for the Study of Rivers " * 5, "Institute of Very Long Names Which Few Can Remember " * 2
    names = {"crm_1": same, "erp_1": same, "crm_2": f"{long} north", "erp_2": f"{long} south"}
    assert long[:100] == f"{long} north"[:100]
    insert(database.loader, "entities", [entity(each, name=name) for each, name in names.items()])
    total, *got = ask(database.reader, "data_integrity_analysis")
    told = columns(got, "left_id", "right_id", "similarity", "recommended_action")
    assert sorted(told) == [("crm_1", "erp_1", 1, "link"), ("crm_2", "erp_2", 1, "review")]
    assert (total["matches"], total["equal_names"]) == (2, 1)


def test_a_system_that_nobody_knows_is_refused_with_those_there_are(database: FreshDatabase) -> None:
    assert ask(database.reader, "data_integrity_analysis", systems="crm,erp") == []  # nothing has arrived yet
    insert(database.loader, "entities", [entity("crm_1")])
    assert ask(database.reader, "data_integrity_analysis", systems=None) == []
    insert(database.loader, "entities", [entity("old_1"), entity("gone_1", deleted=True)])
    for systems, unknown in (("crm,erp", "erp"), ("crm,old,typo", "typo"), ("gone,old,typo,crm", "gone, typo")):
        with pytest.raises(InvalidParameters) as refused:
            ask(database.reader, "data_integrity_analysis", systems=systems)
        message = f"names nothing that is there: {unknown}; there are crm, old"
        assert refused.value.errors == [{"field": "systems", "rule": "exists", "message": message}]
    assert columns(
        ask(database.reader, "data_integrity_analysis", systems="old,crm"), "left_system", "right_system"
    ) == [("crm", "old")]


def test_work_stays_near_linear_where_a_name_repeats(database: FreshDatabase) -> None:
    """Ten thousand namesakes are one name: a cross join of them would be a hundred million pairs."""
    rows = [entity(f"{source}_{n}", name="Main Street Store") for source in ("crm", "erp") for n in range(10_000)]
    insert(database.loader, "entities", rows)
    total, match = ask(database.reader, "data_integrity_analysis")
    assert (total["matches"], match["left_entities"], match["right_entities"]) == (1, 10_000, 10_000)
    assert match["recommended_action"] == "resolve_duplicates"
