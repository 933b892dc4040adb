create function pgstate._policies_changed(p_subtree text, p_keep boolean) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  update pgstate.install i set policies = not i.policies where i.policies <> exists (select from pgstate.policy);
  if not p_keep then
    return;
  end if;
  -- a/** and a itself lie apart in the order of keys
  insert into pgstate.review (subtree, asked_at)
  select s, pgstate._now() from unnest(array[p_subtree, case when p_subtree like '%/**' then left(p_subtree, -3) end]) s where s is not null
      on conflict on constraint review_pkey do update set after = '', asked_at = excluded.asked_at;
  delete from pgstate.sweep s
   where s.delay > interval '0' and not exists (select from pgstate.policy p where p.keep_age = s.delay);
  -- a new age goes on from where the next higher one has come to: all before is older than either
  insert into pgstate.sweep (delay, epoch, xid, seq)
  select p.keep_age, coalesce(h.epoch, 0), coalesce(h.xid, '0'), coalesce(h.seq, 0)
    from (select distinct x.keep_age from pgstate.policy x where x.keep_age is not null) p
    left join lateral (select s.* from pgstate.sweep s where s.delay > p.keep_age order by s.delay limit 1) h on true
      on conflict do nothing;
end
$$;
comment on function pgstate._policies_changed(text, boolean) is 'Internal: what follows from a change of a policy, and of the history that it keeps.';
