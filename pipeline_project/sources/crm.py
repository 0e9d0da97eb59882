"""The CRM: customers, as flat records."""

from pipeline_project.datasets.entities import Entity
from pipeline_project.schema.fields import Amount, Count, Day, Id, Label, Text, aliased
from pipeline_project.sources.source import Source


class CrmCustomer(Entity):
    """What the CRM calls the fields of a customer."""

    source_id: Id = aliased("customer_id", "id", required=True)
    name: Text | None = aliased("company_name", "business_name", "name")
    industry: Label | None = aliased("industry", "industry_code")
    revenue: Amount | None = aliased("annual_revenue", "revenue")
    employees: Count | None = aliased("employee_count", "employees")
    first_order_date: Day | None = aliased("first_order_date", "first_purchase_date")
    last_order_date: Day | None = aliased("last_order_date", "last_purchase_date")


SOURCE = Source(
    name="crm",
    description="Customers of the CRM",
    records=(CrmCustomer,),
    fallbacks={"entity_type": "customer"},
)
