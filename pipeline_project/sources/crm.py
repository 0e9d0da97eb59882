"""The CRM: customers, as flat records."""

from pipeline_project.schema.fields import Amount, Count, Day, EntityRecord, Id, Label, Text, spelled
from pipeline_project.sources.source import Source


class CrmCustomer(EntityRecord):
    """What the CRM calls the fields of a customer."""

    source_id: Id = spelled("customer_id", "id", required=True)
    name: Text | None = spelled("company_name", "business_name", "name")
    industry: Label | None = spelled("industry", "industry_code")
    revenue: Amount | None = spelled("annual_revenue", "revenue")
    employees: Count | None = spelled("employee_count", "employees")
    first_order_date: Day | None = spelled("first_order_date", "first_purchase_date")
    last_order_date: Day | None = spelled("last_order_date", "last_purchase_date")


SOURCE = Source(
    name="crm",
    description="Customers of the CRM",
    entity=CrmCustomer,
    entity_type="customer",
    mapping_version=1,
)
