"""The declaration of the canonical data: types of fields, records, rules, datasets, and the SQL that follows from them.

A dataset's own fields do not belong here: they are in `pipeline_project.datasets`. Nothing here connects to a database.
"""

__all__ = ["dataset", "fields", "fingerprint", "names", "numbers", "record", "rules", "sql_files", "templates"]
