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
