-- The subtrees that hold a key: a/b gives a/b, a/b/**, a/** and **. Without a query: it is on the way of every write. No key, no
-- subtrees: the loop would have no end.
create function pgstate._subtrees_of(p_key text) returns text[]
language plpgsql immutable strict set search_path = pg_catalog, pg_temp
as $$
declare
  v_subtrees text[] := array['**', p_key, p_key || '/**'];
  v_above text := p_key;
  v_at int;
begin
  loop
    v_at := strpos(reverse(v_above), '/');
    exit when v_at = 0;
    v_above := left(v_above, -v_at);
    v_subtrees := v_subtrees || (v_above || '/**');
  end loop;
  return v_subtrees;
end
$$;
comment on function pgstate._subtrees_of(text) is 'Internal: the subtrees that hold a key.';
