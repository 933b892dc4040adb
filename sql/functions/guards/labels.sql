-- About the value that it is given alone.
create function pgstate.labels(value jsonb) returns text[]
language plpgsql immutable parallel safe security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_label text[];
  v_text text := labels.value::text;
  v_labels text[] := '{}';
begin
  foreach v_label slice 1 in array pgstate._label_patterns() loop
    if v_text ~ v_label[2] then
      v_labels := v_labels || v_label[1];
    end if;
  end loop;
  return v_labels;
end
$$;
comment on function pgstate.labels(jsonb) is
  'What in a value looks like instructions to a model: role_tokens, override_phrases, invisible_characters. A hint, which others can avoid: no detector of this kind is strong.';
