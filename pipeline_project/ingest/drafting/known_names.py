"""Names that systems give the fields of an entity. A draft finds the columns of a new source by them."""

from collections.abc import Iterable, Mapping

from pipeline_project.schema.names import folded

OWN_ID = "source_id"

FIELDS: Mapping[str, tuple[str, ...]] = {
    OWN_ID: (
        *("customer id", "customer number", "customer no", "kundennummer", "kundennr", "kunden id", "KUNNR", "debitor"),
        *("supplier id", "supplier number", "vendor id", "vendor number", "lieferantennummer", "LIFNR", "kreditor"),
        *("account id", "account number", "accountno", "company id", "client id", "client number", "business id"),
        *("record id", "hs_object_id", "object id", "partner id", "partner number", "PARTNER", "external id"),
        *("entity id", "id client", "numero client", "organisation id", "organization id", "uuid", "guid", "id"),
    ),
    "name": (
        *("company name", "business name", "account name", "customer name", "supplier name", "vendor name"),
        *("organisation name", "organization name", "NAME1", "firmenname", "firma", "kundenname", "raison sociale"),
        *("nom", "company", "name"),
    ),
    "status": ("status", "lifecycle stage", "statecode"),
    "industry": ("industry", "industry code", "sector", "branche", "BRSCH", "secteur"),
    "region": ("region", "sales region", "REGIO"),
    "country": ("country", "country region", "billing country", "country code", "land", "LAND1", "pays"),
    "customer_tier": ("customer tier", "tier", "kundengruppe"),
    "revenue": (
        *("annual revenue", "revenue", "umsatz", "jahresumsatz", "UMSAT", "umsatz eur", "chiffre d'affaires"),
        "turnover",
    ),
    "employees": (
        *("employee count", "employees", "number of employees", "numberofemployees", "mitarbeiter", "mitarbeiterzahl"),
        *("anzahl mitarbeiter", "headcount"),
    ),
    "lifetime_value": ("lifetime value", "customer lifetime value"),
    "total_spent": ("total spent",),
    "total_orders": ("total orders", "number of orders"),
    "updated_at": (
        *("SystemModstamp", "LastModifiedDate", "hs_lastmodifieddate", "modifiedon", "last modified date"),
        *("last modified", "updated at", "modified at", "changed at", "change date", "geändert am", "AEDAT", "updated"),
    ),
    "deleted": ("_deleted", "is deleted", "deleted"),
}
"""The fields of an entity, each with its usual names. The more certain name is first."""

FLAGS = (
    "LOEVM",
    "Löschkz",
    "Loeschkz",
    "Löschkennzeichen",
    "archived",
    "is archived",
    "inactive",
    "is active",
    "active",
)
"""Names of columns that can mark a deleted record. A person says whether they do."""

TYPES: Mapping[str, tuple[str, ...]] = {
    "supplier": ("supplier", "vendor", "lieferant", "lifnr", "kreditor"),
    "account": ("account",),
    "customer": ("",),
}
"""Types of entities, each with parts of the ID's name that show it."""


def by_name(names: Iterable[str]) -> dict[str, str]:
    """Return field -> the name that is most certainly meant for it."""
    folds = {folded(_plain(name)): name for name in reversed(list(names))}
    found: dict[str, str] = {}
    for field, usual in FIELDS.items():
        name = next((folds[fold] for fold in map(_fold, usual) if fold in folds), None)
        if name is not None and name not in found.values():
            found[field] = name
    return found


def flags(names: Iterable[str]) -> list[str]:
    """Return the names that may be those of a deletion flag."""
    known = set(map(_fold, FLAGS))
    return [name for name in names if _fold(name) in known]


def entity_type(id_name: str) -> str:
    """Return the type of entity that the name of its ID shows."""
    return next(kind for kind, parts in TYPES.items() if any(part in _fold(id_name) for part in parts))


def _fold(name: str) -> str:
    return folded(_plain(name))


def _plain(name: str) -> str:
    """Return the last part of a path, without marks that names of fields seldom have."""
    return name.rpartition(".")[2].replace("/", " ").replace("'", "").strip()
