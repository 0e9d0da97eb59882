"""Jobs: the records of submitted queries in DynamoDB, the query cache, and how a job is launched, run and reconciled.

The Lambda function imports single modules of this package, so that its start pays for no other.
"""

__all__ = ["cache", "launch", "model", "outbox", "reconcile", "run", "store"]
