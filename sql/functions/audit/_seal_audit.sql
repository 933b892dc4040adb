-- Links what is pending and committed, oldest first; what commits later is linked later, so the order of links is not
-- always that of ids. One at a time for each chain, and whoever comes second goes away.
create function pgstate._seal_audit(p_limit int) returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_chain pgstate.audit_chain;
  v_audit pgstate.audit;
  v_subtrees text[];
  v_subtree text;
  v_more boolean := false;
  v_done int;
begin
  v_subtrees := array(select c.subtree from pgstate.audit_chain c
                       where exists (select from pgstate.audit_pending p where p.subtree = c.subtree) order by 1);
  foreach v_subtree in array v_subtrees loop
    select c.* into v_chain from pgstate.audit_chain c where c.subtree = v_subtree for no key update skip locked;
    continue when not found;
    v_done := 0;
    for v_audit in
      select a.* from pgstate.audit_pending p cross join lateral (
        select x.* from pgstate.audit x where x.id = p.audit_id offset 0) a
       where p.subtree = v_subtree order by p.audit_id limit p_limit
    loop
      v_chain.head_no := v_chain.head_no + 1;
      v_chain.head_hash := pgstate._audit_hash(v_chain.head_hash, v_audit);
      insert into pgstate.audit_link (subtree, no, audit_id, hash) values (v_subtree, v_chain.head_no, v_audit.id, v_chain.head_hash);
      delete from pgstate.audit_pending p where p.subtree = v_subtree and p.audit_id = v_audit.id;
      v_done := v_done + 1;
    end loop;
    update pgstate.audit_chain c set head_no = v_chain.head_no, head_hash = v_chain.head_hash where c.subtree = v_subtree;
    v_more := v_more or v_done = p_limit;
  end loop;
  return v_more;
end
$$;
comment on function pgstate._seal_audit(int) is 'Internal: links entries of the audit trail; is there more?';
