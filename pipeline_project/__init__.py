"""Company records from several source systems, in one canonical PostgreSQL schema, exactly once."""
