"""The database of an outbox: tables, drivers, faults, migrations, notifications, and DBOS."""
