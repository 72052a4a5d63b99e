"""Tests mirror the source: each larger module has a test at its own path, or is listed here.

``symbl_aio/_core/polls.py`` is tested by ``tests/core/test_polls.py``. A module without one is
listed beside the test of a journey, or of its neighbours, that covers it. A folder's entry,
with a slash at its end, is for all modules in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
SMALL = 60
"""Lines up to which a module needs no test of its own."""

COVERED_BY = {
    "__init__.py": "tests/test_exports.py",
    "_detached_handles.py": "tests/test_copies.py",
    "_error_classes.py": "tests/test_errors.py",
    "_fields.py": "tests/test_config.py",
    "_io/engine.py": "tests/test_client.py",
    "_io/jobs.py": "tests/test_job.py",
    "_io/live_backend.py": "tests/live/test_telephony.py",
    "_io/live_link.py": "tests/live/test_lost_connections.py",
    "_io/websocket.py": "tests/live/test_lost_connections.py",
    "_io/host_resolver.py": "tests/test_names_of_files.py",
    "_io/single_use_body.py": "tests/io/test_transport.py",
    "_io/poller.py": "tests/test_job.py",
    "_io/queue.py": "tests/test_ordering.py",
    "_io/reconcile.py": "tests/test_reconcile.py",
    "_io/proxy_and_tls.py": "tests/io/test_proxies.py",
    "_io/tasks.py": "tests/test_shutdown.py",
    "_io/submissions.py": "tests/test_client.py",
    "_media/open_file.py": "tests/media/test_upload_chunks.py",
    "_source_names.py": "tests/test_source.py",
    "_protocol/answers.py": "tests/protocol/test_bad_answers.py",
    "_protocol/telephony.py": "tests/live/test_telephony.py",
    "_proxies.py": "tests/io/test_proxies.py",
    "cli/__init__.py": "tests/cli/test_safe_streams.py",
    "cli/show_captions.py": "tests/cli/test_listen.py",
    "cli/account_commands.py": "tests/cli/test_account_actions.py",
    "cli/show_rows.py": "tests/cli/test_account_actions.py",
    "cli/demo.py": "tests/cli/test_commands.py",
    "cli/follow_jobs.py": "tests/cli/test_commands.py",
    "cli/upload/command.py": "tests/cli/upload/test_action.py",
    "cli/upload/fingerprint.py": "tests/cli/upload/test_action.py",
    "cli/upload/ledger_file.py": "tests/cli/upload/test_ledger.py",
    "cli/upload/outcomes.py": "tests/cli/upload/test_action.py",
    "cli/upload/dry_run.py": "tests/cli/upload/test_action.py",
    "cli/upload/run.py": "tests/cli/upload/test_action.py",
    "cli/upload/show_json.py": "tests/cli/upload/test_action.py",
    "cli/worker_probes.py": "tests/cli/test_outbox_actions.py",
    "cli/runner.py": "tests/cli/test_commands.py",
    "cli/show_terminal.py": "tests/cli/test_safe_streams.py",
    "cli/serve_command.py": "tests/cli/test_serve.py",
    "cli/show_json.py": "tests/cli/test_commands.py",
    "durable/_database/faults.py": "tests/durable/test_database.py",
    "durable/_database/notifications.py": "tests/durable/test_watcher.py",
    "durable/_database/tables.py": "tests/durable/test_database.py",
    "durable/_store/attempt_records.py": "tests/durable/test_attempt_steps.py",
    "durable/_store/heads.py": "tests/durable/test_dispatch.py",
    "durable/_store/queue_control.py": "tests/durable/test_heartbeat.py",
    "durable/_store/slots.py": "tests/durable/test_dispatch.py",
    "durable/_store/webhook_records.py": "tests/durable/test_webhooks.py",
    "durable/items.py": "tests/durable/test_reads.py",
    "durable/outbox.py": "tests/durable/test_submit.py",
    "durable/outbox_decisions.py": "tests/durable/test_decisions.py",
    "durable/reconcile.py": "tests/durable/test_attempt_steps.py",
    "durable/attempt_workflow.py": "tests/durable/test_attempt_steps.py",
    "events.py": "tests/test_observers.py",
    "live/events.py": "tests/protocol/test_decode_live.py",
    "live/handle.py": "tests/live/test_stream.py",
    "live/recording_samples.py": "tests/live/test_file_stream.py",
    "live/settings.py": "tests/protocol/test_live.py",
    "models/": "tests/test_models.py",
    "report/content.py": "tests/report/test_article.py",
    "sync/management.py": "tests/sync/test_handles.py",
    "sync/outcomes.py": "tests/sync/test_client.py",
    "server/__init__.py": "tests/server/test_late_imports.py",
    "server/connection.py": "tests/server/test_connections.py",
    "server/app.py": "tests/server/test_local_server.py",
    "server/server_controls.py": "tests/server/test_local_server.py",
    "server/asr_worker.py": "tests/server/test_recognizer.py",
    "server/report_content.py": "tests/server/test_html_pages.py",
    "server/conversations/conversation.py": "tests/server/conversations/test_handlers.py",
    "server/conversations/registry.py": "tests/server/storage/test_sqlite_store.py",
    "server/field_rules.py": "tests/server/management/test_handlers.py",
    "server/language/analysis_values.py": "tests/server/language/test_pipeline.py",
    "server/language/word_lists.py": "tests/server/language/test_topics.py",
    "server/live/live_audio_decoder.py": "tests/asr/test_live_real.py",
    "server/live/server_frames.py": "tests/server/live/test_handlers.py",
    "server/live/session.py": "tests/server/live/test_speaker_socket.py",
    "server/management/records.py": "tests/server/management/test_handlers.py",
    "server/management/validation.py": "tests/server/management/test_handlers.py",
    "server/request_log.py": "tests/server/test_local_server.py",
    "server/metrics.py": "tests/server/test_health_and_metrics.py",
    "server/text_messages.py": "tests/server/test_processing.py",
    "server/token_handlers.py": "tests/server/test_tokens.py",
    "server/server_limits.py": "tests/server/test_request_body.py",
    "server/storage/changes.py": "tests/server/storage/test_sqlite_store.py",
    "server/storage/memory_store.py": "tests/server/test_local_server.py",
    "server/storage/store.py": "tests/server/storage/test_sqlite_store.py",
}


def mirror(module: str) -> str:
    """Return the path of a module's own test, without the underscores of private names.

    A private room inside a part has its tests with the part's: ``durable/_store/reads.py`` is
    tested by ``tests/durable/test_reads.py``.
    """
    *folders, name = Path(module).with_suffix("").parts
    folders = [room for depth, room in enumerate(folders) if not depth or room[0] != "_"]
    return "/".join(
        ["tests", *(f.removeprefix("_") for f in folders), f"test_{name.removeprefix('_')}.py"]
    )


def is_listed(module: str, listed: Mapping[str, str]) -> bool:
    return module in listed or f"{module.partition('/')[0]}/" in listed


def broken(lines: Mapping[str, int], tests: set[str], listed: Mapping[str, str]) -> list[str]:
    """Return how to put the list right. ``lines``: of each module, by its path."""
    found = []
    for module, count in sorted(lines.items()):
        if count > SMALL and mirror(module) not in tests and not is_listed(module, listed):
            found.append(f"{module}: has no {mirror(module)}; write it, or list what covers it")
    for module, test in listed.items():
        if module.endswith("/"):
            if not any(name.startswith(module) for name in lines):
                found.append(f"{module}: does not exist; take it from the list")
        elif module not in lines:
            found.append(f"{module}: does not exist; take it from the list")
        elif mirror(module) in tests:
            found.append(f"{module}: has {mirror(module)}; take it from the list")
        elif lines[module] <= SMALL:
            found.append(f"{module}: has {lines[module]} lines; take it from the list")
        if test not in tests:
            found.append(f"{module}: {test}, which is to cover it, does not exist")
    return found


def test_every_larger_module_has_its_test_or_is_listed():
    source = ROOT / "symbl_aio"
    lines = {
        path.relative_to(source).as_posix(): len(path.read_text("utf-8").splitlines())
        for path in source.rglob("*.py")
    }
    tests = {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("test_*.py")}

    assert len(lines) > 100
    assert "\n".join(broken(lines, tests, COVERED_BY)) == ""


def test_a_module_is_mirrored_without_its_underscores():
    assert mirror("_core/conversation_lanes.py") == "tests/core/test_conversation_lanes.py"
    assert mirror("_threads.py") == "tests/test_threads.py"
    assert mirror("durable/_store/reads.py") == "tests/durable/test_reads.py"
    assert mirror("contrib/fastapi.py") == "tests/contrib/test_fastapi.py"


def test_what_is_missing_and_what_is_listed_in_vain_is_found():
    lines = {"new.py": 61, "short.py": 60, "_core/conversation_lanes.py": 300, "big.py": 90}
    tests = {"tests/core/test_conversation_lanes.py", "tests/test_journey.py"}

    assert broken(lines, tests, {"new.py": "tests/test_journey.py"}) == [
        "big.py: has no tests/test_big.py; write it, or list what covers it"
    ]
    vain = ("new.py", "big.py", "short.py", "_core/conversation_lanes.py", "gone.py", "gone/")
    reasons = [line.partition(": ")[2] for line in broken(lines, tests, dict.fromkeys(vain, "no"))]
    assert reasons.count("no, which is to cover it, does not exist") == len(vain)
    assert reasons.count("does not exist; take it from the list") == 2
    assert "has 60 lines; take it from the list" in reasons
    assert "has tests/core/test_conversation_lanes.py; take it from the list" in reasons
