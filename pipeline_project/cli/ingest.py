"""`pipeline status | rejects | sources | explain | replay | discover`: commands for uploaded files."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, get_args

import typer
from rich.text import Text

from pipeline_project import plugins
from pipeline_project.database import Connection
from pipeline_project.datasets.registry import datasets
from pipeline_project.errors import OPEN_QUESTIONS, Exit, Permanent
from pipeline_project.ingest.decoding import placed
from pipeline_project.ingest.discovery import list_all, why_ignored
from pipeline_project.ingest.drafting import Question, draft
from pipeline_project.ingest.inspection import (
    DELETED,
    ColumnReport,
    ColumnUse,
    Explanation,
    Patch,
    Preview,
    State,
    contract,
    explain,
)
from pipeline_project.ingest.inspection.previews import preview_apart
from pipeline_project.ingest.ledger import COUNTS, MappingInUse, Objects, mappings_in_use, requeue
from pipeline_project.ingest.loading import snapshots
from pipeline_project.ingest.rejects import Selection, Status
from pipeline_project.ingest.rejects import rejected_rows as quarantine
from pipeline_project.schema.sql_files import query
from pipeline_project.services import Services
from pipeline_project.sources.registry import sources
from pipeline_project.sources.source import NAME as SOURCE_NAME
from pipeline_project.terminal import moment, plain, print_line, print_table

rejects = typer.Typer(help="Show, replay and discard records that could not be loaded.", no_args_is_help=True)
systems = typer.Typer()

ATTEMPTS = 2
"""Number of calls to AWS before an error counts. It is small, because a person waits."""
LARGEST_ID = 2**63 - 1
MOST = 100_000
BAD_SHOWN = 20
UNROUTABLE = "No source is registered for this folder. Move the file, or add the source and replay the file."

SourceOption = Annotated[str | None, typer.Option("--source", help="Only objects of this source.")]
PrefixOption = Annotated[str | None, typer.Option("--prefix", help="Only objects whose key begins with this text.")]
IdArguments = Annotated[
    list[int] | None,
    typer.Argument(help="Numbers of rejects, as `pipeline rejects list` shows them.", min=1, max=LARGEST_ID),
]


@contextmanager
def _loader() -> Iterator[Connection]:
    with Services(attempts=ATTEMPTS) as services, services.loader.connect(autocommit=True) as connection:
        yield connection


def status(
    limit: Annotated[int, typer.Option(help="Greatest number of objects with an error to show.", min=1, max=MOST)] = 20,
) -> None:
    """Show how many objects are in each state, and which objects need attention. Use it after an upload."""
    with _loader() as connection:
        summary = connection.execute(query("ingest/inspection/status_summary")).fetchall()
        attention = connection.execute(query("ingest/inspection/status_attention"), {"limit": limit + 1}).fetchall()
    print_table("source", "dataset", "state", "objects", "records", "rejected", "latest", rows=summary)
    if attention:
        shown = [
            (object_id, key, state, code, UNROUTABLE if state == "unroutable" else placed(message, line, column), at)
            for object_id, key, state, code, message, line, column, at in attention[:limit]
        ]
        print_table(
            *("id", "object", "state", "code", "reason", "at"),
            rows=shown,
            title="Needs attention",
            caption=_more(attention, limit),
        )


@rejects.command("list")
def list_rejects(
    source: SourceOption = None,
    prefix: PrefixOption = None,
    state: Annotated[str, typer.Option("--status", help=f"{', '.join(get_args(Status))} or all.")] = "open",
    limit: Annotated[int, typer.Option(help="Greatest number of records to show.", min=1, max=MOST)] = 100,
) -> None:
    """List rejected records, the latest first."""
    if state not in (*get_args(Status), "all"):
        raise Permanent(f"--status {state}: it is {', '.join(get_args(Status))} or all")
    wanted: Status | None = None if state == "all" else state  # pyright: ignore[reportAssignmentType] checked above
    _check(source, prefix)
    with _loader() as connection:
        found = quarantine.listed(connection, source=source, key_prefix=prefix, status=wanted, limit=limit + 1)
    rows = [
        (each.reject_id, each.key, each.ordinal, each.line, each.record_key, each.status, each.reasons)
        for each in found[:limit]
    ]
    print_table(
        *("reject", "object", "record", "line", "entity", "status", "reason"), rows=rows, caption=_more(found, limit)
    )


@rejects.command("show")
def show_reject(reject_id: Annotated[int, typer.Argument(min=1, max=LARGEST_ID)]) -> None:
    """Show a rejected record as it was sent, with all its errors."""
    with _loader() as connection:
        reject = quarantine.shown(connection, reject_id)
    line = f", line {reject.line}" if reject.line else ""
    print_line(f"reject {reject.reject_id}: {reject.key}, record {reject.ordinal}{line} — {reject.status}")
    settled = f", settled {moment(reject.settled_at)}" if reject.settled_at else ""
    read = f"version {reject.version}, mapping {reject.mapping_version}, rejected {moment(reject.created_at)}{settled}"
    print_line(f"  {read}")
    for error in reject.errors:
        print_line(f"  {error['field'] or 'the record'}: {error['message']} ({error['rule']})")
    raw = reject.raw.decode("utf-8", "backslashreplace") + ("" if reject.raw_complete else " …")
    for each in raw.split("\n"):
        print_line(each)


@rejects.command("replay")
def replay_rejects(reject_ids: IdArguments = None, source: SourceOption = None, prefix: PrefixOption = None) -> None:
    """Map open rejects again, and load the records that are valid now. Use it after you corrected a mapping."""
    with _loader() as connection:
        result = quarantine.replay(connection, _selection(reject_ids, source, prefix))
    print_line(f"{result.resolved} resolved, {result.still_bad} still bad")
    if result.superseded:
        print_line(f"{result.superseded} superseded meanwhile: a newer record of the same entity is loaded")
    if result.not_tried:
        print_line(
            f"{result.not_tried} not tried: the whole file failed or is being loaded, or the record is too long or ragged. "
            "Run `pipeline replay` for the file."
        )


@rejects.command("discard")
def discard_rejects(reject_ids: IdArguments = None, source: SourceOption = None, prefix: PrefixOption = None) -> None:
    """Settle open rejects that will not be corrected. They stay in the table."""
    with _loader() as connection:
        print_line(f"{quarantine.discard(connection, _selection(reject_ids, source, prefix))} discarded")
        if closed := snapshots.close_unfinished(connection):
            print_line(f"{closed} snapshots closed, which waited for this decision")


def _check(source: str | None, prefix: str | None) -> None:
    """Raise Permanent for an unknown source, and for an empty prefix, which would mean all objects."""
    if source is not None and source not in sources():
        raise Permanent(f"--source {source}: it is {', '.join(sources())}")
    if prefix is not None and not prefix.strip():
        raise Permanent("--prefix is empty, which would mean all objects. Give the beginning of the keys.")


def _more(found: Sequence[object], limit: int) -> str | None:
    """Return the caption of a table that does not show everything."""
    return f"and more: --limit shows more than {limit:,}" if len(found) > limit else None


def _selection(reject_ids: list[int] | None, source: str | None, prefix: str | None) -> Selection:
    _check(source, prefix)
    if not reject_ids and source is None and prefix is None:
        raise Permanent("Name the rejects: give their numbers, --source or --prefix.")
    return Selection(reject_ids or None, source, prefix)


@systems.callback(invoke_without_command=True)
def list_sources(context: typer.Context) -> None:
    """List the sources, the folders of their objects, and the mapping version of each dataset."""
    if context.invoked_subcommand is not None:
        return
    with _loader() as connection:
        in_use = {(each.source, each.dataset): each for each in mappings_in_use(connection)}
    rows = [
        (
            each.name,
            f"{each.prefix}/",
            each.fallbacks.get("entity_type", ""),
            Text("\n").join(
                plain(f"{dataset}: {_mapping(in_use.get((each.name, dataset)), each.fingerprint(dataset))}")
                for dataset in datasets()
            ),
            f"{each.reject_threshold:.0%}",
            each.description,
        )
        for each in sources().values()
    ]
    print_table("source", "folder", "entity type", "mapping", "bad rows at most", "description", rows=rows)


def _mapping(in_use: MappingInUse | None, fingerprint: str) -> str:
    """Return the version of a mapping, its first day, and whether the next load begins a new version."""
    if in_use is None:
        return "not loaded yet"
    told = f"{in_use.version} since {in_use.created_at:%Y-%m-%d}"
    is_new = in_use.fingerprint not in (None, fingerprint)
    return f"{told}; it was changed, the next load begins {in_use.version + 1}" if is_new else told


@systems.command("check")
def check_source(
    file: Annotated[
        Path | None, typer.Argument(exists=True, dir_okay=False, readable=True, help="A file, as the source sends it.")
    ] = None,
    key: Annotated[
        str | None, typer.Option(help="Key that the file would have (default: its path from <source>-data/ on).")
    ] = None,
    source: SourceOption = None,
    samples: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="Folder of samples (default: `samples/` of the plug-ins)."),
    ] = None,
) -> None:
    """Say what loading a file would do. Without a file, run the contract tests of the sources. Load nothing."""
    if file is None:
        _check(source, None)
        _check_contracts(source, plugins.samples(samples))
        return
    key = key or _key(file)
    if reason := why_ignored(key, file.stat().st_size):
        print_line(f"{key} would be ignored: {reason}")
        return
    with Services(attempts=ATTEMPTS) as services:
        result = preview_apart(services.loader, services.settings, file, key)
    _show_preview(result)
    if result.outcome.fault is not None:
        raise typer.Exit(Exit.ERROR)


def _check_contracts(only: str | None, samples: Mapping[str, Path]) -> None:
    """Print the faults of each source. The samples are loaded and undone, so there must be a database if there are any."""
    chosen = [each for each in sources().values() if only in (None, each.name)]
    prefixes = {each.prefix for each in sources().values()}
    failed = False
    unstable = contract.fingerprint_faults(chosen)
    for each in chosen:
        own = {key: path for key, path in samples.items() if key.partition("/")[0] == each.prefix}
        found = contract.alias_faults(each) + contract.total_faults(each)
        found += [fault for fault in unstable if fault.startswith(f"source {each.name}:")]
        found += [fault for key, path in own.items() for fault in contract.mapping_faults(key, path)]
        if own:
            with _loader() as connection:
                found += [
                    fault for key, path in own.items() for fault in contract.loading_faults(connection, key, path)
                ]
        print_line(f"{each.name}: samples {len(own)}, faults {len(found)}")
        failed = failed or bool(found)
        for fault in found:
            print_line(f"  {fault}", "red")
    unrouted = [key for key in samples if key.partition("/")[0] not in prefixes]
    for key in unrouted if only is None else ():
        print_line(f"{key}: no source has this folder. Name the first folder `<source>-data`.", "red")
        failed = True
    if failed:
        raise typer.Exit(Exit.ERROR)


@systems.command("draft")
def draft_source(
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, readable=True)],
    name: Annotated[
        str | None, typer.Option(help="Name of the source (default: from the folder <name>-data/ of the first file).")
    ] = None,
    python: Annotated[bool, typer.Option("--python", help="Draft a Python module instead of TOML.")] = False,
    write: Annotated[
        bool, typer.Option("--write", help="Also write the draft to sources/ in the folder of plug-ins.")
    ] = False,
) -> None:
    """Draft the declaration of a source from samples of its files. Use it to begin with a new source.

    Exits with 3 while there are questions that a person has to answer.
    """
    name = name or _name_of(files[0])
    if not SOURCE_NAME.fullmatch(name):
        raise Permanent(f"--name {name}: a name has lower-case letters and digits, and begins with a letter.")
    drafted = draft(files, name)
    text, ending = (drafted.python, "py") if python else (drafted.toml, "toml")
    for line in text.splitlines():
        print_line(line)
    for title, lines in (
        ("Questions that you have to answer", [_asked(each) for each in drafted.questions]),
        ("Please confirm", drafted.to_confirm),
    ):
        if lines:
            print_line(f"{title}:", "bold")
            for line in lines:
                print_line(f"- {line}")
    if write:
        print_line(f"wrote {_written(text, f'{name}.{ending}')}")
    if drafted.questions:
        raise typer.Exit(OPEN_QUESTIONS)


def _asked(question: Question) -> str:
    return f"{question.text} Declare one of: {' | '.join(question.settings)}" if question.settings else question.text


def _name_of(file: Path) -> str:
    """Return the name of the source from the folder of a file."""
    for part in reversed(file.absolute().parts[:-1]):
        if part.endswith("-data"):
            return part.removesuffix("-data")
    raise Permanent(f"{file} is not in a folder <name>-data/. Say the name of the source with --name.")


def _written(text: str, file: str) -> Path:
    """Write a draft. A file that exists stays as it is."""
    folder = plugins.folder()
    if folder is None:
        raise Permanent("there is no folder of plug-ins. Set PIPELINE_PLUGINS to the folder that --write writes to.")
    path = folder / "sources" / file
    path.parent.mkdir(exist_ok=True)
    try:
        with path.open("x", encoding="utf-8") as opened:
            opened.write(text)
    except FileExistsError:
        raise Permanent(f"{path} exists. Remove the file, or say another --name.") from None
    return path


def _key(file: Path) -> str:
    folders = {source.prefix for source in sources().values()}
    parts = file.absolute().parts
    for place in range(len(parts) - 2, -1, -1):
        if parts[place] in folders:
            return "/".join(parts[place:])
    raise Permanent(
        f"{file} is not in one of the folders {', '.join(sorted(folders))}. Add --key <source>-data/{file.name}"
    )


def _show_preview(result: Preview) -> None:
    outcome = result.outcome
    state = "refused" if outcome.fault else outcome.state
    print_line(f"{result.key} would be {state} ({outcome.format})")
    if outcome.fault:  # the whole file is refused, so counts mean nothing
        print_line(placed(outcome.fault.message, outcome.fault.line, outcome.fault.column), "red")
    else:
        print_table(*COUNTS, rows=[[getattr(outcome, name) for name in COUNTS]])
    if result.columns:
        _show_columns(result.columns)
    if result.changed:
        rows = [(name, count, result.emptied.get(name, 0)) for name, count in result.changed.items()]
        print_table("field", "rows", "become empty", rows=rows, title="Changes")
    if result.emptied and not result.partial:
        print_line(
            "A field that a record does not send becomes empty. If the records of this source send only what changed,"
        )
        print_line("declare its datasets as `partial`.")
    if result.first_bad:
        rows = [
            (bad.ordinal, bad.line, error.field, error.message)
            for bad in result.first_bad[:BAD_SHOWN]
            for error in bad.errors
        ]
        caption = f"the first {BAD_SHOWN} of {outcome.rejected:,}" if outcome.rejected > BAD_SHOWN else None
        print_table("record", "line", "field", "reason", rows=rows, title="Rejected", caption=caption)


def _show_columns(report: ColumnReport) -> None:
    """Show what each column was read as, what was skipped or repaired, and what differs from the file before."""
    if shape := ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in report.shape.items()):
        print_line(f"Shape: {shape}")
    rows = [(each.name, each.field or "attribute", report.filled(each), _remark(each)) for each in report.columns]
    if rows:
        print_table("column", "read as", "filled", "remark", rows=rows, title="Columns")
    if report.notes:
        print_table("note", "times", "examples", rows=report.notes, title="Notes")
    if report.before:
        print_line(f"Compared with {report.before}, the file before:")
        if report.lost:
            print_line(f"  fields that are not filled any more: {', '.join(report.lost)}", "red")
        for what, names in (("vanished", report.vanished), ("appeared", report.appeared)):
            if names:
                print_line(f"  columns that {what}: {', '.join(names)}")


def _remark(column: ColumnUse) -> str:
    if column.unread:
        shown = ", ".join(f'"{text}"' for text in column.unread_examples)
        return f"{column.unread:,} unread: {shown}"
    if column.hint == DELETED:
        return f'looks like a deletion flag; to read it as one, declare deleted = ["{column.name}"]'
    return f'did you mean {column.hint} = ["{column.name}"]?' if column.hint else ""


def explain_entity(
    key: Annotated[
        str,
        typer.Argument(
            help="Canonical ID, for example crm_CUST-0001. If the key has more columns, their values as CSV: "
            "crm_1,sales,2026-01-31."
        ),
    ],
    field: Annotated[str | None, typer.Argument(help="Only this field.")] = None,
    dataset: Annotated[str, typer.Option(help="Dataset of the row.")] = "entities",
) -> None:
    """Say which object and record set each value of a row, which earlier values it replaced, and why."""
    if dataset not in datasets():
        raise Permanent(f"--dataset {dataset}: it is {', '.join(datasets())}")
    with _loader() as connection:
        _show_explanation(explain(connection, datasets()[dataset], key, field))


def _show_explanation(found: Explanation) -> None:
    if found.deleted:
        print_line(f"{found.key} is deleted: its last record is a tombstone.")
    if found.patches and not found.states:
        print_line(f"{found.key} does not exist yet: no record has sent all that the dataset needs, such as a name.")
    rows = [
        (
            value.field,
            value.value,
            _origin(value.set_by, value.field),
            value.set_by.valid_from,
            Text("\n").join(plain(f"{lost!r} of {_origin(state)}: {_why(state)}") for lost, state in value.lost),
        )
        for value in found.values
    ]
    print_table("field", "value", "set by", "as of", "lost to it", rows=rows, title=found.key)
    history = [
        (
            state.version,
            state.valid_from,
            state.valid_to or "now",
            _origin(state),
            state.confirmations,
            state.recorded_at,
        )
        for state in found.states
        if state.version is not None
    ]
    if history:
        print_table("version", "valid from", "to", "set by", "confirmed", "recorded at", rows=history, title="History")
    if found.patches:
        sent = [(each.valid_from, _origin(each), _sent(each)) for each in found.patches]
        print_table("as of", "record", "sent", rows=sent, title="Partial records")
    if found.rejects:
        lost = [
            (each.reject_id, each.key, each.ordinal, each.line, each.status, each.reasons) for each in found.rejects
        ]
        print_table("reject", "object", "record", "line", "status", "reason", rows=lost, title="Could not be loaded")


def _sent(patch: Patch) -> str:
    kind = "whole record: " if patch.whole else "tombstone: " if patch.deleted else ""
    return kind + (", ".join(f"{name}={value!r}" for name, value in patch.sent.items()) or "nothing")


def _origin(state: State | Patch, field: str | None = None) -> str:
    columns = state.columns.get(field, []) if field else []
    column = f" column {' or '.join(columns)}" if columns not in ([], [field]) else ""
    if state.ordinal == 0:  # a snapshot, not a record
        return state.key or str(state.object_id)
    origin = f"{state.key or state.object_id} record {state.ordinal}{column}"
    if state.mapping_version is None:
        return origin
    since = f", used since {state.mapping_since:%Y-%m-%d}" if state.mapping_since else ""
    return f"{origin} (mapping {state.mapping_version}{since})"


def _why(state: State) -> str:
    return f"older, as of {moment(state.valid_from)}"


def replay_objects(
    object_ids: Annotated[
        list[int] | None, typer.Argument(help="IDs of objects, as `pipeline status` shows them.", min=0, max=LARGEST_ID)
    ] = None,
    prefix: PrefixOption = None,
    source: SourceOption = None,
    day: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Only objects that arrived on this day (UTC).")
    ] = None,
) -> None:
    """Load objects again, for example after you corrected a mapping. Rows that are up to date do not change."""
    _check(source, prefix)
    if not object_ids and prefix is None and source is None and day is None:
        raise Permanent("Name the objects: give their IDs, --prefix, --source or --day.")
    with _loader() as connection:
        waiting = requeue(connection, Objects(object_ids or None, prefix, source, day.date() if day else None))
    print_line(
        f"{len(waiting)} objects wait to be loaded. The landing sensor starts the load."
        if waiting
        else "0 objects wait to be loaded: the ledger has no such object. `pipeline status` shows the objects."
    )


def discover_objects() -> None:
    """Compare the landing bucket with the ledger, and record objects that no event announced.

    The sensors do this every ten minutes. Use the command if you do not want to wait.
    """
    with Services() as services, services.loader.connect(autocommit=True) as connection:
        found = list_all(connection, services.s3, services.settings.landing_bucket)
    ignored = f" {found.ignored} were ignored: they are empty, folders, or no data." if found.ignored else ""
    print_line(f"{found.new} objects are new. The landing sensor starts their load.{ignored}")
