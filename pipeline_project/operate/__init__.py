"""What containers and operators run: services, and the comparison of bucket, ledger and tables."""

__all__ = ["serve", "verify"]
