"""The ERP: business partners, with figures in nested objects."""

from pipeline_project.datasets.entities import Entity
from pipeline_project.schema.fields import Amount, Count, Id, Label, Text, aliased
from pipeline_project.sources.source import Source


class ErpPartner(Entity):
    """What the ERP calls the fields of a business partner."""

    source_id: Id = aliased("businessId", "id", required=True)
    entity_type: Label | None = aliased("businessType", "type")
    name: Text | None = aliased("businessName", "name")
    industry: Label | None = aliased("sector", "industry")
    revenue: Amount | None = aliased("financials.annualRevenue", "annualRevenue", "revenue")
    employees: Count | None = aliased("hrData.employeeCount", "employeeCount", "employees")


SOURCE = Source(
    name="erp",
    description="Business partners of the ERP",
    records=(ErpPartner,),
    fallbacks={"entity_type": "supplier"},
    totals={"totalRevenue": "revenue"},
)
