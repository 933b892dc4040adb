-- A write happens once: what each lane of a client did last.
create table pgstate.lane (
  lane uuid not null,
  agent_id int not null,
  turn bigint not null,
  outcome jsonb,
  at timestamptz not null default pg_catalog.now(),
  channels text[],
  constraint lane_pkey primary key (lane)
) with (fillfactor = 25);
comment on table pgstate.lane is 'The last statement of each lane of a client (one statement in flight) and its outcome: asked again with the same turn, the outcome is returned and nothing is done twice.';
comment on column pgstate.lane.channels is 'Whom to wake after the last statement, if they are few: write_and_wake() does so after its commit.';
comment on column pgstate.lane.lane is 'Chosen by the client at random.';
comment on column pgstate.lane.agent_id is 'Who writes through it.';
comment on column pgstate.lane.turn is 'Number of the last statement; rises.';
comment on column pgstate.lane.outcome is 'Outcome of the last statement.';
comment on column pgstate.lane.at is 'When that was.';
