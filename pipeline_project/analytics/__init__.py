"""Analytics: the catalogue of operations, their parameters, the guard of custom SQL, and execution on the database.

The Lambda function imports single modules of this package, so that its start pays for no other.
"""

__all__ = ["catalogue", "execution", "failures", "lineage", "parameters", "plots", "sql_parser"]
