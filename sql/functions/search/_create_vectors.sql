create function pgstate._create_vectors(
  p_actor pgstate._actor, p_name text, p_model text, p_dims int, p_distance text, p_method text, p_type text, p_options jsonb
) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_index pgstate.vector_index;
  v_old pgstate.vector_index;
  v_schema text;
  v_most int;
begin
  perform pgstate._check_admin(p_actor, '**');
  v_index.name := p_name;
  v_index.model := p_model;
  v_index.dims := p_dims;
  v_index.distance := p_distance;
  v_index.method := p_method;
  v_index.type := coalesce(p_type, case when p_dims > 2000 then 'halfvec' else 'vector' end);
  v_index.options := coalesce(p_options, '{}');
  if (p_name ~ '^[a-z][a-z0-9_]{0,62}$') is not true then
    raise exception using errcode = 'PS007', message = 'a vector index has a name of a-z, 0-9 and _, that begins with a letter';
  elsif p_model is null or octet_length(p_model) not between 1 and 256 or p_dims is null or p_dims not between 1 and 16000 then
    raise exception using errcode = 'PS007', message = 'model is 1 to 256 bytes, dims is 1 to 16000';
  elsif p_distance is null or p_distance not in ('cosine', 'l2', 'inner_product') or p_method is null or p_method not in ('hnsw', 'ivfflat', 'exact')
        or v_index.type not in ('vector', 'halfvec') then
    raise exception using errcode = 'PS007', message = 'distance is cosine, l2 or inner_product; method hnsw, ivfflat or exact; type vector or halfvec';
  end if;
  v_most := case when v_index.type = 'vector' then 2000 else 4000 end;
  if p_method <> 'exact' and p_dims > v_most then
    raise exception using errcode = 'PS007', message = format('%s indexes have at most %s dimensions of type %s', p_method, v_most, v_index.type),
      hint = 'Up to 4000 dimensions are indexed of type halfvec, any number is searched with method exact.';
  elsif jsonb_typeof(v_index.options) <> 'object' or exists (
    select from jsonb_each(v_index.options) o
     where (p_method || '.' || o.key) not in ('hnsw.m', 'hnsw.ef_construction', 'ivfflat.lists') or o.value::text !~ '^[0-9]{1,5}$')
  then
    raise exception using errcode = 'PS007', message = 'options are m and ef_construction of hnsw, lists of ivfflat: numbers';
  end if;
  v_schema := pgstate._vector_schema();
  perform pgstate._lock_policies();
  select x.* into v_old from pgstate.vector_index x where x.name = p_name;
  if v_old.id is null then
    insert into pgstate.vector_index (name, model, dims, distance, method, type, options, created_by, created_at)
    values (v_index.name, v_index.model, v_index.dims, v_index.distance, v_index.method, v_index.type, v_index.options, p_actor.name, pgstate._now())
    returning * into v_index;
    perform pgstate._audit(p_actor, 'create_vectors', null, jsonb_build_object('name', p_name, 'model', p_model, 'dims', p_dims));
  elsif (v_old.model, v_old.dims, v_old.distance, v_old.method, v_old.type, v_old.options)
        <> (v_index.model, v_index.dims, v_index.distance, v_index.method, v_index.type, v_index.options) then
    raise exception using errcode = 'PS007', message = format('there is a vector index %s with other settings', p_name),
      hint = 'drop_vectors(name), or take another name. pgstate.vectors() lists them.';
  else
    -- dropping the extension takes the index along
    v_index := v_old;
  end if;
  if v_index.method <> 'exact' and to_regclass(format('pgstate.embedding_%s_idx', v_index.id)) is null then
    execute format(
      'create index embedding_%s_idx on pgstate.embedding using %I (%s %I.%I)%s where index_id = %s',
      v_index.id, v_index.method, pgstate._vector_expression(v_index, v_schema, 'vector'), v_schema,
      v_index.type || '_' || case v_index.distance when 'cosine' then 'cosine' when 'l2' then 'l2' else 'ip' end || '_ops',
      coalesce((select ' with (' || string_agg(format('%I = %s', o.key, o.value), ', ') || ')' from jsonb_each_text(v_index.options) o), ''),
      v_index.id);
  end if;
end
$$;
comment on function pgstate._create_vectors(pgstate._actor, text, text, int, text, text, text, jsonb) is 'Internal: create_vectors().';
