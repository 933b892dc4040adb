-- Who wants to be woken. Unlogged: losing it costs delay only, watchers poll and register again.
create unlogged table pgstate.watcher (
  channel text collate "C" not null,
  login text not null,
  agent_ids int[] not null,
  ranges pgstate.keymultirange not null,
  expires_at timestamptz not null,
  constraint watcher_pkey primary key (channel)
);
comment on table pgstate.watcher is 'Channels to notify, one for each client process, and the key ranges that it watches.';
comment on column pgstate.watcher.channel is 'The channel of NOTIFY, which cannot be guessed.';
comment on column pgstate.watcher.login is 'The login that listens.';
comment on column pgstate.watcher.agent_ids is 'The agents that it watches for.';
comment on column pgstate.watcher.ranges is 'The ranges of keys that it watches.';
comment on column pgstate.watcher.expires_at is 'When it is forgotten unless registered again.';
