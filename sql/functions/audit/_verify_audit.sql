-- The chain and its links are read by one statement: what links or removes entries meanwhile must not pass for a fault.
create function pgstate._verify_audit(p_actor pgstate._actor, p_subtree text, p_noted text) returns pgstate.audit_checked
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_chain pgstate.audit_chain;
  v_out pgstate.audit_checked;
  v_no bigint;
  v_hash bytea;
  v_noted_no bigint;
  v_noted text;
  v_link record;
begin
  perform pgstate._check_admin(p_actor, p_subtree);
  if p_noted is not null and p_noted !~ '^[0-9]{1,18}:([0-9a-f]{64})?$' then
    raise exception using errcode = 'PS007', message = 'noted is a head that verify_audit() told earlier, number:hash';
  end if;
  if current_setting('transaction_read_only') = 'off' then
    perform pgstate._seal_audit(100000);
  end if;
  v_noted_no := split_part(p_noted, ':', 1)::bigint;
  for v_link in
    select c as chain, l.no, l.hash, l.audit_id, l.a
      from pgstate.audit_chain c
      -- in the order of the index: sorting would hold all of it
      left join lateral (
        select k.no, k.hash, k.audit_id, e.a
          from pgstate.audit_link k left join lateral (select x as a from pgstate.audit x where x.id = k.audit_id offset 0) e on true
         where k.subtree = c.subtree order by k.no offset 0) l on true
     where c.subtree = p_subtree
  loop
    if v_chain.subtree is null then
      v_chain := v_link.chain;
      v_no := v_chain.cut_no;
      v_hash := v_chain.cut_hash;
      v_noted := case when v_noted_no = v_no then encode(v_hash, 'hex') end;
      exit when v_link.no is null;
    end if;
    v_no := v_no + 1;
    if v_link.no <> v_no then
      v_out.fault := format('link %s is not there', v_no);
    elsif (v_link.a).id is null then
      v_out.fault := format('entry %s of link %s is not there', v_link.audit_id, v_no);
    else
      v_hash := pgstate._audit_hash(v_hash, v_link.a);
      if v_hash <> v_link.hash then
        v_out.fault := format('entry %s of link %s, or the link, is not what it was', v_link.audit_id, v_no);
      end if;
    end if;
    exit when v_out.fault is not null;
    if v_no = v_noted_no then
      v_noted := encode(v_hash, 'hex');
    end if;
  end loop;
  if v_chain.subtree is null then
    raise exception using errcode = 'PS007', message = format('there is no chain on %s', pgstate._shown(p_subtree)), hint = 'set_audit_chain(subtree) begins one.';
  end if;
  if v_out.fault is null and (v_no, v_hash) <> (v_chain.head_no, v_chain.head_hash) then
    v_out.fault := format('the chain ends at link %s, and ended at %s', v_no, v_chain.head_no);
  elsif v_out.fault is null and p_noted is not null and v_noted_no < v_chain.cut_no then
    v_out.fault := format('link %s was removed by retention: nothing can be said about it', v_noted_no);
  elsif v_out.fault is null and p_noted is not null and v_noted is distinct from split_part(p_noted, ':', 2) then
    v_out.fault := format('link %s is not the one that was noted', v_noted_no);
  end if;
  v_out.subtree := p_subtree;
  v_out.sound := v_out.fault is null;
  v_out.links := v_chain.head_no - v_chain.cut_no;
  v_out.head := v_chain.head_no || ':' || encode(v_chain.head_hash, 'hex');
  v_out.active := v_chain.active;
  v_out.waiting := (select count(*) from pgstate.audit_pending p where p.subtree = p_subtree);
  return v_out;
end
$$;
comment on function pgstate._verify_audit(pgstate._actor, text, text) is 'Internal: links what is pending, where it may, and computes a chain anew.';
