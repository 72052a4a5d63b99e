"""The version of this package, for its own requests and commands.

Not of ``importlib.metadata``, which loads zipfile, csv and email for one line of a file.
"""

__version__ = "0.1.0"
