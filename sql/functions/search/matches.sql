create function pgstate.matches(value jsonb, filter jsonb) returns boolean
language plpgsql immutable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_path jsonpath := pgstate._filter_path(matches.filter);
begin
  return matches.value is not null and (v_path is null or coalesce(matches.value @@ v_path, false));
end
$$;
comment on function pgstate.matches(jsonb, jsonb) is
  'Does a value fit a filter, as search() has them? {"status": "open", "author.name": "ana", "tries": {"$gt": 3, "$lte": 9}, "$or": [{"tags[*]": "x"}, {"due": {"$exists": false}}]}. Fields are paths: names joined by dots, [0] or [*] (any element) behind; \. is a dot within a name, $ the value itself. A field is equal to a value or fits operators: $eq $ne $gt $gte $lt $lte $in $nin $exists $contains (as @>) $not; filters combine by $and $or $not. Values of different types are never equal, less or greater, what is not there neither; $ne, $nin and $not are the opposites. Numbers compare as numbers, strings by code point. An object without operators asks for the fields it has. PS007.';
