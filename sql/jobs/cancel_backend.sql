-- End the statement that a backend of our own role is running. A role may do that to itself without further rights.
SELECT pg_cancel_backend(%(pid)s)
