"""Integrations with other libraries. Each module needs the extra that it names."""
