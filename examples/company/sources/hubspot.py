"""HubSpot: companies, as the export of a view writes them to a CSV file."""

from pipeline_project.datasets.entities import Entity
from pipeline_project.schema.fields import Amount, Id, Label, Text, Time, aliased
from pipeline_project.sources.dialect import Dialect
from pipeline_project.sources.source import Source


class HubSpotCompany(Entity):
    """A company of HubSpot. The number of employees is a range there, so it stays an attribute."""

    source_id: Id = aliased("Record ID", required=True)
    name: Text | None = aliased("Company name")
    revenue: Amount | None = aliased("Annual Revenue")
    country: Label | None = aliased("Country/Region")
    updated_at: Time | None = aliased("Last Modified Date")


SOURCE = Source(
    name="hubspot",
    description="Companies of HubSpot",
    records=(HubSpotCompany,),
    fallbacks={"entity_type": "customer"},
    dialect=Dialect(
        group=",",
        times=("%Y-%m-%d %H:%M",),
        zone="America/New_York",
        null_texts=("(No value)",),
    ),
)
