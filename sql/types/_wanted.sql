create type pgstate._wanted as (ranges pgstate.keymultirange, regex text);
comment on type pgstate._wanted is 'Internal: patterns as the ranges that hold every match and a regular expression, null when the ranges decide alone.';
