drop table if exists {prefix}symbl_item;
create table {prefix}symbl_conversation (
    name text not null primary key, last integer not null, conversation_id text, halted_by text
);
create table {prefix}symbl_item (
    id {number} not null primary key, key text not null unique, conversation text not null,
    number integer not null, opens boolean not null, content text not null,
    nonce text not null unique, attempt integer not null, deaths integer not null default 0,
    state text not null, sent_by text, sent_at {double}, in_doubt boolean not null default false,
    heard text, job_id text, conversation_id text, error text, queued_at {double} not null,
    accepted_at {double}, ended_at {double}, unique (conversation, number)
);
create table {prefix}symbl_worker (id text not null primary key, beat {double} not null);
create index ix_symbl_conversation_conversation_id on {prefix}symbl_conversation (conversation_id);
create index symbl_item_job on {prefix}symbl_item (job_id);
create index symbl_item_state on {prefix}symbl_item (state, queued_at);
insert into {prefix}symbl_conversation values
    ('ended', 1, '7', null), ('running', 1, '8', null), ('doubtful', 2, null, null),
    ('waiting', 2, null, null), ('late', 1, null, null);
insert into {prefix}symbl_item (
    key, conversation, number, opens, content, nonce, attempt, state, sent_by, sent_at, job_id,
    conversation_id, queued_at, accepted_at, ended_at
) select key, conversation, number, number = 1,
    '{{"media": {{"kind": "text", "messages": [{{"text": "' || key || '"}}]}}, "options": '
    || '{{"type": "TextOptions", "fields": {{"name": "", "extra_body": {{}}, "extra_query": {{}}, "in_query": []}}}}}}',
    key, 1, state, case when job_id is not null or key = 'doubtful' then 'gone/1' end,
    case when job_id is not null or key = 'doubtful' then 1.0 end, job_id,
    case when job_id is not null then '7' end, 1.0, case when job_id is not null then 1.0 end,
    case when state = 'completed' then 1.0 end
from (
    select 'ended' as key, 'ended' as conversation, 1 as number, 'completed' as state, '1' as job_id
    union all select 'running', 'running', 1, 'accepted', '2'
    union all select 'doubtful', 'doubtful', 1, 'queued', null
    union all select 'behind', 'doubtful', 2, 'queued', null
    union all select 'waiting', 'waiting', 1, 'queued', null
    union all select 'waiting-more', 'waiting', 2, 'queued', null
) as written order by state, conversation, number;
