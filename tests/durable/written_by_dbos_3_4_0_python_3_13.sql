BEGIN TRANSACTION;
CREATE TABLE application_versions (
    version_id TEXT NOT NULL PRIMARY KEY,
    version_name TEXT NOT NULL UNIQUE,
    version_timestamp INTEGER NOT NULL DEFAULT (unixepoch('subsec') * 1000),
    created_at INTEGER NOT NULL DEFAULT (unixepoch('subsec') * 1000)
, "application_name" TEXT DEFAULT NULL);
INSERT INTO "application_versions" VALUES('bfe1636b-0caf-4365-9ed0-e9ec3406d2e6','symbl_aio.1',1795934241907,1795934241907,'symbl-aio');
CREATE TABLE dbos_migrations (version INTEGER NOT NULL PRIMARY KEY);
INSERT INTO "dbos_migrations" VALUES(125);
CREATE TABLE notifications (
    message_uuid TEXT NOT NULL DEFAULT (hex(randomblob(16))) PRIMARY KEY,
    destination_uuid TEXT NOT NULL,
    topic TEXT,
    message TEXT NOT NULL,
    created_at_epoch_ms INTEGER NOT NULL DEFAULT (unixepoch('subsec') * 1000), "serialization" TEXT DEFAULT NULL, "consumed" BOOLEAN NOT NULL DEFAULT FALSE, consumed_by_function_id INTEGER,
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
    retention_timestamp INTEGER NOT NULL DEFAULT (unixepoch('subsec') * 1000),
    PRIMARY KEY (workflow_uuid, function_id)
);
INSERT INTO "operation_outputs" VALUES('ended#1',1,'symbl.attempt','{"state":"accepted","hears":false}',NULL,NULL,1795934243161,1795934243214,'portable_json','symbl-aio',1795934243222);
INSERT INTO "operation_outputs" VALUES('ended#1',2,'symbl.follow','{"state":"completed","hears":false}',NULL,NULL,1795934243225,1795934243238,'portable_json','symbl-aio',1795934243240);
INSERT INTO "operation_outputs" VALUES('ended#1',3,'DBOS.setEvent',NULL,NULL,NULL,1795934243246,1795934243255,NULL,'symbl-aio',1795934243256);
INSERT INTO "operation_outputs" VALUES('running#1',1,'symbl.attempt','{"state":"accepted","hears":false}',NULL,NULL,1795934243534,1795934243550,'portable_json','symbl-aio',1795934243552);
INSERT INTO "operation_outputs" VALUES('doubtful#1',1,'symbl.attempt','{"state":"unknown","hears":false}',NULL,NULL,1795934243817,1795934243839,'portable_json','symbl-aio',1795934243841);
INSERT INTO "operation_outputs" VALUES('doubtful#1',2,'symbl.settle','{"state":"unknown","hears":false}',NULL,NULL,1795934243842,1795934243898,'portable_json','symbl-aio',1795934243900);
INSERT INTO "operation_outputs" VALUES('doubtful#1',4,'DBOS.sleep','1795934258.9054518',NULL,NULL,1795934243904,1795934243905,'portable_json','symbl-aio',1795934243906);
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
    created_at INTEGER NOT NULL DEFAULT (unixepoch('subsec') * 1000),
    updated_at INTEGER NOT NULL DEFAULT (unixepoch('subsec') * 1000)
, "application_name" TEXT DEFAULT NULL, "partition_concurrency" INTEGER DEFAULT NULL, "partition_worker_concurrency" INTEGER DEFAULT NULL, "partition_rate_limit_max" INTEGER DEFAULT NULL, "partition_rate_limit_period_sec" REAL DEFAULT NULL);
INSERT INTO "queues" VALUES('BC28B61A9BC1600FDB81AC9922560F07','symbl',2,NULL,NULL,NULL,1,1,0.1,1795934242013,1795934241993,'symbl-aio',1,NULL,NULL,NULL);
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
INSERT INTO "symbl_conversation" VALUES('ended',1,'7582427950307033',NULL);
INSERT INTO "symbl_conversation" VALUES('running',1,'4584893398805009',NULL);
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
INSERT INTO "symbl_item" VALUES(1,'ended','ended',1,1,'{"media": {"kind": "text", "messages": [{"text": "ended"}]}, "options": null}','FoF7MXP_9C9E06H2xqqNyQ',1,0,'completed','a-worker/1',1795934243.196,0,NULL,'c87d92ec-b90d-4c8c-af45-d33384ae907a','7582427950307033',NULL,1.79593424207200717921e+09,1.79593424320601820947e+09,1.79593424323200893401e+09);
INSERT INTO "symbl_item" VALUES(2,'running','running',1,1,'{"media": {"kind": "text", "messages": [{"text": "running"}]}, "options": null}','iD9Yo38AOa0wcoDtTXIvQw',1,0,'accepted','a-worker/2',1.79593424353999352453e+09,0,NULL,'cd155fcb-1d5b-4f98-823b-9c0dfef03f5d','4584893398805009',NULL,1.79593424344600892071e+09,1.79593424354401683812e+09,NULL);
INSERT INTO "symbl_item" VALUES(3,'doubtful','doubtful',1,1,'{"media": {"kind": "text", "messages": [{"text": "doubtful"}]}, "options": {"type": "TextOptions", "fields": {"name": "", "extra_body": {}, "extra_query": {}, "in_query": []}}}','TrctgSLuGPNR-paAWeKNpw',1,0,'queued','a-worker/3',1.79593424382500505441e+09,1,NULL,NULL,NULL,NULL,1.79593424372401976583e+09,NULL,NULL);
INSERT INTO "symbl_item" VALUES(4,'behind','doubtful',2,0,'{"media": {"kind": "text", "messages": [{"text": "behind"}]}, "options": null}','R_7kZSwUwiyUzJb4oiM1pA',1,0,'queued',NULL,NULL,0,NULL,NULL,NULL,NULL,1.79593424385401296619e+09,NULL,NULL);
INSERT INTO "symbl_item" VALUES(5,'waiting','waiting',1,1,'{"media": {"kind": "text", "messages": [{"text": "waiting"}]}, "options": null}','xNRtm8BcOVLC7OR_FTioeQ',1,0,'queued',NULL,NULL,0,NULL,NULL,NULL,NULL,1.79593424386298513412e+09,NULL,NULL);
INSERT INTO "symbl_item" VALUES(6,'waiting-more','waiting',2,0,'{"media": {"kind": "text", "messages": [{"text": "waiting-more"}]}, "options": null}','r9RAz1M8ZCQO9An-QvHDCg',1,0,'queued',NULL,NULL,0,NULL,NULL,NULL,NULL,1.79593424386700844762e+09,NULL,NULL);
CREATE TABLE symbl_worker (
	id TEXT NOT NULL, 
	beat DOUBLE NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "symbl_worker" VALUES('a-worker',1.79593424203801012035e+09);
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
    retention_timestamp INTEGER NOT NULL DEFAULT (unixepoch('subsec') * 1000)
);
INSERT INTO "workflow_input" VALUES('ended#1','{"namedArgs":{},"positionalArgs":["ended"]}',1795934242080);
INSERT INTO "workflow_input" VALUES('running#1','{"namedArgs":{},"positionalArgs":["running"]}',1795934243454);
INSERT INTO "workflow_input" VALUES('doubtful#1','{"namedArgs":{},"positionalArgs":["doubtful"]}',1795934243729);
INSERT INTO "workflow_input" VALUES('behind#1','{"namedArgs":{},"positionalArgs":["behind"]}',1795934243855);
INSERT INTO "workflow_input" VALUES('waiting#1','{"namedArgs":{},"positionalArgs":["waiting"]}',1795934243864);
INSERT INTO "workflow_input" VALUES('waiting-more#1','{"namedArgs":{},"positionalArgs":["waiting-more"]}',1795934243868);
CREATE TABLE workflow_output (
    workflow_uuid TEXT NOT NULL PRIMARY KEY,
    output TEXT,
    error TEXT,
    retention_timestamp INTEGER NOT NULL DEFAULT (unixepoch('subsec') * 1000)
);
INSERT INTO "workflow_output" VALUES('ended#1','"completed"',NULL,1795934243269);
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
    created_at INTEGER NOT NULL DEFAULT (unixepoch('subsec') * 1000),
    updated_at INTEGER NOT NULL DEFAULT (unixepoch('subsec') * 1000),
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
INSERT INTO "workflow_status" VALUES('ended#1','SUCCESS','symbl.item',NULL,NULL,NULL,NULL,NULL,NULL,'a-worker',1795934242079,1795934243260,'symbl_aio.1',NULL,NULL,NULL,1,'symbl',NULL,NULL,NULL,1795934243146,NULL,1,'ended',NULL,NULL,NULL,'portable_json',NULL,0,0,1795934243260,'null',NULL,NULL,0,'symbl-aio','9bd341b5-201f-4a63-bfc7-1266ed8aed37');
INSERT INTO "workflow_status" VALUES('running#1','PENDING','symbl.item',NULL,NULL,NULL,NULL,NULL,NULL,'a-worker',1795934243447,1795934243530,'symbl_aio.1',NULL,NULL,NULL,1,'symbl',NULL,NULL,NULL,1795934243530,NULL,1,'running',NULL,'b748fa31-d56a-4b42-b887-c23edc5bced5',NULL,'portable_json',NULL,0,0,NULL,'null',NULL,NULL,0,'symbl-aio','0f414520-5ce4-4b08-9c9d-d18be7e65691');
INSERT INTO "workflow_status" VALUES('doubtful#1','PENDING','symbl.item',NULL,NULL,NULL,NULL,NULL,NULL,'a-worker',1795934243725,1795934243805,'symbl_aio.1',NULL,NULL,NULL,1,'symbl',NULL,NULL,NULL,1795934243805,NULL,1,'doubtful',NULL,'26b72753-f71d-40f9-9dae-6e83b39dd09a',NULL,'portable_json',NULL,0,0,NULL,'null',NULL,NULL,0,'symbl-aio','e412b89c-36d2-41ec-af6f-69378bb9d57c');
INSERT INTO "workflow_status" VALUES('behind#1','ENQUEUED','symbl.item',NULL,NULL,NULL,NULL,NULL,NULL,NULL,1795934243854,1795934243854,'symbl_aio.1',NULL,NULL,NULL,0,'symbl',NULL,NULL,NULL,NULL,NULL,2,'doubtful',NULL,NULL,NULL,'portable_json',NULL,0,0,NULL,'null',NULL,NULL,0,'symbl-aio','f91995cd-5a20-4c97-840d-5522939ad1d1');
INSERT INTO "workflow_status" VALUES('waiting#1','ENQUEUED','symbl.item',NULL,NULL,NULL,NULL,NULL,NULL,NULL,1795934243863,1795934243863,'symbl_aio.1',NULL,NULL,NULL,0,'symbl',NULL,NULL,NULL,NULL,NULL,1,'waiting',NULL,NULL,NULL,'portable_json',NULL,0,0,NULL,'null',NULL,NULL,0,'symbl-aio','c9811478-20ab-487e-9823-3f63bba030d6');
INSERT INTO "workflow_status" VALUES('waiting-more#1','ENQUEUED','symbl.item',NULL,NULL,NULL,NULL,NULL,NULL,NULL,1795934243868,1795934243868,'symbl_aio.1',NULL,NULL,NULL,0,'symbl',NULL,NULL,NULL,NULL,NULL,2,'waiting',NULL,NULL,NULL,'portable_json',NULL,0,0,NULL,'null',NULL,NULL,0,'symbl-aio','88bb155f-df7c-4aba-b7ba-a12b1a2cd4a8');
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
