-- Ranges of keys in byte order: what a subtree covers. Grants are cached as one multirange per agent and right.
create type pgstate.keyrange as range (
  subtype = text,
  collation = "C",
  multirange_type_name = pgstate.keymultirange
);
comment on type pgstate.keyrange is 'A range of keys, in collation "C".';
comment on type pgstate.keymultirange is 'A set of key ranges: what one agent may reach with one right.';
