"""The modules that forks of ``tests.forks`` find imported.

A fork shares its memory with the process that it was forked from, as long as nothing writes to
it: ``gc.freeze`` keeps the garbage collector from doing so.
"""

import gc

import symbl_aio.cli.commands
import symbl_aio.cli.demo
import symbl_aio.cli.follow_jobs
import symbl_aio.cli.outbox_actions
import symbl_aio.cli.serve
import symbl_aio.cli.show_json
import symbl_aio.cli.show_terminal
import symbl_aio.client
import symbl_aio.durable.worker
import symbl_aio.server
import tests.contrib.journal_process
import tests.contrib.site
import tests.durable.server
import tests.durable.work  # noqa: F401

symbl_aio.server.import_all()
gc.collect()
gc.freeze()
