"""The ERP: business partners, with figures in nested objects."""

from pipeline_project.schema.fields import Amount, Count, EntityRecord, Id, Label, Text, spelled
from pipeline_project.sources.source import Source


class ErpPartner(EntityRecord):
    """What the ERP calls the fields of a business partner."""

    source_id: Id = spelled("businessId", "id", required=True)
    entity_type: Label | None = spelled("businessType", "type")
    name: Text | None = spelled("businessName", "name")
    industry: Label | None = spelled("sector", "industry")
    revenue: Amount | None = spelled("financials.annualRevenue", "annualRevenue", "revenue")
    employees: Count | None = spelled("hrData.employeeCount", "employeeCount", "employees")


SOURCE = Source(
    name="erp",
    description="Business partners of the ERP",
    entity=ErpPartner,
    entity_type="supplier",
    mapping_version=1,
    totals={"totalRevenue": "revenue"},
)
