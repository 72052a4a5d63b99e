BEGIN TRANSACTION;
CREATE TABLE application_versions (
    version_id TEXT NOT NULL PRIMARY KEY,
    version_name TEXT NOT NULL UNIQUE,
    version_timestamp INTEGER NOT NULL DEFAULT (strftime('%s','now') * 1000),
    created_at INTEGER NOT NULL DEFAULT (strftime('%s','now') * 1000)
, "application_name" TEXT DEFAULT NULL);
INSERT INTO "application_versions" VALUES('a4de379f-9316-47eb-8b87-3b0569eec81f','symbl_aio.1',1795168413000,1795168413000,'symbl-aio');
CREATE TABLE dbos_migrations (version INTEGER NOT NULL PRIMARY KEY);
INSERT INTO "dbos_migrations" VALUES(125);
CREATE TABLE notifications (
    message_uuid TEXT NOT NULL DEFAULT (hex(randomblob(16))) PRIMARY KEY,
    destination_uuid TEXT NOT NULL,
    topic TEXT,
    message TEXT NOT NULL,
    created_at_epoch_ms INTEGER NOT NULL DEFAULT (strftime('%s','now') * 1000), "serialization" TEXT DEFAULT NULL, "consumed" BOOLEAN NOT NULL DEFAULT FALSE, consumed_by_function_id INTEGER,
    FOREIGN KEY (destination_uuid) REFERENCES workflow_status(workflow_uuid) 
        ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE TABLE "operation_outputs" (
    workflow_uuid TEXT NOT NULL,
    function_id INTEGER NOT NULL,
    function_name TEXT NOT NULL DEFAULT '',
    output TEXT,
    error TEXT,
    child_workflow_id TEXT,
    started_at_epoch_ms INTEGER,
    completed_at_epoch_ms INTEGER,
    serialization TEXT,
    application_name TEXT DEFAULT NULL,
    retention_timestamp INTEGER NOT NULL DEFAULT (strftime('%s','now') * 1000),
    PRIMARY KEY (workflow_uuid, function_id)
);
INSERT INTO "operation_outputs" VALUES('ended#1',1,'symbl.attempt','{"state":"accepted","hears":false}',NULL,NULL,1795168414241,1795168414253,'portable_json','symbl-aio',1795168414000);
INSERT INTO "operation_outputs" VALUES('ended#1',2,'symbl.follow','{"state":"completed","hears":false}',NULL,NULL,1795168414255,1795168414263,'portable_json','symbl-aio',1795168414000);
INSERT INTO "operation_outputs" VALUES('ended#1',3,'DBOS.setEvent',NULL,NULL,NULL,1795168414264,1795168414265,NULL,'symbl-aio',1795168414000);
INSERT INTO "operation_outputs" VALUES('running#1',1,'symbl.attempt','{"state":"accepted","hears":false}',NULL,NULL,1795168414455,1795168414461,'portable_json','symbl-aio',1795168414000);
INSERT INTO "operation_outputs" VALUES('doubtful#1',1,'symbl.attempt','{"state":"unknown","hears":false}',NULL,NULL,1795168414771,1795168414776,'portable_json','symbl-aio',1795168414000);
INSERT INTO "operation_outputs" VALUES('doubtful#1',3,'DBOS.sleep','1795168429.7795937',NULL,NULL,1795168414779,1795168414779,'portable_json','symbl-aio',1795168414000);
CREATE TABLE queues (
    queue_id TEXT PRIMARY KEY DEFAULT (hex(randomblob(16))),
    name TEXT NOT NULL UNIQUE,
    concurrency INTEGER,
    worker_concurrency INTEGER,
    rate_limit_max INTEGER,
    rate_limit_period_sec REAL,
    priority_enabled BOOLEAN NOT NULL DEFAULT FALSE,
    partition_queue BOOLEAN NOT NULL DEFAULT FALSE,
    polling_interval_sec REAL NOT NULL DEFAULT 1.0,
    created_at INTEGER NOT NULL DEFAULT (strftime('%s','now') * 1000),
    updated_at INTEGER NOT NULL DEFAULT (strftime('%s','now') * 1000)
, "application_name" TEXT DEFAULT NULL, "partition_concurrency" INTEGER DEFAULT NULL, "partition_worker_concurrency" INTEGER DEFAULT NULL, "partition_rate_limit_max" INTEGER DEFAULT NULL, "partition_rate_limit_period_sec" REAL DEFAULT NULL);
INSERT INTO "queues" VALUES('7BC8259854BF46E6C7FCACF8BEDF6E41','symbl',2,NULL,NULL,NULL,1,1,0.1,1795168413000,1795168413131,'symbl-aio',1,NULL,NULL,NULL);
CREATE TABLE streams (
    workflow_uuid TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    "offset" INTEGER NOT NULL, function_id INTEGER NOT NULL DEFAULT 0, "serialization" TEXT DEFAULT NULL,
    PRIMARY KEY (workflow_uuid, key, "offset"),
    FOREIGN KEY (workflow_uuid) REFERENCES workflow_status(workflow_uuid) 
        ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE TABLE symbl_conversation (
	name TEXT NOT NULL, 
	last INTEGER NOT NULL, 
	conversation_id TEXT, 
	halted_by TEXT, 
	PRIMARY KEY (name)
);
INSERT INTO "symbl_conversation" VALUES('ended',1,'3499360917567020',NULL);
INSERT INTO "symbl_conversation" VALUES('running',1,'7610141464619634',NULL);
INSERT INTO "symbl_conversation" VALUES('doubtful',2,NULL,NULL);
INSERT INTO "symbl_conversation" VALUES('waiting',2,NULL,NULL);
CREATE TABLE symbl_item (
	id INTEGER NOT NULL, 
	"key" TEXT NOT NULL, 
	conversation TEXT NOT NULL, 
	number INTEGER NOT NULL, 
	opens BOOLEAN NOT NULL, 
	content TEXT NOT NULL, 
	nonce TEXT NOT NULL, 
	attempt INTEGER NOT NULL, 
	deaths INTEGER DEFAULT '0' NOT NULL, 
	state TEXT NOT NULL, 
	sent_by TEXT, 
	sent_at DOUBLE, 
	job_id TEXT, 
	conversation_id TEXT, 
	error TEXT, 
	queued_at DOUBLE NOT NULL, 
	accepted_at DOUBLE, 
	ended_at DOUBLE, 
	PRIMARY KEY (id), 
	UNIQUE (conversation, number), 
	UNIQUE ("key"), 
	UNIQUE (nonce)
);
INSERT INTO "symbl_item" VALUES(1,'ended','ended',1,1,'{"media": {"kind": "text", "messages": [{"text": "ended"}]}, "options": null}','XmCa_7Omx_dljvOJ2UCQ0A',1,0,'completed','a-worker/1',1.79516841424899101253e+09,'ccc0cc58-1d4e-4193-95f2-6c4608fb79e9','3499360917567020',NULL,1.79516841314998269081e+09,1.79516841425200843812e+09,1.79516841426198625565e+09);
INSERT INTO "symbl_item" VALUES(2,'running','running',1,1,'{"media": {"kind": "text", "messages": [{"text": "running"}]}, "options": null}','2swN4jmT1PK3gdo0MguNyA',1,0,'accepted','a-worker/2',1.79516841445800209037e+09,'d511ccd4-ed0f-4c18-b8d4-bdbaa6c20eb9','7610141464619634',NULL,1.79516841441599869725e+09,1.79516841446001386645e+09,NULL);
INSERT INTO "symbl_item" VALUES(3,'doubtful','doubtful',1,1,'{"media": {"kind": "text", "messages": [{"text": "doubtful"}]}, "options": {"type": "TextOptions", "fields": {"name": "", "extra_body": {}, "extra_query": {}, "in_query": []}}}','LsTWm38vmXQv9FSmYFi0Lg',1,0,'queued','a-worker/3',1.79516841477499914173e+09,NULL,NULL,NULL,1.7951684146750197411e+09,NULL,NULL);
INSERT INTO "symbl_item" VALUES(4,'behind','doubtful',2,0,'{"media": {"kind": "text", "messages": [{"text": "behind"}]}, "options": null}','qan505yfRzBNTt1ptLwQkg',1,0,'queued',NULL,NULL,NULL,NULL,NULL,1.79516841478099369996e+09,NULL,NULL);
INSERT INTO "symbl_item" VALUES(5,'waiting','waiting',1,1,'{"media": {"kind": "text", "messages": [{"text": "waiting"}]}, "options": null}','4HcyfunE3amBq0txZUGw2Q',1,0,'queued',NULL,NULL,NULL,NULL,NULL,1.79516841478300547604e+09,NULL,NULL);
INSERT INTO "symbl_item" VALUES(6,'waiting-more','waiting',2,0,'{"media": {"kind": "text", "messages": [{"text": "waiting-more"}]}, "options": null}','6dSH5rwYQr2vGnyjCezK8Q',1,0,'queued',NULL,NULL,NULL,NULL,NULL,1.79516841478501701359e+09,NULL,NULL);
CREATE TABLE symbl_worker (
	id TEXT NOT NULL, 
	beat DOUBLE NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "symbl_worker" VALUES('a-worker',1.79516841314499378209e+09);
CREATE TABLE workflow_events (
    workflow_uuid TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL, "serialization" TEXT DEFAULT NULL,
    PRIMARY KEY (workflow_uuid, key),
    FOREIGN KEY (workflow_uuid) REFERENCES workflow_status(workflow_uuid) 
        ON UPDATE CASCADE ON DELETE CASCADE
);
INSERT INTO "workflow_events" VALUES('ended#1','ended','"completed"','portable_json');
CREATE TABLE workflow_events_history (
    workflow_uuid TEXT NOT NULL,
    function_id INTEGER NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL, "serialization" TEXT DEFAULT NULL,
    PRIMARY KEY (workflow_uuid, function_id, key),
    FOREIGN KEY (workflow_uuid) REFERENCES workflow_status(workflow_uuid)
        ON UPDATE CASCADE ON DELETE CASCADE
);
INSERT INTO "workflow_events_history" VALUES('ended#1',3,'ended','"completed"','portable_json');
CREATE TABLE workflow_input (
    workflow_uuid TEXT NOT NULL PRIMARY KEY,
    inputs TEXT,
    retention_timestamp INTEGER NOT NULL DEFAULT (strftime('%s','now') * 1000)
);
INSERT INTO "workflow_input" VALUES('ended#1','{"namedArgs":{},"positionalArgs":["ended"]}',1795168413000);
INSERT INTO "workflow_input" VALUES('running#1','{"namedArgs":{},"positionalArgs":["running"]}',1795168414000);
INSERT INTO "workflow_input" VALUES('doubtful#1','{"namedArgs":{},"positionalArgs":["doubtful"]}',1795168414000);
INSERT INTO "workflow_input" VALUES('behind#1','{"namedArgs":{},"positionalArgs":["behind"]}',1795168414000);
INSERT INTO "workflow_input" VALUES('waiting#1','{"namedArgs":{},"positionalArgs":["waiting"]}',1795168414000);
INSERT INTO "workflow_input" VALUES('waiting-more#1','{"namedArgs":{},"positionalArgs":["waiting-more"]}',1795168414000);
CREATE TABLE workflow_output (
    workflow_uuid TEXT NOT NULL PRIMARY KEY,
    output TEXT,
    error TEXT,
    retention_timestamp INTEGER NOT NULL DEFAULT (strftime('%s','now') * 1000)
);
INSERT INTO "workflow_output" VALUES('ended#1','"completed"',NULL,1795168414000);
CREATE TABLE workflow_schedules (
    schedule_id TEXT PRIMARY KEY,
    schedule_name TEXT NOT NULL UNIQUE,
    workflow_name TEXT NOT NULL,
    workflow_class_name TEXT,
    schedule TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'ACTIVE',
    context TEXT NOT NULL
, "last_fired_at" TEXT DEFAULT NULL, "automatic_backfill" BOOLEAN NOT NULL DEFAULT FALSE, "cron_timezone" TEXT DEFAULT NULL, "queue_name" TEXT DEFAULT NULL, "application_name" TEXT DEFAULT NULL);
CREATE TABLE workflow_status (
    workflow_uuid TEXT PRIMARY KEY,
    status TEXT,
    name TEXT,
    authenticated_user TEXT,
    assumed_role TEXT,
    authenticated_roles TEXT,
    request TEXT,
    output TEXT,
    error TEXT,
    executor_id TEXT,
    created_at INTEGER NOT NULL DEFAULT (strftime('%s','now') * 1000),
    updated_at INTEGER NOT NULL DEFAULT (strftime('%s','now') * 1000),
    application_version TEXT,
    application_id TEXT,
    class_name TEXT DEFAULT NULL,
    config_name TEXT DEFAULT NULL,
    recovery_attempts INTEGER DEFAULT 0,
    queue_name TEXT,
    workflow_timeout_ms INTEGER,
    workflow_deadline_epoch_ms INTEGER,
    inputs TEXT,
    started_at_epoch_ms INTEGER,
    deduplication_id TEXT,
    priority INTEGER NOT NULL DEFAULT 0
, queue_partition_key TEXT, forked_from TEXT, "owner_xid" TEXT DEFAULT NULL, "parent_workflow_id" TEXT DEFAULT NULL, "serialization" TEXT DEFAULT NULL, "delay_until_epoch_ms" BIGINT DEFAULT NULL, "was_forked_from" BOOLEAN NOT NULL DEFAULT FALSE, "rate_limited" BOOLEAN NOT NULL DEFAULT FALSE, "completed_at" BIGINT, "attributes" TEXT, "schedule_name" TEXT, "debounce_deadline_epoch_ms" BIGINT DEFAULT NULL, "is_debounced" BOOLEAN NOT NULL DEFAULT FALSE, "application_name" TEXT DEFAULT NULL, "creator_xid" TEXT DEFAULT NULL);
INSERT INTO "workflow_status" VALUES('ended#1','SUCCESS','symbl.item',NULL,NULL,NULL,NULL,NULL,NULL,'a-worker',1795168413000,1795168414000,'symbl_aio.1',NULL,NULL,NULL,1,'symbl',NULL,NULL,NULL,1795168414000,NULL,1,'ended',NULL,NULL,NULL,'portable_json',NULL,0,0,1795168414000,'null',NULL,NULL,0,'symbl-aio','21d3c82c-2338-4ba2-b4ef-d6c39eadcd35');
INSERT INTO "workflow_status" VALUES('running#1','PENDING','symbl.item',NULL,NULL,NULL,NULL,NULL,NULL,'a-worker',1795168414000,1795168414000,'symbl_aio.1',NULL,NULL,NULL,1,'symbl',NULL,NULL,NULL,1795168414000,NULL,1,'running',NULL,'5b05cdee-dc7f-4aff-827c-5fea89195045',NULL,'portable_json',NULL,0,0,NULL,'null',NULL,NULL,0,'symbl-aio','2eb55405-e21d-46b7-b39b-8505cad52919');
INSERT INTO "workflow_status" VALUES('doubtful#1','PENDING','symbl.item',NULL,NULL,NULL,NULL,NULL,NULL,'a-worker',1795168414000,1795168414000,'symbl_aio.1',NULL,NULL,NULL,1,'symbl',NULL,NULL,NULL,1795168414000,NULL,1,'doubtful',NULL,'3459ea75-092b-4f4e-9690-5f349ef4989e',NULL,'portable_json',NULL,0,0,NULL,'null',NULL,NULL,0,'symbl-aio','a146f501-40d5-479a-8e3e-550a49f43555');
INSERT INTO "workflow_status" VALUES('behind#1','ENQUEUED','symbl.item',NULL,NULL,NULL,NULL,NULL,NULL,NULL,1795168414000,1795168414000,'symbl_aio.1',NULL,NULL,NULL,0,'symbl',NULL,NULL,NULL,NULL,NULL,2,'doubtful',NULL,NULL,NULL,'portable_json',NULL,0,0,NULL,'null',NULL,NULL,0,'symbl-aio','3cdd3d03-67c8-407e-90ce-ccc680a9472e');
INSERT INTO "workflow_status" VALUES('waiting#1','ENQUEUED','symbl.item',NULL,NULL,NULL,NULL,NULL,NULL,NULL,1795168414000,1795168414000,'symbl_aio.1',NULL,NULL,NULL,0,'symbl',NULL,NULL,NULL,NULL,NULL,1,'waiting',NULL,NULL,NULL,'portable_json',NULL,0,0,NULL,'null',NULL,NULL,0,'symbl-aio','c3d23e26-6502-40b8-8acd-1afbcca48f2c');
INSERT INTO "workflow_status" VALUES('waiting-more#1','ENQUEUED','symbl.item',NULL,NULL,NULL,NULL,NULL,NULL,NULL,1795168414000,1795168414000,'symbl_aio.1',NULL,NULL,NULL,0,'symbl',NULL,NULL,NULL,NULL,NULL,2,'waiting',NULL,NULL,NULL,'portable_json',NULL,0,0,NULL,'null',NULL,NULL,0,'symbl-aio','80c88bfc-5df2-44ed-bc8e-6c661774e432');
CREATE INDEX workflow_status_created_at_index ON workflow_status (created_at);
CREATE INDEX idx_workflow_topic ON notifications (destination_uuid, topic);
CREATE INDEX "idx_workflow_status_delayed" ON "workflow_status" ("delay_until_epoch_ms") WHERE status = 'DELAYED';
CREATE INDEX "idx_workflow_status_forked_from" ON "workflow_status" ("forked_from") WHERE "forked_from" IS NOT NULL;
CREATE INDEX "idx_workflow_status_parent_workflow_id" ON "workflow_status" ("parent_workflow_id") WHERE "parent_workflow_id" IS NOT NULL;
CREATE UNIQUE INDEX "uq_workflow_status_dedup_id" ON "workflow_status" ("queue_name", "deduplication_id") WHERE "deduplication_id" IS NOT NULL;
CREATE INDEX "idx_workflow_status_pending" ON "workflow_status" ("created_at") WHERE "status" = 'PENDING';
CREATE INDEX "idx_workflow_status_failed" ON "workflow_status" ("status", "created_at") WHERE "status" IN ('ERROR', 'CANCELLED', 'MAX_RECOVERY_ATTEMPTS_EXCEEDED');
CREATE INDEX "idx_workflow_status_rate_limited" ON "workflow_status" ("queue_name", "started_at_epoch_ms") WHERE "rate_limited" = TRUE;
CREATE INDEX "idx_workflow_status_completed_at" ON "workflow_status" ("completed_at") WHERE "completed_at" IS NOT NULL;
CREATE INDEX "idx_workflow_status_started_at" ON "workflow_status" ("started_at_epoch_ms") WHERE "started_at_epoch_ms" IS NOT NULL;
CREATE INDEX "idx_workflow_status_schedule_name" ON "workflow_status" ("schedule_name") WHERE "schedule_name" IS NOT NULL;
CREATE UNIQUE INDEX "uq_application_versions_owner_version"
    ON application_versions ("application_name", "version_name")
    WHERE "application_name" IS NOT NULL;
CREATE UNIQUE INDEX "uq_application_versions_unclaimed_version"
    ON application_versions ("version_name")
    WHERE "application_name" IS NULL;
CREATE INDEX idx_workflow_input_retention
    ON workflow_input (retention_timestamp);
CREATE INDEX idx_workflow_output_retention
    ON workflow_output (retention_timestamp);
CREATE INDEX idx_operation_outputs_retention
    ON operation_outputs (retention_timestamp);
CREATE INDEX "idx_workflow_status_in_flight_v2" ON "workflow_status" ("queue_name", "status", "priority", "created_at", "application_name") WHERE "status" IN ('ENQUEUED', 'PENDING');
CREATE INDEX "idx_workflow_status_partition_dequeue_v3" ON "workflow_status" ("queue_name", "status", "queue_partition_key", "priority", "created_at", "workflow_uuid", "application_name") WHERE "status" IN ('ENQUEUED', 'PENDING') AND "queue_partition_key" IS NOT NULL;
CREATE INDEX "idx_operation_outputs_completed_at_function_name_v2" ON "operation_outputs" ("completed_at_epoch_ms", "function_name", "application_name");
CREATE INDEX "idx_workflow_status_deadline" ON "workflow_status" ("workflow_deadline_epoch_ms") WHERE "status" IN ('ENQUEUED', 'PENDING', 'DELAYED') AND "workflow_deadline_epoch_ms" IS NOT NULL;
CREATE INDEX "idx_application_versions_timestamp" ON "application_versions" ("version_timestamp" DESC);
CREATE INDEX "idx_application_versions_owner_timestamp" ON "application_versions" ("application_name", "version_timestamp" DESC);
CREATE INDEX ix_symbl_conversation_conversation_id ON symbl_conversation (conversation_id);
CREATE INDEX symbl_item_state ON symbl_item (state, queued_at);
CREATE INDEX symbl_item_job ON symbl_item (job_id);
COMMIT;
