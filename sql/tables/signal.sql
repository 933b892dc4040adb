-- What was sent to a run: each is taken by one step.
create sequence pgstate.signal_no_seq;

create table pgstate.signal (
  no bigint not null default pg_catalog.nextval('pgstate.signal_no_seq'),
  run_id bigint not null,
  name text collate "C" not null,
  type text,
  data bytea,
  sender text not null,
  via text not null,
  sent_at timestamptz not null,
  taken_by text collate "C",
  agent_id int,
  constraint signal_pkey primary key (run_id, no),
  constraint signal_name_length check (pg_catalog.octet_length(name) between 1 and 256)
);
alter sequence pgstate.signal_no_seq owned by pgstate.signal.no;
create index signal_waiting_idx on pgstate.signal (run_id, name, no) where taken_by is null;
alter table pgstate.signal enable row level security;
comment on table pgstate.signal is 'Signals to runs.';
comment on column pgstate.signal.no is 'Order of arrival.';
comment on column pgstate.signal.run_id is 'The run.';
comment on column pgstate.signal.name is 'What it is called.';
comment on column pgstate.signal.type is 'The form of data.';
comment on column pgstate.signal.data is 'What was sent along.';
comment on column pgstate.signal.sender is 'The agent that sent it.';
comment on column pgstate.signal.via is 'The database login that it came through.';
comment on column pgstate.signal.sent_at is 'When it was sent.';
comment on column pgstate.signal.taken_by is 'The step that has taken it.';
comment on sequence pgstate.signal_no_seq is 'Order of arrival of signals.';
comment on column pgstate.signal.agent_id is 'The agent whose quota this counts to; null if it had none when this was written.';
