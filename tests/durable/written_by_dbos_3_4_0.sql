BEGIN TRANSACTION;
CREATE TABLE application_versions (
    version_id TEXT NOT NULL PRIMARY KEY,
    version_name TEXT NOT NULL UNIQUE,
    version_timestamp INTEGER NOT NULL DEFAULT (strftime('%s','now') * 1000),
    created_at INTEGER NOT NULL DEFAULT (strftime('%s','now') * 1000)
, "application_name" TEXT DEFAULT NULL);
INSERT INTO "application_versions" VALUES('5dec007e-7acd-499f-bf20-2268eb40bfde','symbl_aio.1',1795171410000,1795171410000,'symbl-aio');
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
INSERT INTO "operation_outputs" VALUES('ended#1',1,'symbl.attempt','{"state":"accepted","hears":false}',NULL,NULL,1795171411514,1795171411530,'portable_json','symbl-aio',1795171411000);
INSERT INTO "operation_outputs" VALUES('ended#1',2,'symbl.follow','{"state":"completed","hears":false}',NULL,NULL,1795171411532,1795171411541,'portable_json','symbl-aio',1795171411000);
INSERT INTO "operation_outputs" VALUES('ended#1',3,'DBOS.setEvent',NULL,NULL,NULL,1795171411543,1795171411545,NULL,'symbl-aio',1795171411000);
INSERT INTO "operation_outputs" VALUES('running#1',1,'symbl.attempt','{"state":"accepted","hears":false}',NULL,NULL,1795171411804,1795171411855,'portable_json','symbl-aio',1795171411000);
INSERT INTO "operation_outputs" VALUES('doubtful#1',1,'symbl.attempt','{"state":"unknown","hears":false}',NULL,NULL,1795171412025,1795171412032,'portable_json','symbl-aio',1795171412000);
INSERT INTO "operation_outputs" VALUES('doubtful#1',2,'symbl.settle','{"state":"unknown","hears":false}',NULL,NULL,1795171412034,1795171412041,'portable_json','symbl-aio',1795171412000);
INSERT INTO "operation_outputs" VALUES('doubtful#1',4,'DBOS.sleep','1795171427.0448167',NULL,NULL,1795171412044,1795171412044,'portable_json','symbl-aio',1795171412000);
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
INSERT INTO "queues" VALUES('14DE0B6F756B16A47B550CBC3271F461','symbl',2,NULL,NULL,NULL,1,1,0.1,1795171410000,1795171410397,'symbl-aio',1,NULL,NULL,NULL);
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
INSERT INTO "symbl_conversation" VALUES('ended',1,'9058343831779848',NULL);
INSERT INTO "symbl_conversation" VALUES('running',1,'5736674142848664',NULL);
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
	in_doubt BOOLEAN DEFAULT 0 NOT NULL, 
	heard TEXT, 
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
INSERT INTO "symbl_item" VALUES(1,'ended','ended',1,1,'{"media": {"kind": "text", "messages": [{"text": "ended"}]}, "options": null}','juPUGsh_rEOJ8wyyGsJSFA',1,0,'completed','a-worker/1',1.79517141152301740649e+09,0,NULL,'195a72e1-1901-4e9d-9ace-8eccf87581c8','9058343831779848',NULL,1.79517141041600251198e+09,1.79517141152800607686e+09,1.79517141153999567034e+09);
INSERT INTO "symbl_item" VALUES(2,'running','running',1,1,'{"media": {"kind": "text", "messages": [{"text": "running"}]}, "options": null}','J6J78ug4rG3tMcgM0XzAgA',1,0,'accepted','a-worker/2',1.79517141181599497795e+09,0,NULL,'c21f3c67-b4fd-4694-9750-c839c93df9e1','5736674142848664',NULL,1.79517141168201875686e+09,1.79517141185300946239e+09,NULL);
INSERT INTO "symbl_item" VALUES(3,'doubtful','doubtful',1,1,'{"media": {"kind": "text", "messages": [{"text": "doubtful"}]}, "options": {"type": "TextOptions", "fields": {"name": "", "extra_body": {}, "extra_query": {}, "in_query": []}}}','uTduH8cZAh-AANqVzC976g',1,0,'queued','a-worker/3',1.79517141202798342705e+09,1,NULL,NULL,NULL,NULL,1.79517141194099926946e+09,NULL,NULL);
INSERT INTO "symbl_item" VALUES(4,'behind','doubtful',2,0,'{"media": {"kind": "text", "messages": [{"text": "behind"}]}, "options": null}','v0d1ib4Bm947K_WPdSJ2og',1,0,'queued',NULL,NULL,0,NULL,NULL,NULL,NULL,1.7951714120489850044e+09,NULL,NULL);
INSERT INTO "symbl_item" VALUES(5,'waiting','waiting',1,1,'{"media": {"kind": "text", "messages": [{"text": "waiting"}]}, "options": null}','q8vI8GGTySz6lRC7v58ljw',1,0,'queued',NULL,NULL,0,NULL,NULL,NULL,NULL,1.79517141206000900273e+09,NULL,NULL);
INSERT INTO "symbl_item" VALUES(6,'waiting-more','waiting',2,0,'{"media": {"kind": "text", "messages": [{"text": "waiting-more"}]}, "options": null}','ueHnMB6ZyVqv6iAnvuFMNg',1,0,'queued',NULL,NULL,0,NULL,NULL,NULL,NULL,1.79517141206600379941e+09,NULL,NULL);
CREATE TABLE symbl_worker (
	id TEXT NOT NULL, 
	beat DOUBLE NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "symbl_worker" VALUES('a-worker',1.79517141040501880641e+09);
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
INSERT INTO "workflow_input" VALUES('ended#1','{"namedArgs":{},"positionalArgs":["ended"]}',1795171410000);
INSERT INTO "workflow_input" VALUES('running#1','{"namedArgs":{},"positionalArgs":["running"]}',1795171411000);
INSERT INTO "workflow_input" VALUES('doubtful#1','{"namedArgs":{},"positionalArgs":["doubtful"]}',1795171411000);
INSERT INTO "workflow_input" VALUES('behind#1','{"namedArgs":{},"positionalArgs":["behind"]}',1795171412000);
INSERT INTO "workflow_input" VALUES('waiting#1','{"namedArgs":{},"positionalArgs":["waiting"]}',1795171412000);
INSERT INTO "workflow_input" VALUES('waiting-more#1','{"namedArgs":{},"positionalArgs":["waiting-more"]}',1795171412000);
CREATE TABLE workflow_output (
    workflow_uuid TEXT NOT NULL PRIMARY KEY,
    output TEXT,
    error TEXT,
    retention_timestamp INTEGER NOT NULL DEFAULT (strftime('%s','now') * 1000)
);
INSERT INTO "workflow_output" VALUES('ended#1','"completed"',NULL,1795171411000);
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
INSERT INTO "workflow_status" VALUES('ended#1','SUCCESS','symbl.item',NULL,NULL,NULL,NULL,NULL,NULL,'a-worker',1795171410000,1795171411000,'symbl_aio.1',NULL,NULL,NULL,1,'symbl',NULL,NULL,NULL,1795171411000,NULL,1,'ended',NULL,NULL,NULL,'portable_json',NULL,0,0,1795171411000,'null',NULL,NULL,0,'symbl-aio','9974060f-b343-4193-b717-92f6939c84f3');
INSERT INTO "workflow_status" VALUES('running#1','PENDING','symbl.item',NULL,NULL,NULL,NULL,NULL,NULL,'a-worker',1795171411000,1795171411000,'symbl_aio.1',NULL,NULL,NULL,1,'symbl',NULL,NULL,NULL,1795171411000,NULL,1,'running',NULL,'cda13b20-4c44-4f08-96c5-e2343d0e3efd',NULL,'portable_json',NULL,0,0,NULL,'null',NULL,NULL,0,'symbl-aio','c1c13be0-cfc5-4b6f-b454-41c36027cc1e');
INSERT INTO "workflow_status" VALUES('doubtful#1','PENDING','symbl.item',NULL,NULL,NULL,NULL,NULL,NULL,'a-worker',1795171411000,1795171412000,'symbl_aio.1',NULL,NULL,NULL,1,'symbl',NULL,NULL,NULL,1795171412000,NULL,1,'doubtful',NULL,'8c6d7571-9a98-4948-b2ff-9e94a18a2c15',NULL,'portable_json',NULL,0,0,NULL,'null',NULL,NULL,0,'symbl-aio','60b6527a-80b8-4d04-9ced-3c0bbf927ce3');
INSERT INTO "workflow_status" VALUES('behind#1','ENQUEUED','symbl.item',NULL,NULL,NULL,NULL,NULL,NULL,NULL,1795171412000,1795171412000,'symbl_aio.1',NULL,NULL,NULL,0,'symbl',NULL,NULL,NULL,NULL,NULL,2,'doubtful',NULL,NULL,NULL,'portable_json',NULL,0,0,NULL,'null',NULL,NULL,0,'symbl-aio','11b31b05-9e77-4003-be80-bfd472968a42');
INSERT INTO "workflow_status" VALUES('waiting#1','ENQUEUED','symbl.item',NULL,NULL,NULL,NULL,NULL,NULL,NULL,1795171412000,1795171412000,'symbl_aio.1',NULL,NULL,NULL,0,'symbl',NULL,NULL,NULL,NULL,NULL,1,'waiting',NULL,NULL,NULL,'portable_json',NULL,0,0,NULL,'null',NULL,NULL,0,'symbl-aio','5207dba0-7735-4317-a203-092ab76976f4');
INSERT INTO "workflow_status" VALUES('waiting-more#1','ENQUEUED','symbl.item',NULL,NULL,NULL,NULL,NULL,NULL,NULL,1795171412000,1795171412000,'symbl_aio.1',NULL,NULL,NULL,0,'symbl',NULL,NULL,NULL,NULL,NULL,2,'waiting',NULL,NULL,NULL,'portable_json',NULL,0,0,NULL,'null',NULL,NULL,0,'symbl-aio','af5ebb69-5364-4ac0-a3a9-5dc2258aab17');
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
CREATE INDEX symbl_item_job ON symbl_item (job_id);
CREATE INDEX symbl_item_state ON symbl_item (state, queued_at);
COMMIT;
