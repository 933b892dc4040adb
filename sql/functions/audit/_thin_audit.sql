-- Removes the oldest entries whose time has passed, with their links; each chain remembers where it was cut.
create function pgstate._thin_audit(p_limit int) returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_before timestamptz := pgstate._now() - (select i.audit_keep from pgstate.install i);
  v_ids bigint[];
  v_free bigint[];
  v_fronts boolean;
begin
  if v_before is null then
    return false;
  end if;
  -- of the lowest ids only: they are about in the order of time. Where all of these are behind others in a chain (of one long transaction, say,
  -- beside which others were linked), of those that chains begin with, too. What waits for its link waits here too.
  foreach v_fronts in array array[false, true] loop
    v_ids := array(
      select o.id
        from (select a.id, a.at from pgstate.audit a order by a.id limit p_limit) o
       where o.at < v_before and not exists (select from pgstate.audit_pending p where p.audit_id = o.id)
       union
      select a.id
        from pgstate.audit_chain c
             cross join lateral (select k.audit_id from pgstate.audit_link k where k.subtree = c.subtree order by k.no limit p_limit) f
             join pgstate.audit a on a.id = f.audit_id
       where v_fronts and a.at < v_before and not exists (select from pgstate.audit_pending p where p.audit_id = a.id));
    if v_ids = '{}' then
      return false;
    end if;
    -- links go from the front only: one that was linked late keeps those before it, and their entries; and an entry that one chain keeps
    -- keeps those behind it in others
    loop
      v_free := array(
        with stays as materialized (
          select c.subtree, (select f.no from pgstate.audit_link f
                              where f.subtree = c.subtree and f.audit_id not in (select u from unnest(v_ids) u) order by f.no limit 1) as no
            from pgstate.audit_chain c)
        select i from unnest(v_ids) i
         where not exists (select from pgstate.audit_link l join stays s on s.subtree = l.subtree where l.audit_id = i and l.no > s.no));
      exit when cardinality(v_free) = cardinality(v_ids);
      v_ids := v_free;
    end loop;
    exit when v_ids <> '{}';
  end loop;
  update pgstate.audit_chain c set cut_no = g.no, cut_hash = (select l.hash from pgstate.audit_link l where l.subtree = c.subtree and l.no = g.no)
    from (select l.subtree, max(l.no) as no from pgstate.audit_link l where l.audit_id = any (v_ids) group by l.subtree) g
   where g.subtree = c.subtree;
  delete from pgstate.audit a where a.id = any (v_ids);
  delete from pgstate.audit_link l where l.audit_id = any (v_ids);
  return cardinality(v_ids) >= p_limit;
end
$$;
comment on function pgstate._thin_audit(int) is 'Internal: retention of the audit trail; is there more?';
