"""`make mutate` changes what it says, one place at a time, and believes the tests."""

import dataclasses
import time
from pathlib import Path
from types import ModuleType

import pytest

from pipeline_project_tests.mutate import configuration, python_code, sql_text
from pipeline_project_tests.mutate.areas import Area, Judges, Part, areas
from pipeline_project_tests.mutate.campaign import Campaign, every_mutation, sample
from pipeline_project_tests.mutate.equivalents import equivalents
from pipeline_project_tests.mutate.mutation import changed_lines, mutations
from pipeline_project_tests.mutate.observed import AT_IMPORT, Observed
from pipeline_project_tests.mutate.record import Judged, Outcome, Record
from pipeline_project_tests.mutate.tree import changed, copied

ROOT = Path(__file__).parent.parent.parent
QUERY = """-- a < b AND c
SELECT DISTINCT a, coalesce(b, 0) FROM t LEFT JOIN u USING (a)
WHERE a >= %(bound)s AND state IN ('new', 'old')
ORDER BY a DESC, b
"""


def results(language: ModuleType, text: str) -> set[str]:
    return {change.apply(text) for change in language.changes(text)}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a >= %(bound)s", "a > %(bound)s"),
        (" AND state IN ('new', 'old')\n", " ORDER"),
        ("WHERE a >= %(bound)s AND state", "WHERE state"),
        ("SELECT DISTINCT a", "SELECT a"),
        ("coalesce(b, 0)", "b"),
        ("LEFT JOIN", "JOIN"),
        ("('new', 'old')", "('new')"),
        ("('new', 'old')", "( 'old')"),
        ("'new'", "'new_'"),
        ("a DESC, b", "a, b"),
        ("a DESC, b", "a DESC"),
    ],
)
def test_sql_is_changed_in_this_way(before: str, after: str) -> None:
    found = {" ".join(each.split()) for each in results(sql_text, QUERY)}
    expected = QUERY.replace(before, after, 1) if after != " ORDER" else QUERY.replace(before + "ORDER", after)
    assert " ".join(expected.split()) in {each.replace("WHERE  ", "WHERE ") for each in found}


def test_sql_comments_and_assignments_are_no_comparisons() -> None:
    assert all(each.startswith("-- a < b AND c\n") for each in results(sql_text, QUERY))
    text = "UPDATE t SET a = CASE WHEN b = 1 THEN 2 END, c = 3 WHERE d = 4"
    compared = {each.apply(text) for each in sql_text.changes(text) if each.rule == "comparison"}
    assert compared == {text.replace("b = 1", "b <> 1"), text.replace("d = 4", "d <> 4")}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("x = a < b", "x = a <= b"),
        ("x = a and b", "x = a or b"),
        ("x = a and b", "x = True and b"),
        ("f(a, key=1)", "f(a)"),
        ("f(a)", "pass"),
        ("x = sorted(a)", "x = a"),
        ('x = ["a", "b", "c"]', 'x = ["a", "c"]'),
        ('x = {"a": 1, "b": 2}', 'x = {"a": 1}'),
        ("x = not a", "x = a"),
        ("x = 30", "x = 31"),
        ("x = True", "x = False"),
        ("if a:\n    raise E", "if a:\n    pass"),
    ],
)
def test_python_is_changed_in_this_way(before: str, after: str) -> None:
    assert " ".join(after.split()) in {" ".join(each.split()) for each in results(python_code, before)}


def test_annotations_and_docstrings_of_python_stay() -> None:
    assert results(python_code, 'def f(a: "list[1] | None") -> 1 | 2:\n    """1 < 2"""\n') == set()


def test_what_holds_only_programmers_to_something_stays() -> None:
    assert results(python_code, "assert a < b\nclass A(Struct, frozen=True): ...\n") == set()
    assert results(python_code, "x = zip(a, b, strict=True)") == set()


def test_what_is_cached_stays() -> None:
    assert results(python_code, "@lru_cache(maxsize=9)\ndef f(): ...\n\n@cache\ndef g(): ...\n") == set()


def test_settings_are_changed_and_left_out() -> None:
    assert results(configuration, "days = 30  # 1\nkept = true\n") == {
        "days = 31  # 1\nkept = true\n",
        "days = 30  # 1\nkept = false\n",
        "\nkept = true\n",
        "days = 30  # 1\n\n",
    }


def test_a_mutation_keeps_its_name_while_its_line_stays_the_same() -> None:
    def names(text: str) -> list[str]:
        return [each.id for each in mutations(Path("a.py"), text, python_code.changes(text))]

    assert names("x = a < b\n") == names("# more\nx = a < b\n")
    assert len({*names("x = a < b < c\n")}) == len(names("x = a < b < c\n"))


def test_changed_lines_are_whole_lines_and_nothing_else() -> None:
    assert changed_lines("a\n  b\nc\n", "a\n  d\nc\n") == ("b", "d")
    assert changed_lines("a\nb\nc\n", "a\nc\n") == ("b", "")


def test_every_glob_of_every_area_finds_files() -> None:
    globs = [glob for area in areas().values() for part in area.parts for glob in (*part.sources, *part.tests)]
    assert [glob for glob in globs if not any(ROOT.glob(glob))] == []


def test_a_file_is_judged_by_the_first_part_that_names_it(tmp_path: Path) -> None:
    for name in ("a.sql", "b.sql", "test_a.py", "test_all.py"):
        (tmp_path / name).touch()
    area = Area("x", (Part(("a.sql",), ("test_a.py",)), Part(("*.sql",), ("test_a*.py",))))
    both = (Path("test_a.py"), Path("test_all.py"))
    assert area.judged(tmp_path) == {
        Path("a.sql"): Judges(both[:1], slow=False),
        Path("b.sql"): Judges(both, slow=False),
    }


def test_a_sample_is_valid_code_and_the_same_for_one_seed() -> None:
    area = areas()["sql-checks-notify"]
    chosen = sample(ROOT, area, 10, 7)
    assert [each.id for each in chosen] == [each.id for each in sample(ROOT, area, 10, 7)]
    assert [each.id for each in chosen] != [each.id for each in sample(ROOT, area, 10, 8)]
    assert len({(each.path, each.line) for each in chosen}) == 10
    assert all(sql_text.is_valid(each.change.apply((ROOT / each.path).read_text("utf-8"))) for each in chosen)


def test_equivalent_mutations_exist_and_have_reasons() -> None:
    lines = {
        path.name: path.read_text("utf-8")
        for folder in ("sql", "pipeline_project", "deploy")
        for path in _texts(folder)
    }
    for (file, before, _), reason in equivalents().items():
        assert len(reason) > 20
        assert " ".join(before.split()) in " ".join(lines[file].split()), f"{file} has changed: {before}"


def _texts(folder: str) -> list[Path]:
    return [path for path in (ROOT / folder).rglob("*") if path.suffix in (".sql", ".py", ".toml", ".yaml")]


JUDGED = Judged("1", "a.py", 1, "number", "1", "2", Outcome.SURVIVED, 1.0, source="s", tests="t")


def test_a_record_is_read_again_and_its_last_word_counts(tmp_path: Path) -> None:
    Record(tmp_path / "build" / "x.jsonl").add(JUDGED)
    killed = dataclasses.replace(JUDGED, outcome=Outcome.KILLED)
    Record(tmp_path / "build" / "x.jsonl").add(killed)
    assert Record(tmp_path / "build" / "x.jsonl").get("1") == killed


def test_other_tests_judge_a_survivor_again_and_another_source_judges_all_again() -> None:
    killed = dataclasses.replace(JUDGED, outcome=Outcome.KILLED)
    assert JUDGED.still_counts("s", "t")
    assert not JUDGED.still_counts("s", "other")
    assert killed.still_counts("s", "other")
    assert not killed.still_counts("other", "t")


def test_a_file_is_as_before_after_a_trial_that_failed(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"before\r\n")
    with pytest.raises(ZeroDivisionError), changed(path, "after"):
        assert path.read_text("utf-8") == "after"
        raise ZeroDivisionError
    assert path.read_bytes() == b"before\r\n"


@pytest.mark.slow
def test_a_campaign_tells_what_the_tests_noticed_and_leaves_the_tree_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    part = Part(("pipeline_project/jobs/reconcile.py",), ("pipeline_project_tests/unit/jobs/test_reconcile.py",))
    area = Area("small", (part,))
    before = (ROOT / part.sources[0]).read_bytes()
    found = every_mutation(ROOT, area)
    # The decision is tested here; what the loop does with it is tested elsewhere.
    chosen = [
        next(
            each
            for each in found
            if "job.attempts < ATTEMPTS" in _line(each.path, each.line) and each.rule == "comparison"
        ),
        next(each for each in found if "ended += 1" in _line(each.path, each.line) and each.rule == "number"),
    ]
    with copied(ROOT) as copy:
        campaign = Campaign(copy, tmp_path, tmp_path / "records", time.monotonic() + 200)
        result = campaign.run(area, chosen)
        again = Campaign(copy, tmp_path, tmp_path / "records", 0).run(area, chosen)
    assert [each.outcome for each in result.judged] == [Outcome.KILLED, Outcome.SURVIVED]
    assert again.judged == result.judged
    assert "reconcile.py" in capsys.readouterr().out
    assert str(result) == "small: 50% killed (1 killed, 1 survived, 0 equivalent, 0 not tried)"
    assert (ROOT / part.sources[0]).read_bytes() == before


def _line(path: Path, line: int) -> str:
    return (ROOT / path).read_text("utf-8").splitlines()[line - 1]


def test_tests_that_execute_a_line_are_all_that_run_unless_an_import_executes_it() -> None:
    lines = {"a.py": {1: [AT_IMPORT], 2: [2, 0], 3: [AT_IMPORT, 1]}}
    observed = Observed(["t::slow", "t::a", "t::b"], ["", "x = rows_c", ""], [9, 0.1, 0.1], lines, [])
    assert observed.selection(Path("a.py"), [2]) == (["t::b", "t::slow"], True)
    assert observed.selection(Path("a.py"), [3]) == (["t::a"], False)
    assert observed.selection(Path("a.py"), [1, 2]) == (["t::a", "t::b", "t::slow"], False)
    assert observed.selection(Path("b.sql"), [1]) == (["t::b"], False), "by its name"
    assert observed.selection(Path("rows_c.sql"), [1]) == (["t::a"], False), "by its source"
