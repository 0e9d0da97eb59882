"""Two datasets that only tests know, and their tables: whatever a declaration can say, one of them says."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar

import psycopg
import pytest

from pipeline_project.datasets import registry
from pipeline_project.schema.dataset import Column, Dataset, Latest, Rest, Versioned
from pipeline_project.schema.fields import (
    Amount,
    Count,
    Day,
    Id,
    Label,
    Share,
    Structure,
    Text,
    Time,
    aliased,
    field,
    own_id,
    reference,
)
from pipeline_project.schema.record import Record
from pipeline_project.schema.rules import not_before, required_unless_deleted
from pipeline_project.sources.source import Source


class Receipt(Record):
    """A receipt. `paid_share` and the fields below stand after the rest, as fields that were added later do."""

    source_id: Id = own_id("The receipt's ID in its source", "receipt_id")
    customer_id: Id | None = reference(
        "Who has to pay it", "customer_id", to="entities", column="customer_canonical_id"
    )
    issued: Day | None = field("Day of issue", "issued")
    due: Day | None = field("Last day to pay", "due")
    amount: Amount | None = field("What has to be paid", "amount")
    currency: Label = field("ISO 4217 code", default="EUR", not_null=True)
    lines: Structure | None = field("Lines of the receipt", "lines")
    attributes: ClassVar = Rest("Everything else that was sent")
    paid_share: Share | None = field("Which part was paid", "paid_share")
    sent_at: Time | None = field("When it was sent", "sent_at")


class Product(Record):
    """A product, with its history."""

    sku: Id = own_id("Stock keeping unit", "sku")
    title: Text | None = field("What it is called", "title")
    category: Label | None = field("What it is", "category", not_null=True)
    price: Amount | None = field("Price without taxes", "price")
    stock: Count | None = field("How many are there", "stock")
    state: Label | None = field("`withdrawn` marks a tombstone", "state")
    supplier_id: Id | None = reference("Who delivers it", "supplier_id", to="entities", column="supplier_canonical_id")
    listed_at: Time | None = field("Since when it is sold", "listed_at")
    attributes: ClassVar = Rest("Everything else that was sent")
    dimensions: Structure | None = field("Its dimensions", "dimensions")


RECEIPTS = Dataset(
    name="receipts",
    description="Receipts.",
    record=Receipt,
    kind=Latest(),
    table="receipts",
    key=("canonical_id",),
    rules=(
        required_unless_deleted("amount", "is required: a receipt has an amount"),
        not_before("due", "issued", "lies before it was issued"),
    ),
)
PRODUCTS = Dataset(
    name="products",
    description="Products.",
    record=Product,
    kind=Versioned(id="product_id"),
    table="products",
    key=("canonical_id",),
    rules=(required_unless_deleted("price", "is required: a product has a price"),),
    deleted_if=("state", "withdrawn"),
)


class KioskProduct(Product):
    """What the kiosk calls the fields of a product."""

    sku: Id = aliased("article", "sku", required=True)
    price: Amount | None = aliased("prices.net", "price")
    colour: Label | None = aliased("colour", "color")


def kiosk() -> Source:
    """A source of both. A source can only name datasets that are registered."""
    return Source(
        name="kiosk",
        description="A kiosk that sends products and receipts",
        records=(KioskProduct,),
        fallbacks={"entity_type": "customer", "category": "goods"},
        totals={"net": "price"},
    )


@contextmanager
def registered(*datasets: Dataset) -> Iterator[None]:
    """Let the platform know datasets that no package brings."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "BUILT_IN", (*registry.BUILT_IN, *datasets))
        registry.datasets.cache_clear()
        yield
    registry.datasets.cache_clear()


_POSITION = """
    source_updated_at timestamptz NOT NULL, object_modified_at timestamptz NOT NULL, object_id bigint NOT NULL,
    ordinal integer NOT NULL, content_hash uuid NOT NULL"""
_DATED = "created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now()"
_HISTORY = "mapping_version integer NOT NULL, record_digest uuid NOT NULL, version integer NOT NULL, quality_score real NOT NULL"


def create_tables(connection: "psycopg.Connection[tuple[object, ...]]", dataset: Dataset) -> None:
    """Create the tables that a declaration asks for, and let the loader write to them."""
    columns, table = _defined(dataset.columns), f"canonical.{dataset.table}"
    checks = "".join(f", CHECK ({rule.check})" for rule in dataset.rules)
    if isinstance(dataset.kind, Latest):
        key = ", ".join(dataset.key)
        statements = [
            f"CREATE TABLE {table} ({columns}, source text NOT NULL, {_POSITION}, {_DATED}, PRIMARY KEY ({key}){checks})"
        ]
        tables = [table]
    else:
        kind = dataset.kind
        statements = [
            f"""CREATE TABLE {table} ({kind.id} bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, {columns},
                source text NOT NULL, {_POSITION}, {_DATED}, {_HISTORY}, UNIQUE (canonical_id){checks})""",
            f"""CREATE TABLE {kind.versions} ({kind.id} bigint NOT NULL, {_defined(dataset.content)}, {_POSITION},
                valid_to timestamptz NOT NULL, recorded_at timestamptz NOT NULL DEFAULT now(), {_HISTORY},
                PRIMARY KEY ({kind.id}, version))""",
            f"""CREATE TABLE {kind.blocks} (
                block bigint NOT NULL, object_id bigint NOT NULL, object_modified_at timestamptz NOT NULL,
                source text NOT NULL, mapping_version integer NOT NULL, latest_updated_at timestamptz NOT NULL,
                {kind.id}s bigint[] NOT NULL, source_updated_ats timestamptz[] NOT NULL, ordinals integer[] NOT NULL)""",
            f"CREATE INDEX ON {kind.blocks} (block, object_id)",
            f"""CREATE VIEW {kind.confirmations} AS
                SELECT DISTINCT ON (b.block, c.{kind.id}, b.object_id)
                    b.block, c.{kind.id}, b.object_id, c.source_updated_at, b.object_modified_at, c.ordinal,
                    b.mapping_version
                FROM {kind.blocks} b CROSS JOIN LATERAL unnest(b.{kind.id}s, b.source_updated_ats, b.ordinals)
                    AS c ({kind.id}, source_updated_at, ordinal)
                ORDER BY b.block, c.{kind.id}, b.object_id, b.mapping_version DESC, c.source_updated_at DESC,
                    c.ordinal DESC""",
        ]
        tables = [table, kind.versions, kind.blocks, kind.confirmations]
    connection.execute("SET ROLE pipeline_owner")
    for statement in statements:
        connection.execute(statement.encode())
    for each in tables:
        rights = (
            "SELECT"
            if isinstance(dataset.kind, Versioned) and each == dataset.kind.confirmations
            else "SELECT, INSERT, UPDATE, DELETE"
        )
        connection.execute(f"GRANT {rights} ON {each} TO pipeline_loader".encode())
    connection.execute("RESET ROLE")


def _defined(columns: Sequence[Column]) -> str:
    return ", ".join(f"{each.name} {each.type}{' NOT NULL' if each.not_null else ''}" for each in columns)
