-- From 0012.
set local role pgstate_owner;

alter table pgstate.install add column given pgstate.keymultirange not null default '{}';
comment on column pgstate.install.given is 'Keys of which nothing is indexed but vectors that their writers give: see set_search().';
do $$
declare
  v_rule record;
begin
  for v_rule in
    select r.subtree, r.ranges, r.fields = '{}' and r.vector_fields = '{}' as gives from pgstate.search_rule r order by r.nearness
  loop
    update pgstate.install i set given = case when v_rule.gives then i.given + v_rule.ranges else i.given - v_rule.ranges end;
    if v_rule.gives then
      -- its keys have documents, which pgstate.maintain() takes away by and by
      insert into pgstate.search_build (subtree, asked_at) values (v_rule.subtree, now()) on conflict do nothing;
    end if;
  end loop;
end
$$;

-- nobody changes what agents reach until there is the trigger that copies it: all tables are locked
alter table pgstate.delegation
  add column agent_name text collate "C",
  add column reads pgstate.keymultirange,
  add column writes pgstate.keymultirange,
  add column touches pgstate.keymultirange,
  add column folded_until timestamptz default '-infinity',
  add column quota boolean not null default false,
  add column trust pgstate.trust not null default 'agent';
alter table pgstate.delegation
  alter column reads set storage external,
  alter column writes set storage external,
  alter column touches set storage external;
update pgstate.delegation d
   set agent_name = a.name, reads = r.reads, writes = r.writes, touches = r.touches,
       folded_until = case when r.agent_id is null then '-infinity' else r.folded_until end, quota = coalesce(r.quota, false), trust = coalesce(r.trust, d.trust)
  from pgstate.agent a left join pgstate.reach r on r.agent_id = a.id
 where a.id = d.agent_id;
alter table pgstate.delegation
  alter column agent_name set not null,
  add constraint delegation_name_key unique (agent_name, login);
comment on column pgstate.delegation.agent_name is 'Its name.';
comment on column pgstate.delegation.reads is 'Cache, with writes and touches: as in reach.';
comment on column pgstate.delegation.writes is 'Cache: as in reach.';
comment on column pgstate.delegation.touches is 'Cache: as in reach.';
comment on column pgstate.delegation.folded_until is 'When the next of the grants ends, from when on these ranges are not looked at; null for never.';
comment on column pgstate.delegation.quota is 'There is a quota: without one, writes need not look for it.';
comment on column pgstate.delegation.trust is 'Cache: that of the agent.';
