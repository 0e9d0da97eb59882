"""The source systems: what each calls the fields of the canonical records, and which folder of the landing bucket is its own.

A module here with a `SOURCE` is a registered source.
"""

__all__ = ["dialect", "registry", "snapshot", "source"]
