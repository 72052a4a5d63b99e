"""The bytes of media: containers, their inspection, and reading them piece by piece."""
