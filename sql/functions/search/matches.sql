-- Of the caller's, and no more than an expression in which each argument stands once: the planner puts that in the place of
-- the call, and makes the path of a filter that does not change once instead of for each row, which was all of the cost.
create function pgstate.matches(value jsonb, filter jsonb) returns boolean
language sql immutable
as $$
  select coalesce(matches.value operator(pg_catalog.@@) coalesce(pgstate._filter_path(matches.filter), '1 == 1'::pg_catalog.jsonpath), false)
$$;
comment on function pgstate.matches(jsonb, jsonb) is
  'Does a value fit a filter, as search() has them? {"status": "open", "author.name": "ana", "tries": {"$gt": 3, "$lte": 9}, "$or": [{"tags[*]": "x"}, {"due": {"$exists": false}}]}. Fields are paths: names joined by dots, [0] or [*] (any element) behind; \. is a dot within a name, $ the value itself. A field is equal to a value or fits operators: $eq $ne $gt $gte $lt $lte $in $nin $exists $contains (as @>) $not; filters combine by $and $or $not. Values of different types are never equal, less or greater, what is not there neither; $ne, $nin and $not are the opposites. Numbers compare as numbers, strings by code point. An object without operators asks for the fields it has. PS007.';
