create type pgstate.sealed_part as (part text, blocks bigint);
comment on type pgstate.sealed_part is 'A table with sealed payloads, and how many blocks it has. See sealed_parts().';
