create or replace view pgstate.versions with (security_invoker = true) as
select v.key, v.version, v.op::text as op,
       case when v.reducer is null then v.value else pgstate._value_at(v.key, v.version) end as value, v.writer, v.via, v.at, v.expires_at, v.created, v.seq, v.trust::text as trust
  from pgstate.version v;
comment on view pgstate.versions is 'Every version of every key: who wrote what, through which login, and when.';
comment on column pgstate.versions.key is 'The key.';
comment on column pgstate.versions.version is 'Number of the version; dense for each key.';
comment on column pgstate.versions.value is 'The value; null where the key was removed.';
comment on column pgstate.versions.writer is 'The agent that wrote it; pgstate for an expiry.';
comment on column pgstate.versions.via is 'The database login that the writer came through.';
comment on column pgstate.versions.at is 'When it was written.';
comment on column pgstate.versions.expires_at is 'When this version was to expire.';
comment on column pgstate.versions.op is 'put, merge, delete, complete or expire.';
comment on column pgstate.versions.created is 'The key did not exist just before.';
comment on column pgstate.versions.seq is 'Order within the feed; not a cursor: a lower one may become visible after a higher one.';
comment on column pgstate.versions.trust is 'How far it can be relied on: external, agent, verified or operator; stamped by the server.';
