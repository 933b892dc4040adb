-- An op_id may be anything that its caller has at hand, such as an address with a password in it. Nobody reads it again: one that holds a
-- secret is kept as its hash.
create function pgstate._op_name(p_op_id text) returns text
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
begin
  return case when octet_length(p_op_id) between 1 and 256 and pgstate._secret_rule(p_op_id) is not null
              then 'sha256:' || encode(sha256(convert_to(p_op_id, 'UTF8')), 'hex') else p_op_id end;
end
$$;
comment on function pgstate._op_name(text) is 'Internal: an op_id as it is kept.';
