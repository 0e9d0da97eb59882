"""What is told of a batch."""

from xml.etree import ElementTree as ET

from pipeline_project.ingest.decoding.faults import ObjectFault
from pipeline_project.ingest.inspection.report import totals
from pipeline_project.ingest.ledger import Outcome
from pipeline_project.ingest.ledger.object_states import ObjectState
from pipeline_project.orchestration.presentation.images import BAR, counts_plot
from pipeline_project.orchestration.presentation.markdown import LINES, faults_table, markdown_table, outcomes_table


def outcome(number: int, state: ObjectState = ObjectState.LOADED, **counts: int) -> Outcome:
    found = Outcome(number, f"crm-data/{number:04}.json", state)
    for name, count in counts.items():
        setattr(found, name, count)
    return found


def test_totals_are_sums_and_always_there() -> None:
    assert totals([])["records"] == 0
    found = totals(
        [
            outcome(1, records=3, inserted=2, rejected=1),
            outcome(2, records=4, updated=4),
            outcome(3, ObjectState.FAILED),
        ]
    )
    assert (found["records"], found["inserted"], found["updated"], found["rejected"]) == (7, 2, 4, 1)
    assert (found["objects_loaded"], found["objects_failed"]) == (2, 1)


def test_what_needs_somebody_comes_first_and_the_rest_is_cut() -> None:
    bad = outcome(9999)
    bad.refuse(ObjectFault("truncated", "the file ends\nin a record", line=7))
    table = outcomes_table([*(outcome(number) for number in range(LINES)), bad]).splitlines()
    assert table[2].startswith("| crm-data/9999.json | failed |")
    assert table[-1] == "… and 1 more"


def test_why_an_object_failed_stands_by_itself() -> None:
    good, one, other = outcome(1), outcome(3), outcome(2)
    one.refuse(ObjectFault("truncated", "the file ends\nin a record", line=7, column=3))
    other.refuse(ObjectFault("empty", "the file is empty"))
    assert faults_table([good, one, other]).splitlines()[2:] == [
        "| crm-data/0002.json | the file is empty |",
        "| crm-data/0003.json | the file ends in a record (line 7, column 3) |",
    ]
    assert faults_table([good]) == ""


def test_a_cell_cannot_break_the_table_nor_become_markup() -> None:
    [_, _, line] = markdown_table(["a", "b"], [["x|y\nz", "<script>[link](http://x)*_`"]]).splitlines()
    assert line == r"| x\|y z | \<script>\[link](http://x)\*\_\` |"


def test_the_plot_shows_what_became_of_the_records() -> None:
    found = ET.fromstring(counts_plot(totals([outcome(1, records=1500, inserted=1000, rejected=500)])))  # noqa: S314 ours
    texts = [each.text for each in found.iter("{http://www.w3.org/2000/svg}text")]
    assert dict(zip(texts[::2], texts[1::2], strict=True)) == {
        "inserted": "1,000", "updated": "0", "unchanged": "0", "stale": "0", "rejected": "500", "deleted": "0"
    }  # fmt: skip
    [_, *rectangles] = found.iter("{http://www.w3.org/2000/svg}rect")
    bars = [float(each.attrib["width"]) for each in rectangles]
    assert bars == [BAR, 0, 0, 0, BAR / 2, 0]
    assert ET.fromstring(counts_plot(totals([]))) is not None  # noqa: S314 ours
