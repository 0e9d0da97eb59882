"""The datasets that the platform loads: one module for each declares its record model and its table.

`registry.py` knows them all. A dataset's SQL, staging tables and mapper are derived from its declaration.
"""

__all__ = ["entities", "metrics", "registry", "relationships"]
