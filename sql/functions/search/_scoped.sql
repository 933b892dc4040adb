-- Words marked with the directories above a key, from the rule's own subtree down. Of a value with too many for that, one
-- mark says for each directory that it has to be looked at.
create function pgstate._scoped(p_words tsvector, p_salt text, p_subtree text, p_key text) returns tsvector
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
  v_root text := case when p_subtree = '**' then '' else regexp_replace(p_subtree, E'/\\*\\*$', '') end;
  v_marks text[] := array[pgstate._mark_of(p_salt, v_root)];
  v_dir text := p_key;
begin
  loop
    exit when strpos(v_dir, '/') = 0;
    v_dir := left(v_dir, -strpos(reverse(v_dir), '/'));
    exit when length(v_dir) <= length(v_root);
    v_marks := v_marks || pgstate._mark_of(p_salt, v_dir);
  end loop;
  -- a tsvector has room for 1 MB, and for words of 2047 bytes; array_to_tsvector() does not look
  if length(p_words) * cardinality(v_marks) > 20000 or (pg_column_size(p_words) + 8 * length(p_words)) * cardinality(v_marks) > 1000000
     or exists (select from unnest(tsvector_to_array(p_words)) w where octet_length(w) > 2039) then
    return array_to_tsvector(v_marks);
  end if;
  return array_to_tsvector(array(select m || w from unnest(v_marks) m, unnest(tsvector_to_array(p_words)) w));
end
$$;
comment on function pgstate._scoped(tsvector, text, text, text) is 'Internal: words marked with the directories above a key.';
