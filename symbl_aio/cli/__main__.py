"""``python -m symbl_aio.cli`` is ``symbl-aio``."""

from symbl_aio.cli import main

main()
