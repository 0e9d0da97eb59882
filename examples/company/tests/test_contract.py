"""What the platform expects of every plug-in."""

from pipeline_project.testing import ContractTests


class TestContract(ContractTests):
    """The contract, for everything that is registered."""
